import functools
import gc
import json
import pickle
import re
import subprocess
import sys
import threading
import weakref
from itertools import chain

import joblib
import numpy as np
import pandas as pd
import pytest
from cleaning_reference import EXPECTED, TEXTS, need, need_all, reference, word_tokenizer
from hypothesis import given, settings
from nasty_text import lines, nasty
from nltk.tokenize import NLTKWordTokenizer, word_tokenize
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError

from arena_estimators import NLTKCleaner
from arena_estimators.battles import texts
from arena_estimators.datasets import load_arena
from arena_estimators.exceptions import ArenaError, BattlesError
from arena_estimators.preprocessing import _engine, _treebank, _words

CASES = json.loads(EXPECTED.read_text(encoding="ascii"))
NAMES = ["-".join(map(str, case["settings"].values())) for case in CASES]
every_case = pytest.mark.parametrize("case", CASES, ids=NAMES)
FILES = ["judge_unique", "judge_57k", "pandalm_human", "hh_harmless_human"]


def frame(cells, columns=("prompt",)):
    return pd.DataFrame({column: pd.Series(cells, dtype=object) for column in columns})


def cleaned(cells, **parameters):
    X = frame(cells)
    return NLTKCleaner(columns=("prompt",), **parameters).fit_transform(X).prompt.tolist()


@every_case
def test_expected_table(case):
    if case["settings"]["tokenizer"] == "punkt":
        need("tokenizers/punkt_tab/english/")
    assert cleaned(TEXTS, **case["settings"]) == case["cleaned"]


@every_case
def test_expected_table_is_nltks(case):
    need_all()
    clean = reference(**case["settings"])
    assert [clean(text) for text in TEXTS] == case["cleaned"]


def test_the_references_words_are_those_of_word_tokenize():
    need("tokenizers/punkt_tab/english/")
    words = word_tokenizer()
    for text in [*TEXTS, " ".join(TEXTS)]:
        assert words(text) == word_tokenize(text)


@pytest.fixture(scope="module", params=["treebank", "punkt", "tweet"])
def both(request):
    """Give our cleaning of one text and NLTK's."""
    need_all()
    settings = {"tokenizer": request.param, "lemmatize": "n", "keep_punctuation": True}
    cleaner = NLTKCleaner(columns=("prompt",), **settings).fit(frame(["x"]))

    def ours(text):
        return cleaner.transform(frame([text])).prompt[0]

    return ours, reference(**settings, lowercase=True)


@settings(max_examples=200, deadline=None)
@given(text=nasty)
def test_nasty_text_is_cleaned_as_by_nltk(both, text):
    ours, nltks = both
    assert ours(text) == nltks(text)


@pytest.mark.parametrize("text", lines, ids=lambda text: repr(text[:8]))
def test_long_lines_are_cleaned_as_by_nltk(both, text, monkeypatch):
    ours, nltks = both
    # NLTK gives up on a search after five seconds, which a busy machine may take.
    monkeypatch.setattr("nltk.redos.DEFAULT_TIMEOUT", None)
    assert ours(text) == nltks(text)


@functools.cache
def sample_texts(file):
    X = load_arena(file, non_text="json").X.sample(150, random_state=0)
    return [text for column in X for text in texts(X[column])]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("tokenizer", "lowercase"),
    [("treebank", True), ("treebank", False), ("punkt", True), ("punkt", False), ("tweet", True)],
)
@pytest.mark.parametrize("file", FILES)
def test_real_texts_are_cleaned_as_by_nltk(arena_data, file, tokenizer, lowercase):
    """A sample of each file; `bench_cleaner --every-text` compares all texts of all."""
    need_all()
    cells = sample_texts(arena_data / f"{file}.parquet")
    parameters = {"tokenizer": tokenizer, "lowercase": lowercase, "lemmatize": "any"}
    parameters["keep_punctuation"] = True
    assert cleaned(cells, **parameters) == list(map(reference(**parameters), cells))


def test_structure_is_kept(battles):
    battles["other"] = [[1], {}, None, 4, "The dogs", 6.0]
    before = battles.copy(deep=True)
    result = NLTKCleaner().fit_transform(battles)
    assert_frame_equal(battles, before)
    assert result.index.equals(battles.index)
    assert result.columns.equals(battles.columns)
    assert result.other.tolist() == battles.other.tolist()
    assert result.prompt.tolist() == ["2+2", ["hi", ""], "say something", "", None, [""]]
    assert result.response_a.tolist() == ["4", ["hello", None], "bold word", "text", "", [None]]
    assert result.response_b.tolist() == ["five think", ["hey", "done"], [""], [], None, ("",)]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_texts_stay_missing(missing):
    assert cleaned([missing, "Dogs"])[0] is missing


@pytest.mark.parametrize("dtype", ["str", "string", "category", object])
def test_text_types(dtype):
    X = pd.DataFrame({"prompt": pd.Series(["The dogs", None, "", "Dogs!"], dtype=dtype)})
    result = NLTKCleaner(columns=("prompt",)).fit_transform(X).prompt
    assert result.dtype == (object if dtype == "category" else X.prompt.dtype)
    assert result.isna().tolist() == [False, True, False, False]
    assert result.dropna().tolist() == ["dog", "", "dog"]


def test_a_surrogate_made_by_the_tweet_tokenizer_keeps_a_str_column_alive():
    X = pd.DataFrame({"prompt": pd.Series(["odd &#xD800; text"], dtype="str")})
    cleaner = NLTKCleaner(columns=("prompt",), tokenizer="tweet", keep_punctuation=True)
    assert cleaner.fit_transform(X).prompt[0] == "odd \ud800 text"


def test_parameters_change_the_result():
    text = ["The Dogs were RUNNING, weren't they?"]
    assert cleaned(text) == ["dog running n't"]
    assert cleaned(text, lowercase=False) == ["The Dogs RUNNING n't"]
    assert cleaned(text, stop_words=None) == ["the dog were running were n't they"]
    assert cleaned(text, stop_words=["dogs"], lemmatize="v") == ["the be run be n't they"]
    assert cleaned(text, lemmatize="any") == ["dog run n't"]
    assert cleaned(text, lemmatize=None, keep_punctuation=True) == ["dogs running , n't ?"]


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_stop_words_may_be_in_any_collection(kind):
    assert cleaned(["a cat"], stop_words=kind(["a"])) == ["cat"]


def test_characters_that_pieces_are_joined_by_may_be_in_a_text():
    text = ["don't\x1e", "a.\x1e", "\x1c(a)\x1d'b'\x1f"]
    tokenize = NLTKWordTokenizer().tokenize
    settings = {"stop_words": None, "lemmatize": None, "keep_punctuation": True}
    assert cleaned(text, **settings) == [" ".join(tokenize(cell)) for cell in text]


def test_only_named_columns_are_cleaned(battles):
    result = NLTKCleaner(columns=["response_b", "response_b"]).fit_transform(battles)
    assert_frame_equal(result.drop(columns="response_b"), battles.drop(columns="response_b"))
    assert result.response_b.iloc[0] == "five think"


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"tokenizer": "moses"}, InvalidParameterError, "'tokenizer'.*'punkt'"),
        ({"lemmatize": "s"}, InvalidParameterError, "'lemmatize'"),
        ({"lowercase": "yes"}, InvalidParameterError, "'lowercase'"),
        ({"n_jobs": 1.5}, InvalidParameterError, "'n_jobs'"),
        ({"n_jobs": 0}, InvalidParameterError, "'n_jobs'"),
        ({"stop_words": "klingon"}, ArenaError, "no language of NLTK's stop words.*english"),
        ({"stop_words": ["the", 3]}, ArenaError, "stop_words must hold text only"),
        ({"columns": ["prompt", None]}, ArenaError, "columns must hold text only"),
        ({"columns": []}, ArenaError, "columns is empty"),
        ({"columns": ["question"]}, BattlesError, "no column 'question'"),
    ],
)
def test_bad_parameters(battles, parameters, error, message):
    with pytest.raises(error, match=message):
        NLTKCleaner(**parameters).fit(battles)


def test_bad_battles(battles):
    cleaner = NLTKCleaner().fit(battles)
    with pytest.raises(BattlesError, match=r"type int \(3\) in column 'response_b', row 5"):
        cleaner.transform(battles.assign(response_b=["x"] * 5 + [3]))
    with pytest.raises(BattlesError, match="no column 'response_a'"):
        cleaner.transform(battles.drop(columns="response_a"))
    with pytest.raises(BattlesError, match="must be a pandas DataFrame"):
        cleaner.fit(battles.to_numpy())
    with pytest.raises(ValueError, match="same order"):
        cleaner.transform(battles[battles.columns[::-1]])
    with pytest.raises(NotFittedError):
        NLTKCleaner().transform(battles)
    with pytest.raises(NotFittedError):
        NLTKCleaner().get_feature_names_out()


def test_what_is_refused_leaves_everything_as_it_was(battles):
    cleaner = NLTKCleaner().fit(battles)
    before, expected = pickle.dumps(cleaner), cleaner.transform(battles)
    bad = battles.assign(response_b=[*battles.response_b[:-1], 3])  # all before it could be cleaned
    kept = bad.copy(deep=True)
    for method in (cleaner.transform, cleaner.fit, cleaner.fit_transform):
        with pytest.raises(BattlesError, match="response_b"):
            method(bad)
    assert_frame_equal(bad, kept)
    assert pickle.dumps(cleaner) == before
    assert_frame_equal(cleaner.transform(battles), expected)


def test_nothing_is_learned(battles):
    other = battles.assign(response_a="Quite other words, which nobody wrote!")
    output = NLTKCleaner().fit(other).transform(battles)
    assert_frame_equal(output, NLTKCleaner().fit(battles).transform(battles))


def test_state_is_small(battles):
    cleaner = NLTKCleaner().fit(battles)
    cleaner.transform(pd.concat([battles] * 100))
    assert len(pickle.dumps(cleaner)) < 2_000
    assert set(vars(clone(cleaner))) == set(cleaner.get_params())
    copied = pickle.loads(pickle.dumps(cleaner))
    assert joblib.hash(copied) == joblib.hash(cleaner)
    assert_frame_equal(copied.transform(battles), cleaner.transform(battles))


def test_set_output_in_a_pipeline(battles):
    pipeline = make_pipeline(NLTKCleaner(), NLTKCleaner(lemmatize=None))
    pipeline.set_output(transform="pandas")
    assert list(pipeline.fit_transform(battles)) == list(battles)
    cleaner = NLTKCleaner(columns=["response_a"])
    columns = make_column_transformer((cleaner, ["prompt", "response_a"]), remainder="passthrough")
    frame = columns.set_output(transform="pandas").fit_transform(battles)
    assert frame.columns.tolist() == [
        "nltkcleaner__prompt",
        "nltkcleaner__response_a",
        *(f"remainder__{name}" for name in battles.columns.drop(["prompt", "response_a"])),
    ]
    assert cleaner.fit(battles).get_feature_names_out().tolist() == battles.columns.tolist()
    cleaner.get_feature_names_out()[0] = "changed"
    assert cleaner.get_feature_names_out().tolist() == battles.columns.tolist()
    with pytest.raises(ArenaError, match="not 'polars'"):
        NLTKCleaner().set_output(transform="polars")
    assert cleaner.set_output(transform=None) is cleaner


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}s" for i in range(5000)] + ["it's", '"no"', "(a.)", "end.", "\n"])
    return [" ".join(rng.choice(words, 200)) for _ in range(n)]


# This process has threads, of other tests' libraries too, and joblib's multiprocessing forks it.
class Counting(joblib.parallel.ThreadingBackend):
    """Runs tasks in threads, and counts how many run at a time in each call."""

    calls = []

    def configure(self, n_jobs=1, **options):
        self.calls.append(n_jobs)
        return super().configure(n_jobs, **options)


@pytest.fixture
def calls():
    joblib.register_parallel_backend("counting", Counting)
    Counting.calls.clear()
    with joblib.parallel_config(backend="counting"):
        yield Counting.calls


def characters(n):
    """Give cells of so many characters, which are cleaned fast because most are equal."""
    return ["The dogs. "] * (n // 10) + ["x" * (n % 10)]


@pytest.mark.parametrize(
    ("n_characters", "n_jobs", "expected"),
    [
        (9_999_999, 2, []),
        (10_000_000, 2, [2]),
        (14_999_999, 3, [2]),
        (15_000_000, 3, [3]),
        (15_000_000, 2, [2]),
        (15_000_000, 1, []),
        (15_000_000, None, []),
    ],
)
def test_every_process_gets_five_million_characters(calls, n_characters, n_jobs, expected):
    cells = characters(n_characters)
    assert cleaned(cells, n_jobs=n_jobs) == ["dog"] * (len(cells) - 1) + [cells[-1]]
    assert calls == expected


def test_the_number_of_jobs_may_be_set_for_all(calls):
    with joblib.parallel_config(backend="counting", n_jobs=2):
        cleaned(characters(10_000_000))
    assert calls == [2]


# This process has threads, of other tests' libraries too, and joblib's multiprocessing forks it.
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_n_jobs_changes_nothing(backend):
    cells = [*sample(7), None, "", ["Dogs", None], ("Cats", "mice")] * 1100
    X = frame(cells[::-1], columns=["prompt"]).assign(response_a=cells)
    cleaner = NLTKCleaner(columns=["prompt", "response_a"])
    expected = cleaner.fit_transform(X)
    with joblib.parallel_config(backend=backend):
        assert_frame_equal(cleaner.set_params(n_jobs=3).transform(X), expected)


def test_a_text_larger_than_a_share_is_cleaned():
    cells = ["small words", "the dogs " * 1_200_000, "cats"]
    assert cleaned(cells, n_jobs=2) == ["small word", " ".join(["dog"] * 1_200_000), "cat"]


def test_rules_that_changed_in_nltk_are_followed(monkeypatch):
    monkeypatch.setattr(NLTKWordTokenizer, "DOUBLE_DASHES", (re.compile("dogs"), " cats "))
    _treebank.known_rules.cache_clear()
    try:
        assert cleaned(["It's (the dogs') end."]) == ["'s cat end"]
    finally:
        _treebank.known_rules.cache_clear()


@pytest.fixture
def small_room(monkeypatch):
    """Let engines forget often."""
    monkeypatch.setattr(_engine, "_ROOM", 50_000)
    monkeypatch.setattr(_engine, "_PART", 100)
    _engine.engine.cache_clear()
    yield
    _engine.engine.cache_clear()


def test_threads_share_one_memory_while_it_is_forgotten(small_room):
    cells = sample(60)
    parts = "nv"
    expected = {pos: [cleaned([cell], lemmatize=pos)[0] for cell in cells] for pos in parts}
    results = {}

    def work(number):
        results[number] = cleaned(cells[number:] + cells[:number], lemmatize=parts[number % 2])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for number, result in results.items():
        in_order = expected[parts[number % 2]]
        assert result == in_order[number:] + in_order[:number]


UNIQUE = [f"unique{number}" for number in range(20_000)]


@pytest.mark.parametrize(
    "cells",
    [
        [" ".join(UNIQUE[start : start + 100]) for start in range(0, 20_000, 100)],
        [" ".join(UNIQUE)],
        [f"{'😀' * 900}{number} {'é' * 900}{number}" for number in range(100)],
        ["?".join(chr(0x20000 + 20 * cell + token) for token in range(20)) for cell in range(500)],
    ],
    ids=["many texts", "one text", "long words", "many words a chunk"],
)
def test_memory_is_bounded_and_no_text_too_long(small_room, monkeypatch, cells):
    engine = _engine.engine(*NLTKCleaner(lemmatize=None)._settings())
    most = []

    def forget():
        pieces, words = engine._pieces, engine._pieces._words
        kept = chain(pieces, pieces.values(), words, words.values())
        texts = {id(text): text for text in kept}.values()
        most.append(sum(map(sys.getsizeof, [pieces, words, *texts])))
        _engine.Engine._forget(engine)

    monkeypatch.setattr(engine, "_forget", forget)
    assert cleaned(cells, lemmatize=None) == [cell.replace("?", " ") for cell in cells]
    assert 1_000 < max(most) < 50_000


def test_a_process_that_only_cleans_needs_no_large_library():
    settings = NLTKCleaner()._settings()
    code = f"""
import sys
from arena_estimators.preprocessing._engine import clean_texts
print(clean_texts(["It's (the dogs') end.", "gonna"], {settings!r}))
print([m for m in ("nltk", "numpy", "pandas", "sklearn", "joblib") if m in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines() == [str(["'s dog end", "gon na"]), "[]"]


def test_known_chunks_meet_no_rules_again(monkeypatch):
    cells = sample(1000, seed=1)
    engine = _engine.Engine("treebank", frozenset(), "n", True, True, _treebank.known_rules())
    learnt = engine.clean(cells)
    monkeypatch.setattr(_treebank, "tokens_of", lambda *_: pytest.fail("met rules again"))
    assert engine.clean(cells) == learnt


@pytest.mark.parametrize("tokenizer", ["treebank", "tweet"])
def test_the_memory_of_settings_no_longer_used_is_given_back(tokenizer):
    cleaner = NLTKCleaner(tokenizer=tokenizer, stop_words=["given", "back"])
    engine = weakref.ref(_engine.engine(*cleaner._settings()))
    memory = weakref.ref(engine()._pieces)
    assert engine().clean(["Give it back."]) == ["give it"]
    gc.disable()  # a collection would hide that they hold each other
    try:
        _engine.engine.cache_clear()
        assert engine() is None and memory() is None
    finally:
        gc.enable()


def test_words_of_another_language_are_those_of_the_fit(monkeypatch):
    """NLTK's data may be other ones, or none, where a fitted estimator is loaded."""
    words = {"danish": frozenset(["og"]), "german": frozenset(["und"])}
    monkeypatch.setattr(_words, "_nltk_stop_words", words.__getitem__)
    X = pd.DataFrame({"prompt": ["og und the"]})
    cleaner = NLTKCleaner(columns=["prompt"], stop_words="danish").fit(X)
    words["danish"] = frozenset(["og", "the"])
    loaded = pickle.loads(pickle.dumps(cleaner))
    assert loaded.transform(X).prompt.tolist() == ["und the"]
    assert loaded.set_params(stop_words="german").transform(X).prompt.tolist() == ["og the"]
    loaded.set_params(stop_words="danish").fit(X)
    assert loaded.transform(X).prompt.tolist() == ["und"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tokenizer": "white space"}, "tokenizer"),
        ({"stop_words": ["the", 3]}, "stop_words must hold text only"),
        ({"stop_words": [["a"]]}, "stop_words must hold text only"),
        ({"columns": []}, "columns is empty"),
    ],
)
def test_parameters_set_after_fit_are_checked(battles, parameters, message):
    cleaner = NLTKCleaner().fit(battles)
    with pytest.raises((InvalidParameterError, ArenaError), match=message):
        cleaner.set_params(**parameters).transform(battles)


def test_a_column_may_have_any_name():
    X = frame(["The dogs"], columns=["self"])
    assert NLTKCleaner(columns=["self"]).fit_transform(X)["self"][0] == "dog"


def test_no_battles_are_cleaned_by_any_number_of_processes():
    assert cleaned([], n_jobs=2) == []


def test_only_the_columns_to_clean_need_be_there():
    X = pd.DataFrame({"prompt": ["The cats ran"]})
    cleaner = NLTKCleaner(columns=["prompt"])
    assert cleaner.fit_transform(X).columns.tolist() == ["prompt"]
    with pytest.raises(BattlesError, match="no column 'response_a'"):
        cleaner.set_params(columns=["prompt", "response_a"]).fit(X)
