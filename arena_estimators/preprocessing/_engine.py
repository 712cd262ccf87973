"""Texts in, cleaned texts out: tokens, stop words and lemmas, remembered chunk by chunk.

An engine belongs to a process and is shared by its threads; estimators hold none, so that they
stay small to pickle. What a chunk becomes is remembered until `_ROOM` is used up, then forgotten as
a whole: a dictionary is only ever replaced, never emptied, so a thread keeps what it started with.
"""

import functools
import sys
from itertools import chain, repeat

from arena_estimators.preprocessing import _punkt, _treebank, _words

TOKENIZERS = ("treebank", "punkt", "tweet")
_BLOCK = 100_000
# In bytes, counting what is remembered generously.
_ROOM = 100_000_000
_UNKNOWN = "\0"


def clean_cells(columns, settings):
    """Clean the cells of columns in this process, with `settings` as `engine` takes them.

    Battles of a prompt should stand together, because they share words and an engine remembers.
    """
    cells = chain.from_iterable(zip(*columns, strict=True))
    texts = dict.fromkeys(chain.from_iterable(map(turns, cells)))
    texts.pop(None, None)
    texts = dict(zip(texts, engine(*settings).clean(list(texts)), strict=True))

    def cleaned(cell):
        if isinstance(cell, str):
            return texts[cell]
        if isinstance(cell, list | tuple):
            kept = map(texts.get, cell)
            return list(kept) if isinstance(cell, list) else tuple(kept)
        return cell

    return [list(map(cleaned, cells)) for cells in columns]


def clean_share(columns, settings, folders):
    """Do what `clean_cells` does in another process, with NLTK's data where `folders` says."""
    if folders is not None:
        import nltk

        nltk.data.path[:] = folders
    return clean_cells(columns, settings)


def data_folders(settings):
    """Give where this process looks for NLTK's data, None if `settings` need none."""
    if settings[0] != "punkt":
        return None
    import nltk

    return list(nltk.data.path)


def turns(cell):
    """Give the texts of a cell, None among them where a turn is missing."""
    if isinstance(cell, str):
        return (cell,)
    return cell if isinstance(cell, list | tuple) else ()


@functools.lru_cache(maxsize=2)
def engine(tokenizer, stop, pos, keep_punctuation, lowercase, rules):
    """Give the engine of this process for some settings; the two used last are kept.

    `stop` is a frozenset and `rules` what `known_rules` gives; for the others see `NLTKCleaner`.

    Raises
    ------
    ResourceNotFoundError
        If the tokenizer needs NLTK data that is not on this machine.
    """
    return Engine(tokenizer, stop, pos, keep_punctuation, lowercase, rules)


class Engine:
    """Clean texts; see `engine` for the settings."""

    def __init__(self, tokenizer, stop, pos, keep_punctuation, lowercase, rules):
        self._tokenize = _tokenizer("treebank") if rules is None else _treebank.tokenizer_of(rules)
        self._sentences = _punkt.sentences() if tokenizer == "punkt" else None
        self._local = rules is not None and tokenizer != "tweet"
        self._whole = _tokenizer("tweet") if tokenizer == "tweet" else self._tokens
        self._stop = stop
        self._keep_punctuation = keep_punctuation
        self._lemmatize = _words.lemmatizer(pos)
        self._lowercase = lowercase
        self._forget()

    def clean(self, texts):
        """Clean a list of texts."""
        if self._lowercase:
            texts = map(str.lower, texts)
        cleaned = []
        for block in _blocks(texts, _BLOCK):
            if len(block) == 1:  # a text may be of any length
                keys = self._keys(block[0])
                parts = [keys[start : start + _BLOCK] for start in range(0, len(keys), _BLOCK)]
                cleaned.append("".join(self._joined([part])[0] for part in parts)[:-1])
            else:
                cleaned += [text[:-1] for text in self._joined(map(self._keys, block))]
        return cleaned

    def _forget(self):
        self._pieces = {}
        self._words = _Words(self._word)
        self._room = _ROOM

    def _joined(self, texts):
        """Join what the keys of each text become, a space behind each word."""
        remembered, unknown = self._pieces.get, repeat(_UNKNOWN)
        joined, gaps = [], []
        for keys in texts:
            pieces = list(map(remembered, keys, unknown))
            joined.append(pieces)
            if _UNKNOWN in pieces:
                gaps += [(pieces, i, keys[i]) for i in _positions(pieces)]
        new = self._work_out({key for _, _, key in gaps})
        for pieces, position, key in gaps:
            pieces[position] = new[key]
        return list(map("".join, joined))

    def _work_out(self, keys):
        """Give what each key becomes, words with a space behind each, and remember it."""
        words = self._words
        whole = {key for key in keys if key[0] == _treebank.TOKEN}
        new = {key: words[key[1:]] for key in whole}
        for key, tokens in _treebank.tokens_of(keys - whole, self._tokenize).items():
            if " " in tokens:
                new[key] = "".join(map(words.__getitem__, tokens.split()))
            else:
                new[key] = words[tokens]
        self._pieces.update(new)
        # A key and what it becomes; as much again, and more, for its words and their lemmas.
        self._room -= sum(map(sys.getsizeof, new)) + 200 * len(new)
        self._room -= 3 * sum(map(sys.getsizeof, new.values()))
        if self._room < 0:
            self._forget()
        return new

    def _keys(self, text):
        if not self._local or any(mark in text for mark in _treebank.RESERVED):
            return [_treebank.TOKEN + token for token in self._whole(text)]
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

    def _word(self, token):
        if token in self._stop:
            return ""
        if not (self._keep_punctuation or token.isalnum() or any(map(str.isalnum, token))):
            return ""
        return self._lemmatize(token) + " "


def _tokenizer(name):
    from nltk.tokenize import NLTKWordTokenizer, TweetTokenizer

    return {"treebank": NLTKWordTokenizer, "tweet": TweetTokenizer}[name]().tokenize


def _blocks(texts, size):
    """Yield texts in lists of at least so many characters; the last may have fewer."""
    block, length = [], 0
    for text in texts:
        block.append(text)
        length += len(text)
        if length >= size:
            yield block
            block, length = [], 0
    if block:
        yield block


def _positions(pieces):
    """Yield where pieces are unknown."""
    position = -1
    for _ in range(pieces.count(_UNKNOWN)):
        position = pieces.index(_UNKNOWN, position + 1)
        yield position


class _Words(dict):
    """Token to what remains of it and a space, worked out when first asked for."""

    def __init__(self, work_out):
        self._work_out = work_out

    def __missing__(self, token):
        self[token] = word = self._work_out(token)
        return word
