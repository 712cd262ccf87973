"""Texts in, cleaned texts out: tokens, stop words and lemmas, remembered chunk by chunk.

An engine belongs to a process and is shared by its threads; estimators hold none, so that they
stay small to pickle. What chunks become is remembered until `_ROOM` is used up, then forgotten all
at once: the dictionary is replaced, never emptied, so a thread keeps the one it started with.
"""

import functools

from arena_estimators.preprocessing import _punkt, _treebank, _words

TOKENIZERS = ("treebank", "punkt", "tweet")
# The most bytes to remember, by a generous estimate, checked after every `_PART` chunks of a text.
_ROOM = 100_000_000
_PART = 10_000


def clean_texts(texts, settings, folders=None):
    """Clean a list of texts in this process, with `settings` as `engine` takes them.

    Texts that share words should stand together, because an engine remembers. In another process
    `folders` says where NLTK's data is.
    """
    if folders is not None:
        import nltk

        nltk.data.path[:] = folders
    return engine(*settings).clean(texts)


def data_folders(settings):
    """Give where this process looks for NLTK's data, None if `settings` need none."""
    if settings[0] != "punkt":
        return None
    import nltk

    return list(nltk.data.path)


@functools.lru_cache(maxsize=2)
def engine(*settings):
    """Give the engine of this process for the settings of `Engine`; the two used last are kept.

    Raises
    ------
    ResourceNotFoundError
        If the tokenizer needs NLTK data that is not on this machine.
    """
    return Engine(*settings)


class Engine:
    """Clean texts.

    `stop` is a frozenset and `rules` what `known_rules` gives; for the others see `NLTKCleaner`.
    """

    def __init__(self, tokenizer, stop, pos, keep_punctuation, lowercase, rules):
        self._rules_known = rules is not None and tokenizer != "tweet"
        self._tokenize = (
            _treebank.tokenizer_of(rules) if self._rules_known else _tokenizer(tokenizer)
        )
        self._sentences = _punkt.sentences() if tokenizer == "punkt" else None
        self._word = _word_of(stop, _words.lemmatizer(pos), keep_punctuation)
        self._lowercase = lowercase
        self._forget()

    def clean(self, texts):
        """Clean a list of texts, each distinct one once."""
        cleaned = dict.fromkeys(texts)
        for text in cleaned:
            cleaned[text] = self._cleaned(text.lower() if self._lowercase else text)
        return list(map(cleaned.__getitem__, texts))

    def _forget(self):
        self._pieces = _Pieces(self._tokenize, self._word)

    def _cleaned(self, text):
        keys = self._keys(text)
        parts = []
        for start in range(0, len(keys), _PART):
            pieces = self._pieces
            parts.append("".join(map(pieces.__getitem__, keys[start : start + _PART])))
            if pieces.is_full():
                self._forget()
        return "".join(parts)[:-1]

    def _keys(self, text):
        if not self._rules_known or any(mark in text for mark in _treebank.RESERVED):
            return [_treebank.TOKEN + token for token in self._tokens(text)]
        if self._sentences is None:
            return _treebank.keys_of(text)
        keys = []
        for start, stop in self._sentences.spans(text):
            keys += _treebank.keys_of(text[start:stop])
        return keys

    def _tokens(self, text):
        """Tokenise a whole text by all rules."""
        if self._sentences is None:
            return self._tokenize(text)
        sentences = self._sentences.nltk.tokenize(text)
        return [token for sentence in sentences for token in self._tokenize(sentence)]


def _tokenizer(name):
    from nltk.tokenize import NLTKWordTokenizer, TweetTokenizer

    return (TweetTokenizer if name == "tweet" else NLTKWordTokenizer)().tokenize


def _word_of(stop, lemmatize, keep_punctuation):
    """Give the function from a token to what remains of it, with a space after it.

    It holds no reference to its engine, so that an engine and all that it remembers are freed when
    nobody needs them.
    """

    def word(token):
        if token in stop:
            return ""
        if not (keep_punctuation or token.isalnum() or any(map(str.isalnum, token))):
            return ""
        return lemmatize(token) + " "

    return word


class _Pieces(dict):
    """From a key to its words, with a space after each, worked out when first asked for."""

    def __init__(self, tokenize, word):
        self._tokenize = tokenize
        self._words = _Words(word)
        self._used = 0

    def __missing__(self, key):
        tokens = _treebank.tokens_of(key, self._tokenize)
        self[key] = piece = "".join(map(self._words.__getitem__, tokens))
        self._used += _bytes_of(key, piece)
        return piece

    def is_full(self):
        """Tell whether keys and words together take more room than they may."""
        return self._used + self._words.used > _ROOM


class _Words(dict):
    """From a token to what remains of it and a space, worked out when first asked for."""

    def __init__(self, work_out):
        self[""] = ""
        self._work_out = work_out
        self.used = 0

    def __missing__(self, token):
        self[token] = word = self._work_out(token)
        self.used += _bytes_of(token, word)
        return word


def _bytes_of(key, value):
    """Bound the bytes of an entry of two strings: a slot, two headers, four bytes a character."""
    return 250 + 4 * (len(key) + len(value))
