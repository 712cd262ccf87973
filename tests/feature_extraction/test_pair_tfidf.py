import json
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from arena_estimators import PairTfidfVectorizer, make_battles, swap
from arena_estimators.battles import texts
from arena_estimators.exceptions import ArenaError
from arena_estimators.feature_extraction import _ngrams, _pair_tfidf, _units

NASTY = [
    "",
    " ",
    "a",
    "The cat sat on the mat. The cat sat!",
    "the  the\tthe\n\n a an x_y 42 4 don't",
    "Caf\xe9 caf\xe9 cafe\u0301 \xc9COLE \u0130stanbul STRASSE stra\xdfe",
    "\u03a3\u0391\u03a3 \u03a3 O\u03a3, \u03bf\u03c3",
    "\u4e2d\u6587 \u4e2d \u65e5\u672c\u8a9e\u3000\u30c6\u30b9\u30c8\u2003em\u00a0space\u2014dash",
    "\ud83d\ude00 \U0001f600\U0001f468\u200d\U0001f469 lone \ud800 pair\udc00x",
    "\x00 nul \x1c\x1d\x85 control \x0b\x0c",
    "\u0915\u094d\u0937\u093f \u0e01\u0e34\u0e19 \u0661\u0662\u0663 \xb2\xbd \u2167",
    "aa aa bb aa bb cc",
    "one two three four five six one two three four",
    "word" * 20 + " " + "ab " * 30,
    "**bold** `code()` http://x.yz/?q=1 ... !!!",
]


@pytest.fixture
def nasty():
    n = len(NASTY)
    return pd.DataFrame(
        {"prompt": NASTY[::-1], "response_a": NASTY, "response_b": NASTY[5:] + NASTY[:5]},
        index=range(n, 0, -1),
        dtype=object,  # the text dtype of pandas 3 refuses lone surrogates
    )


def by_hand(X, *, combine="difference", **params):
    """Compose scikit-learn's vectorizer the way a careful person would."""
    params = {"dtype": np.float32} | params
    params.pop("n_jobs", None)
    if params.get("analyzer") == "multilingual":
        params |= {"analyzer": "word", "token_pattern": _units.MULTILINGUAL}
    vectorizer = TfidfVectorizer(**params)
    prompts, a, b = (texts(X[name]) for name in ("prompt", "response_a", "response_b"))
    if combine == "joined":
        battles = ["\n\n".join(battle) for battle in zip(prompts, a, b, strict=True)]
        return vectorizer, vectorizer.fit_transform(battles)
    rows = vectorizer.fit_transform(a + b + (prompts if combine == "separate" else []))
    A, B, P = (rows[i * len(X) : (i + 1) * len(X)] for i in range(3))
    blocks = {
        "difference": [A - B],
        "difference+absolute": [A - B, abs(A - B)],
        "separate": [P, A, B],
    }
    return vectorizer, sp.hstack(blocks[combine], format="csr")


def assert_close(found, expected):
    """Compare sparse matrices; scikit-learn adds a row's squares up in another order."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert abs(found - expected).max() <= (1e-7 if found.dtype == np.float32 else 1e-15)


def assert_equal(X, **params):
    """Compare fit_transform and transform with the composition by hand."""
    expected_vectorizer, expected = by_hand(X, **params)
    vectorizer = PairTfidfVectorizer(**params)
    fitted = vectorizer.fit_transform(X)
    for found in (fitted, vectorizer.transform(X)):
        assert_close(found, expected)
        assert found.has_canonical_format
    assert vectorizer.vocabulary_ == expected_vectorizer.vocabulary_
    if params.get("use_idf", True):
        np.testing.assert_array_equal(vectorizer.idf_, expected_vectorizer.idf_)
    names = expected_vectorizer.get_feature_names_out()
    n_blocks = expected.shape[1] // len(names)
    found = [name.split("__", 1)[1] for name in vectorizer.get_feature_names_out()]
    assert found == [*names] * n_blocks
    return vectorizer


def outcome(function, *args, **params):
    """Give what a call returns, or the text of its ValueError."""
    try:
        return function(*args, **params)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("combine", ["difference", "difference+absolute", "separate", "joined"])
@pytest.mark.parametrize("analyzer", ["word", "multilingual", "char", "char_wb"])
@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 2), (2, 2), (1, 4), (3, 5), (6, 8)])
def test_equals_composition(nasty, combine, analyzer, ngram_range):
    assert_equal(nasty, combine=combine, analyzer=analyzer, ngram_range=ngram_range)


@pytest.mark.parametrize(
    "params",
    [
        {"sublinear_tf": True},
        {"use_idf": False},
        {"smooth_idf": False},
        {"norm": "l1"},
        {"norm": None},
        {"binary": True},
        {"lowercase": False},
        {"strip_accents": "unicode"},
        {"strip_accents": "ascii"},
        {"token_pattern": r"(?u)\b\w+\b"},
        {"token_pattern": r"[^,.]+"},
        {"token_pattern": r"(\w+)\W"},
        {"stop_words": "english"},
        {"stop_words": ["the", "cat", "caf\xe9"]},
        {"dtype": np.float64},
        {"min_df": 2},
        {"min_df": 0.1, "max_df": 0.5},
        {"max_df": 3},
        {"max_df": 0.5, "max_features": 9},
        {"max_features": 1},
        {"max_features": 7, "min_df": 2},
        {"max_features": 40, "binary": True},
        {"max_features": 10**6},
        {"n_jobs": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("analyzer", ["word", "char", "char_wb"])
# scikit-learn warns of parameters that an analyzer does not read; all are tried with each, and the
# results must be equal all the same.
@pytest.mark.filterwarnings("ignore:The parameter '.*' will not be used:UserWarning")
def test_equals_composition_for_every_parameter(nasty, analyzer, params):
    params = {"analyzer": analyzer, "ngram_range": (1, 3)} | params
    expected = outcome(by_hand, nasty, **params)
    vectorizer = PairTfidfVectorizer(**params)
    found = outcome(vectorizer.fit_transform, nasty)
    if isinstance(expected, str):
        assert found == expected
        return
    assert_close(found, expected[1])
    assert_close(vectorizer.transform(nasty), expected[1])
    assert vectorizer.vocabulary_ == expected[0].vocabulary_


CHARACTERS = st.sampled_from(
    "aabbccA  \n\t_1.-'\x00\x1c\x85\xa0\xe9\u0301\u03a3\u4e2d\u0e34\u0915\u093f\ud800\U0001f600"
)
TEXTS = st.lists(
    st.text(CHARACTERS | st.characters(codec=None), max_size=30), min_size=6, max_size=6
)


@settings(max_examples=100, deadline=None)
@given(
    cells=TEXTS,
    unseen=TEXTS,
    analyzer=st.sampled_from(["word", "multilingual", "char", "char_wb"]),
    first=st.integers(1, 5),
    more=st.integers(0, 3),
    params=st.fixed_dictionaries(
        {},
        optional={
            "max_features": st.integers(1, 20),
            "min_df": st.integers(1, 3),
            "max_df": st.sampled_from([0.3, 0.7, 2, 4]),
            "sublinear_tf": st.booleans(),
            "binary": st.booleans(),
            "lowercase": st.booleans(),
            "strip_accents": st.sampled_from(["ascii", "unicode"]),
            "token_pattern": st.sampled_from([r"\w+", r"\S", "a|b", r"(?u)\b\w\w+\b", "a.b|a| b"]),
            "norm": st.sampled_from(["l1", None]),
        },
    ),
)
# scikit-learn warns of parameters that an analyzer does not read; any are drawn with any.
@pytest.mark.filterwarnings("ignore:The parameter:UserWarning")
def test_equals_composition_on_any_text(cells, unseen, analyzer, first, more, params):
    X, Z = (
        pd.DataFrame({"prompt": "", "response_a": part[:3], "response_b": part[3:]}, dtype=object)
        for part in (cells, unseen)
    )
    params |= {"analyzer": analyzer, "ngram_range": (first, first + more)}
    expected = outcome(by_hand, X, **params)
    vectorizer = PairTfidfVectorizer(**params)
    found = outcome(vectorizer.fit_transform, X)
    if isinstance(expected, str):
        assert found == expected
        return
    assert_close(found, expected[1])
    assert vectorizer.vocabulary_ == expected[0].vocabulary_
    rows = expected[0].transform(unseen)
    assert_close(vectorizer.transform(Z), rows[:3] - rows[3:])
    assert (vectorizer.transform(swap(Z)) != -vectorizer.transform(Z)).nnz == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I can't say it_1, a b 42!", "can say it_1 42"),
        ("我用Python3，不用C。", "我 用 python3 不 用"),
        ("テストです。", "テ ス ト で す"),
        ("한국어는 좋아요", "한국어는 좋아요"),
        ("ไทยิ", "ไ ท ย ิ"),
        ("हिन्दी में।", "हिन्दी में"),
        ("مُحَمَّد café", "مُحَمَّد café"),
        ("Почему я?", "почему"),
        ("〆切", "〆 切"),
        ("㐀㐁", "㐀 㐁"),
        ("\uf900\uf901", "\uf900 \uf901"),
        ("\U00020000\U00020001", "\U00020000 \U00020001"),
        ("ｱｲｳ", "ｱ ｲ ｳ"),
        ("ສະ", "ສ ະ"),
        ("မြ", "မ ြ"),
        ("ខ្ម", "ខ ្ ម"),
        ("தமிழ்", "தமிழ்"),
        ("বাংলা", "বাংলা"),
    ],
    ids="English Chinese Japanese Korean Thai Hindi marks Russian closing-mark extension-A "
    "compatibility extension-B half-width-kana Lao Burmese Khmer Tamil Bengali".split(),
)
def test_multilingual_words(text, words):
    X = pd.DataFrame({"prompt": [""], "response_a": [text], "response_b": ["..."]})
    vectorizer = PairTfidfVectorizer(analyzer="multilingual").fit(X)
    assert sorted(vectorizer.vocabulary_) == sorted(set(words.split()))
    dropped = words.split()[0]
    vectorizer.set_params(stop_words=[dropped])
    if words != dropped:
        assert set(vectorizer.fit(X).vocabulary_) == {*words.split()} - {dropped}


@pytest.mark.parametrize("analyzer", ["multilingual", "char_wb"])
def test_who_reads_characters_is_not_told_to(nasty, analyzer):
    with pytest.raises(ArenaError, match="no terms remain") as error:
        PairTfidfVectorizer(analyzer=analyzer, min_df=29).fit(nasty)
    (note,) = error.value.__notes__
    assert note.startswith("The commonest is in")


def test_battles_too_few_for_min_df_are_told_of():
    texts = {"response_a": ["a cat", "yes"], "response_b": ["one cat", "no"]}
    X = pd.DataFrame({"prompt": ["Hi", "Hi"], **texts})
    few = "commonest is in 2 texts, and min_df asks for 3: the battles may be too few"
    with pytest.raises(ArenaError, match=few):
        PairTfidfVectorizer(min_df=3).fit(X)
    with pytest.raises(ArenaError, match="no terms remain") as error:
        PairTfidfVectorizer(max_df=1, stop_words=["one", "yes", "no"]).fit(X)
    assert "too few" not in "".join(error.value.__notes__)


def test_words_that_no_pair_holds_are_no_terms_of_any_share(nasty):
    assert_equal(nasty, ngram_range=(2, 2), min_df=0.0)


def test_given_vocabulary(nasty):
    terms = ["the cat", "cat", "zzz", "a", "one two three four", "", "two", "mat the cat", "cat "]
    params = {"vocabulary": terms, "ngram_range": (1, 3)}
    vectorizer = assert_equal(nasty, **params)
    assert vectorizer.fixed_vocabulary_
    assert_equal(nasty, **params, token_pattern="[^,.]+")
    assert_equal(nasty, vocabulary={"cat": 1, "the": 0, "mat": 2})
    assert_equal(nasty, vocabulary={"cat", "the", "mat"})
    characters = ["t", " a ", " the ", "cat", "he c", "", "\U0001f600", "at."]
    for analyzer in ("char", "char_wb"):
        for ngram_range in ((1, 3), (4, 5)):
            assert_equal(nasty, vocabulary=characters, analyzer=analyzer, ngram_range=ngram_range)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"vocabulary": []}, "empty vocabulary passed"),
        ({"vocabulary": ["a", "a"]}, "Duplicate term"),
        ({"vocabulary": {"a": 0, "b": 2}}, "doesn't contain index"),
        ({"ngram_range": (2, 1)}, "ngram_range"),
        ({"ngram_range": (0, 1)}, "shortest n-grams have length 1"),
        ({"min_df": 3, "max_df": 1}, "max_df corresponds to < documents than min_df"),
        ({"min_df": 3, "max_df": 1}, "3 texts at least and in 1 at most: .* Lower min_df"),
        ({"min_df": 29}, "no terms remain"),
        ({"min_df": 29}, "between words, such as Chinese: analyzer='multilingual' or"),
        ({"token_pattern": "(a)(b)"}, "capturing group"),
        ({"combine": "sum"}, "combine"),
        ({"dtype": np.float16}, "dtype"),
        ({"analyzer": len}, "analyzer"),
    ],
)
def test_wrong_parameters(nasty, params, match):
    with pytest.raises(ValueError, match=match):
        PairTfidfVectorizer(**params).fit(nasty)


def test_empty_vocabulary():
    X = pd.DataFrame({"prompt": ["Hi"], "response_a": ["a b"], "response_b": [None]})
    with pytest.raises(ValueError, match="empty vocabulary; perhaps"):
        PairTfidfVectorizer().fit(X)
    with pytest.raises(ValueError, match="empty vocabulary; perhaps"):
        PairTfidfVectorizer().fit(X[:0])


def test_warnings_are_scikit_learns(nasty):
    with pytest.warns(UserWarning, match="Upper case characters found in vocabulary"):
        PairTfidfVectorizer(vocabulary=["Cat", "cat"]).fit(nasty)
    with pytest.warns(UserWarning, match="'stop_words' will not be used"):
        PairTfidfVectorizer(analyzer="char", stop_words=["a"]).fit(nasty)


@pytest.mark.parametrize("combine", ["difference", "difference+absolute", "separate"])
def test_swap(nasty, combine):
    vectorizer = PairTfidfVectorizer(combine, sublinear_tf=True).fit(nasty)
    Z, swapped = vectorizer.transform(nasty), vectorizer.transform(swap(nasty))
    n = len(vectorizer.idf_)
    if combine == "separate":
        assert (Z[:, n : 2 * n] != swapped[:, 2 * n :]).nnz == 0
        return
    assert (Z[:, :n] != -swapped[:, :n]).nnz == 0
    assert (Z[:, n:] != swapped[:, n:]).nnz == 0


def test_names_of_blocks(battles):
    def names(combine):
        vectorizer = PairTfidfVectorizer(combine, vocabulary=["bold", "hello"]).fit(battles)
        return vectorizer.get_feature_names_out().tolist()

    assert names("difference") == ["difference__bold", "difference__hello"]
    assert names("joined") == ["joined__bold", "joined__hello"]
    assert names("difference+absolute")[2:] == ["absolute__bold", "absolute__hello"]
    assert [name.split("__")[0] for name in names("separate")[::2]] == [
        "prompt",
        "response_a",
        "response_b",
    ]


@pytest.mark.parametrize("analyzer", ["word", "char", "char_wb"])
def test_many_chunks_and_large_keys(nasty, analyzer, monkeypatch):
    """Small chunks and the slow way to sort change nothing."""
    monkeypatch.setattr(_pair_tfidf, "_CHUNKS", dict.fromkeys(_pair_tfidf._CHUNKS, 2))
    assert_equal(nasty, analyzer=analyzer, ngram_range=(2, 4), n_jobs=2)
    monkeypatch.setattr(_ngrams, "_BITS", 0)
    assert_equal(nasty, analyzer=analyzer, ngram_range=(2, 4))


def test_state_is_small_and_survives(nasty):
    """Nothing that a limit dropped is kept, and a copy gives the same."""
    full = PairTfidfVectorizer(ngram_range=(1, 3)).fit(nasty)
    vectorizer = PairTfidfVectorizer(ngram_range=(1, 3), min_df=4).fit(nasty)
    assert set(vectorizer.ngrams_.known) <= set(" ".join(vectorizer.vocabulary_).split())
    assert len(pickle.dumps(vectorizer)) < len(pickle.dumps(full)) / 2
    copy = pickle.loads(pickle.dumps(vectorizer))
    assert (copy.transform(nasty) != vectorizer.transform(nasty)).nnz == 0
    assert (clone(vectorizer).fit_transform(nasty) != vectorizer.transform(nasty)).nnz == 0


def test_the_result_is_sparse_whatever_is_configured(nasty):
    """As with scikit-learn's own vectorizers; asking this one for pandas is refused at once."""
    with config_context(transform_output="pandas"):
        assert sp.issparse(PairTfidfVectorizer().fit_transform(nasty))
    pipeline = make_pipeline(PairTfidfVectorizer(), TruncatedSVD(2))
    with pytest.raises(ArenaError, match="sparse matrix, which cannot be 'pandas' output"):
        pipeline.set_output(transform="pandas")
    assert isinstance(pipeline.set_output(transform="default").fit_transform(nasty), np.ndarray)


def test_an_unknown_block_is_refused_after_fit_too(nasty):
    vectorizer = PairTfidfVectorizer().fit(nasty).set_params(combine="diff")
    with pytest.raises(ValueError, match="'combine' parameter"):
        vectorizer.transform(nasty)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "params",
    [
        {"ngram_range": (1, 2)},
        {"ngram_range": (1, 3), "min_df": 2, "max_features": 5000, "stop_words": "english"},
        {"analyzer": "char_wb", "ngram_range": (2, 5), "min_df": 3},
        {"analyzer": "char", "ngram_range": (1, 3), "sublinear_tf": True, "max_features": 3000},
    ],
    ids=str,
)
def test_equals_composition_on_real_battles(arena_data, params):
    frame = pd.read_parquet(arena_data / "judge_unique.parquet")[::60]
    assert_equal(frame[["prompt", "response_a", "response_b"]].map(json.loads), **params)


def test_no_battles_give_no_rows():
    X = make_battles(20, random_state=0).X
    model = PairTfidfVectorizer().fit(X)
    assert model.transform(X[:0]).shape == (0, len(model.get_feature_names_out()))


@pytest.mark.parametrize("pattern", _units.WORD_PATTERNS)
def test_every_fast_pattern_is_scikit_learns(pattern):
    X = pd.DataFrame({"prompt": [""], "response_a": ["a bb c-d é éé 1 x_"], "response_b": ["a b"]})
    expected = TfidfVectorizer(token_pattern=pattern).fit([*X.response_a, *X.response_b])
    assert PairTfidfVectorizer(token_pattern=pattern).fit(X).vocabulary_ == expected.vocabulary_


def test_a_share_of_one_is_every_text_and_no_number():
    X = pd.DataFrame(
        {"prompt": ["", ""], "response_a": ["aa bb", "aa"], "response_b": ["aa", "aa"]}
    )
    assert PairTfidfVectorizer(min_df=1.0).fit(X).vocabulary_ == {"aa": 0}


@pytest.mark.parametrize("largest", [2**61 - 1, 2**61, 2**62])
def test_large_keys_are_sorted_without_overflow(largest):
    keys = np.array([largest, 5, largest, 0])
    order, distinct, begins = _ngrams.group(keys)
    assert distinct.tolist() == [0, 5, largest]
    assert order.tolist() == [3, 1, 0, 2]
    assert begins.tolist() == [0, 1, 2]
    order, _, _ = _ngrams.group(np.tile([largest, 5], 500))
    assert order.tolist() == [*range(1, 1000, 2), *range(0, 1000, 2)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types_may_be_named(dtype):
    X = make_battles(20, random_state=0).X
    vectorizer = PairTfidfVectorizer(dtype=dtype)
    assert vectorizer.fit_transform(X).dtype == vectorizer.idf_.dtype == dtype


def test_no_choice_of_output_is_accepted():
    vectorizer = PairTfidfVectorizer()
    assert vectorizer.set_output(transform=None) is vectorizer


@pytest.mark.parametrize("use_idf", [True, False])
def test_an_interrupted_fit_leaves_the_older_one_or_none(monkeypatch, use_idf):
    def interrupted(*_):
        raise KeyboardInterrupt

    X, others = (make_battles(20, random_state=seed).X for seed in (0, 1))
    vectorizer = PairTfidfVectorizer(max_features=50, use_idf=use_idf)
    before = vectorizer.fit_transform(X)
    unfitted = PairTfidfVectorizer()
    monkeypatch.setattr(PairTfidfVectorizer, "_idf", interrupted)
    for one in (vectorizer.set_params(use_idf=True), unfitted):
        with pytest.raises(KeyboardInterrupt):
            one.fit(others)
    assert (vectorizer.transform(X) != before).nnz == 0
    with pytest.raises(NotFittedError):
        unfitted.transform(X)
