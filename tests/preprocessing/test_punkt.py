import pytest
from cleaning_reference import TEXTS, need
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nasty_text import lines, nasty
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

from arena_estimators.exceptions import ResourceNotFoundError
from arena_estimators.preprocessing import _punkt, _treebank


@pytest.fixture(scope="module")
def sentences():
    need("tokenizers/punkt_tab/english/")
    return _punkt.sentences()


@pytest.fixture(scope="module")
def nltk_spans():
    need("tokenizers/punkt_tab/english/")
    from nltk.tokenize import PunktTokenizer

    tokenizer = PunktTokenizer("english")
    return lambda text: list(tokenizer.span_tokenize(text))


def without_reserved(text):
    return text.translate(dict.fromkeys(map(ord, _treebank.RESERVED)))


@settings(max_examples=500, deadline=None)
@given(text=nasty.map(without_reserved))
@example(text="Prof. İ. inalcik wrote it.")
def test_spans_are_nltks(sentences, nltk_spans, text):
    assert sentences.spans(text) == nltk_spans(text)
    assert sentences.spans(text.lower()) == nltk_spans(text.lower())


@pytest.mark.parametrize("text", [without_reserved(text) for text in [*TEXTS, *lines]])
def test_spans_of_written_texts_and_long_lines_are_nltks(sentences, nltk_spans, text, monkeypatch):
    # NLTK gives up on a search after five seconds, which a busy machine may take.
    monkeypatch.setattr("nltk.redos.DEFAULT_TIMEOUT", None)
    assert sentences.spans(text) == nltk_spans(text)


def small_punkt(*abbreviations):
    """Make a Punkt that knows a few words, with what the English one happens to lack."""
    parameters = PunktParameters()
    parameters.abbrev_types = {"dr", "u-s", "e.g", "b2b", *abbreviations}
    parameters.collocations = {("san", "jose"), ("##number##", "road"), ("j", "paul")}
    parameters.sent_starters = {"the", "however"}
    # Where each was seen: Punkt's flags for upper (2, 4, 8) and lower case (16, 32, 64), each at
    # the beginning of a sentence, in the middle, or at an unknown position.
    for word, context in {"the": 46, "jose": 2, "road": 36, "paul": 34, "it": 46}.items():
        parameters.ortho_context[word] = context
    return PunktSentenceTokenizer(parameters)


WORDS = "Dr semi-dr u-s U-S pro-e.g e.g b2b 12 77 1-2 3,4 san Jose jose j paul it The road".split()
ENDS = [". ", ".", "? ", "! ", "... ", ". . ", ".) ", '." ', ".\r", ".\v", ".\t", ".\n\n", "?) ("]
GAPS = ["", " ", "\r", "\v", " (", ' "', " 1. ", ", ", "-", ") ", " *", ") the. "]
three = st.tuples(*map(st.sampled_from, (WORDS, ENDS, GAPS))).map("".join)
PAIRS = [(_punkt.Sentences(small_punkt(*known)), small_punkt(*known)) for known in ((), ("12",))]


@settings(max_examples=1500, deadline=None)
@given(text=st.lists(three, max_size=5).map("".join))
def test_spans_are_those_of_any_punkt(text):
    for ours, nltks in PAIRS:
        assert ours.spans(text) == list(nltks.span_tokenize(text))


@pytest.mark.parametrize("word", ["word.", "well-known.", "(aside.", "**bold**.", "no?", "Yes!"])
@pytest.mark.parametrize("after", [" the", " The", ")", '"', "\n\n- item", " 1. x", " ,"])
def test_plain_words_end_a_sentence_whatever_follows(sentences, word, after):
    assert sentences._true_or_question(word) is True
    assert sentences.nltk.text_contains_sentbreak(word + after)


@pytest.mark.parametrize(
    "word", ["dr.", "j.", "İ.", "12.", "e.g.", "a.k.a.", "co.", "ellipsis..", "."]
)
def test_other_words_are_asked_for_with_what_follows(sentences, word):
    assert sentences._true_or_question(word) is not True


def test_looking_words_up_does_not_grow_punkts_tables(sentences):
    before = len(sentences.nltk._params.ortho_context)
    sentences.spans("Dr. Zzyzx met J. Qwfp at 5. Xyzzyx was late, vs. plugh.")
    assert len(sentences.nltk._params.ortho_context) == before


def test_memory_is_bounded(sentences, monkeypatch):
    monkeypatch.setattr(_punkt, "_MOST", 10)
    sentences.spans(" ".join(f"Word{number}e. J. Smith{number} etc." for number in range(50)))
    assert len(sentences._words) <= 10
    assert len(sentences._contexts) <= 10
    sentences.spans("x" * 100_000 + "'. b")
    assert max(map(len, sentences._words)) < 100


def test_missing_punkt_says_how_to_get_it(monkeypatch):
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    _punkt._load.cache_clear()
    try:
        with pytest.raises(ResourceNotFoundError) as caught:
            _punkt.sentences()
    finally:
        _punkt._load.cache_clear()
    message = str(caught.value)
    for part in ("punkt_tab", "python -m nltk.downloader punkt_tab", "NLTK_DATA", "treebank"):
        assert part in message
