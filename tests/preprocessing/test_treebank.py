import itertools

import pytest
from cleaning_reference import TEXTS
from hypothesis import example, given, settings
from nasty_text import lines, nasty
from nltk.tokenize import NLTKWordTokenizer

from arena_estimators.preprocessing import _treebank

nltk_tokens = NLTKWordTokenizer().tokenize


our_tokens = _treebank.tokenizer_of(_treebank.known_rules())


def check(text):
    """All rules at once, and key by key, give NLTK's tokens."""
    expected = nltk_tokens(text)
    assert our_tokens(text) == expected
    keys = _treebank.keys_of(text)
    found = [token for key in keys for token in _treebank.tokens_of(key, our_tokens) if token]
    assert found == expected


def without_reserved(text):
    return text.translate(dict.fromkeys(map(ord, _treebank.RESERVED)))


@settings(max_examples=500, deadline=None)
@given(nasty.map(without_reserved))
@example("dogs'\t' \"")
@example('a."\n"b')
@example("2²'s\u0301 ½'t\u200dx ①'ll\u0301")
def test_tokens_are_nltks(text):
    check(text)


@pytest.mark.parametrize("text", [without_reserved(text) for text in TEXTS])
def test_tokens_of_written_texts_are_nltks(text):
    for part in (
        text,
        text.lower(),
        text.strip(),
        text + "\n",
        f" {text} ",
        text.replace(" ", "\n"),
    ):
        check(part)


@pytest.mark.parametrize("text", lines, ids=lambda text: repr(text[:8]))
def test_tokens_of_long_lines_are_nltks(text):
    check(text)


def test_only_chunks_that_need_all_rules_meet_them():
    seen = []

    def tokenize(text):
        seen.append(text)
        return nltk_tokens(text)

    text = "Plain words, **bold** (and) [more]: a-b 3.14 `code` isn't 'quoted' \"double.\" Gonna x"
    found = {key: _treebank.tokens_of(key, tokenize) for key in _treebank.keys_of(text)}
    assert [text.strip(_treebank._BREAK) for text in seen] == [" Gonna "]
    assert found["isn't"] == ["is", "n't"]
    assert found["'quoted'"] == ["'", "quoted", "'"]
    assert found['"double."'] == ["``", "double.", "''"]


STEMS = [
    "it",
    "IT",
    "don",
    "DON",
    "n",
    "a_b",
    "a.b",
    "e\u0301",
    "é",
    "1",
    "½",
    "(it",
    '"it',
    "`don",
    "x:y",
    "",
]
SUFFIXES = "s S m M d D t T ll LL Ll re ve n't N'T N't 's't 'n ye tis was x r é l".split()


@pytest.mark.parametrize("suffix", [f"'{end}" if "'" not in end else end for end in SUFFIXES])
def test_suffixes_are_nltks(suffix):
    for stem, after in itertools.product(
        STEMS, [*', . " .. )". -x * ,, _ ! \u0301 \u200d'.split(), ""]
    ):
        chunk = f"{stem}{suffix}{after}"
        for text in (f"x {chunk} y", f"x\n{chunk}\ty"):
            check(text)


@pytest.mark.parametrize("before", ["", " ", "\n", *"([{<«“‘„`\"':-_.a*»"])
def test_double_quotes_are_nltks(before):
    marks = ["", " ", "\n", *")]}>»”’`\"':-_.a*,"]
    for after, quote in itertools.product(marks, ['"', '""', '"""', '"x"', '("a', '"`"', '`"']):
        for text in (f"x {before}{quote}{after} y", f"x\t{before}{quote}{after}\ny"):
            check(text)


@pytest.mark.parametrize("after", ["", "'", ",", ")"])
@pytest.mark.parametrize("first", "'\"s.,(dé")
def test_short_chunks_with_single_quotes_are_nltks(first, after):
    for rest in itertools.product([*"'\"sdnt.,)é`", "ll"], repeat=3):
        chunk = "".join([first, *rest, after])
        if "'" in chunk:
            for text in (f"x {chunk} y", f"x\n{chunk}\ty"):
                check(text)


@pytest.mark.parametrize("text", ["555\u20121234", "a:\U0001d7d9 ,\U0001d7d9 x", "‘Go.’", "I'D go"])
def test_rare_characters_are_nltks(text):
    check(text)


def test_unknown_rules_are_noticed():
    import re

    class Later(NLTKWordTokenizer):
        PUNCTUATION = [*NLTKWordTokenizer.PUNCTUATION, (re.compile("~"), " ~ ")]

    class Changed(NLTKWordTokenizer):
        def tokenize(self, text):
            return super().tokenize(text.replace("'", "’"))

    assert _treebank.rules_of(NLTKWordTokenizer())
    assert _treebank.rules_of(Later()) is None
    assert _treebank.rules_of(Changed()) is None


@pytest.mark.parametrize("start", ['""', "\"''", "''", '"', "'", "'\"", '"""'])
def test_quotes_at_the_start_are_nltks(start):
    for rest in ["", "a", "''", "'a", '"', "(a)", " ", "\n", ".", "s"]:
        for text in (f"{start}{rest} y", f"{start}{rest}"):
            check(text)
