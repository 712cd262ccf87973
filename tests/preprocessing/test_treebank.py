import pytest
from cleaning_reference import TEXTS
from hypothesis import example, given, settings
from nasty_text import lines, nasty
from nltk.tokenize import NLTKWordTokenizer

from arena_estimators.preprocessing import _treebank

nltk_tokens = NLTKWordTokenizer().tokenize


def tokens(text):
    keys = _treebank.keys_of(text)
    found = _treebank.tokens_of(dict.fromkeys(keys), nltk_tokens)
    return [token for key in keys for token in found[key].split()]


def without_reserved(text):
    return text.translate(dict.fromkeys(map(ord, _treebank.RESERVED)))


@settings(max_examples=500, deadline=None)
@given(nasty.map(without_reserved))
@example("dogs'\t' \"")
@example('a."\n"b')
def test_tokens_are_nltks(text):
    assert tokens(text) == nltk_tokens(text)


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
        assert tokens(part) == nltk_tokens(part)


@pytest.mark.parametrize("text", lines, ids=lambda text: repr(text[:8]))
def test_tokens_of_long_lines_are_nltks(text):
    assert tokens(text) == nltk_tokens(text)


def test_nltk_sees_only_chunks_with_quotes():
    seen = []

    def tokenize(text):
        seen.append(text)
        return nltk_tokens(text)

    text = "Plain words, **bold** (and) [more]: a-b 3.14 `code` isn't."
    found = _treebank.tokens_of(_treebank.keys_of(text), tokenize)
    assert len(seen) == 1
    assert "isn't" in seen[0]
    assert "Plain" not in seen[0]
    assert found["isn't"] == "is n't"


def test_unknown_rules_are_noticed():
    import re

    class Later(NLTKWordTokenizer):
        PUNCTUATION = [*NLTKWordTokenizer.PUNCTUATION, (re.compile("~"), " ~ ")]

    assert _treebank.rules_known(NLTKWordTokenizer())
    assert not _treebank.rules_known(Later())
