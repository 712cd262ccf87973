"""Sentence ends as NLTK's Punkt finds them, with its decisions remembered.

Punkt looks at every `.`, `?` and `!` before white space or a closing mark, and decides by the word
that ends there and the token that follows. `Sentences.spans` walks a text as
`PunktSentenceTokenizer` does, with NLTK's patterns, and asks NLTK only about what is new to it.
Three facts, tested against NLTK, keep the memory small:

- `?`, `!`, and the period of a plain word (letters, digits, single hyphens) that is no
  abbreviation, initial, number or first half of a collocation, end a sentence whatever follows.
- A number counts as any other number, because Punkt knows it as `##number##`.
- Only the first token of what follows counts, unless what follows holds a sentence end itself.
"""

import functools
import re
import threading

from arena_estimators.preprocessing._words import NOT_THERE, missing

# The marks in front always end a word and never start one, so what follows them is a word anew.
_PLAIN = re.compile(r"""(?:[^\s.?!]*[)";}\]*:@({\[])?((?:[^\W_]+(?:-[^\W_]+)*)?[.?!])""").fullmatch
# Marks with which no token of two or more characters starts, so that each is a token of its own.
_ALONE = frozenset('("`{[:;&#*@)}],')
_ENDS = re.compile("[.?!]").search
_MOST = 100_000
_LOCK = threading.Lock()


@functools.cache
def _load():
    from nltk.tokenize.punkt import PunktTokenizer

    try:
        return Sentences(PunktTokenizer("english"))
    except NOT_THERE:
        raise missing(
            "NLTK's punkt_tab sentence models",
            "punkt_tab",
            "tokenizers/punkt_tab",
            "use tokenizer='treebank', which needs no data",
        ) from None


def sentences():
    """Give the English sentence finder of this process, loaded once.

    Raises
    ------
    ResourceNotFoundError
        If punkt_tab is not among the user's NLTK data.
    """
    with _LOCK:
        return _load()


class _Flags(dict):
    """Punkt's orthographic contexts, without growing at every word that is looked up."""

    def __missing__(self, word):
        return 0


class Sentences:
    """Find the sentences of texts, remembering decisions; see the module's docstring.

    Parameters
    ----------
    tokenizer : PunktSentenceTokenizer
        Whose decisions to make. Not to be shared: its orthographic contexts are replaced by
        `_Flags`.
    """

    def __init__(self, tokenizer):
        variables, parameters = tokenizer._lang_vars, tokenizer._params
        parameters.ortho_context = _Flags(parameters.ortho_context)
        self.nltk = tokenizer
        firsts = {first for first, _ in parameters.collocations}
        self._not_plain = parameters.abbrev_types | firsts
        self._numbers_differ = any(map(str.isdigit, parameters.abbrev_types))
        self._candidates = re.compile(variables.period_context_re().pattern, re.VERBOSE)
        self._realigned = re.compile(variables.re_boundary_realignment.pattern, re.MULTILINE)
        self._words = {}
        self._contexts = {}

    def spans(self, text):
        """Give the (start, stop) of each sentence, as `PunktSentenceTokenizer.span_tokenize`.

        `text` must not hold the separators U+001C to U+001F, on which the white space of `re`
        and of NLTK's patterns differ.
        """
        pieces = []
        start = 0
        for stop, following in self._breaks(text):
            pieces.append((start, stop))
            start = following
        pieces.append((start, len(text.rstrip())))
        return self._realign(text, pieces)

    def _breaks(self, text):
        """Yield where a sentence stops and where the next one starts."""
        rfind = text.rfind
        rare = [space for space in "\t\r\v\f" if space in text]
        match, word_start, word_stop = None, 0, 0
        for candidate in self._candidates.finditer(text):
            here = candidate.start()
            space = max(rfind(" ", word_stop, here), rfind("\n", word_stop, here))
            for other in rare:
                space = max(space, rfind(other, word_stop, here))
            before = space + 1 if space > word_stop else word_start
            # Of candidates within one word only the last counts.
            if match and word_stop <= before and self._ends(text[word_start : match.end()], match):
                yield match.end(), _next_start(match)
            match, word_start, word_stop = candidate, before, here
        if match and self._ends(text[word_start : match.end()], match):
            yield match.end(), _next_start(match)

    def _ends(self, word, match):
        """Decide whether `word`, which ends at a match, ends a sentence."""
        answer = self._words.get(word)
        if answer is None:
            answer = self._true_or_question(word)
            _remember(self._words, word, answer)
        return answer is True or self._ends_before(answer, match.group("after_tok"))

    def _true_or_question(self, word):
        """Return True if a word ends a sentence whatever follows, else what to ask Punkt about."""
        plain = _PLAIN(word)
        if not plain or word == ".":
            return word
        word = plain.group(1)
        kind = word[:-1].lower()
        if word[-1] != "." or not kind:
            return True
        if kind.strip("0123456789") == "" and not self._numbers_differ:
            return "0."
        last = kind.rpartition("-")[2]
        ends = len(word) > 2 and any(map(str.isalpha, kind))
        return (ends and kind not in self._not_plain and last not in self._not_plain) or word

    def _ends_before(self, word, after):
        following = after.lstrip()
        if after[0] != following[0] and following[0] in _ALONE and not _ENDS(following):
            after = " " + following[0]
        context = word + after
        decision = self._contexts.get(context)
        if decision is None:
            decision = self.nltk.text_contains_sentbreak(context)
            _remember(self._contexts, context, decision)
        return decision

    def _realign(self, text, pieces):
        """Move closing quotes and brackets to the sentence they close, as NLTK does."""
        spans = []
        moved = 0
        for (start, stop), (next_start, next_stop) in zip(pieces, pieces[1:], strict=False):
            start += moved
            closing = self._realigned.match(text, next_start, next_stop)
            if closing:
                spans.append((start, next_start + len(closing.group().rstrip())))
                moved = closing.end() - next_start
            else:
                moved = 0
                if start < stop:
                    spans.append((start, stop))
        start, stop = pieces[-1]
        if start + moved < stop:
            spans.append((start + moved, stop))
        return spans


def _next_start(match):
    return match.start("next_tok") if match.group("next_tok") else match.end()


def _remember(memory, key, value):
    if len(key) < 100:
        if len(memory) >= _MOST:
            memory.clear()
        memory[key] = value
