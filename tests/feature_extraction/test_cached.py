import os
import pathlib
import pickle
import subprocess
import sys
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import arena_estimators
from arena_estimators import (
    CachedTransformer,
    DavidsonClassifier,
    NLTKCleaner,
    PairStyleFeatures,
    PairTfidfVectorizer,
    PromptGroupKFold,
    make_battles,
)
from arena_estimators.battles import COLUMNS, swap_labels
from arena_estimators.exceptions import ArenaError


@pytest.fixture(scope="module")
def data():
    return make_battles(90, random_state=6)


class Counter(TransformerMixin, BaseEstimator):
    """Gives the difference of lengths and notes each fit and each transform in a file."""

    def __init__(self, log=None, power=1.0):
        self.log = log
        self.power = power

    def fit(self, X, y=None):
        self._note("fit")
        self.fitted_ = True
        return self

    def transform(self, X):
        self._note("transform")
        lengths = [X[c].map(lambda cell: len(str(cell))) for c in ("response_a", "response_b")]
        gap = (lengths[0] - lengths[1]).to_numpy(dtype=float)
        return np.sign(gap)[:, None] * np.abs(gap[:, None]) ** self.power

    def _note(self, what):
        with open(self.log, "a") as file:
            file.write(f"{what}\n")


def counts(log):
    lines = pathlib.Path(log).read_text().split()
    return lines.count("fit"), lines.count("transform")


def search(transformer, data, **options):
    model = make_pipeline(transformer, StandardScaler(with_mean=False), DavidsonClassifier())
    grid = {"davidsonclassifier__alpha": [0.01, 0.1, 1.0, 10.0]}
    cv = PromptGroupKFold(3)
    found = GridSearchCV(model, grid, cv=cv, scoring="neg_log_loss", error_score="raise", **options)
    return found.fit(data.X, data.y)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_search_makes_each_matrix_once_and_finds_the_same(data, tmp_path, n_jobs):
    log = tmp_path / "log"
    plain = search(Counter(str(log)), data)
    assert counts(log) == (4 * 3 + 1, 2 * 4 * 3 + 1)
    log.unlink()
    cached = CachedTransformer(Counter(str(log)), memory=str(tmp_path / "cache"))
    found = search(cached, data, n_jobs=n_jobs)
    made = counts(log)
    # A process that needs what another one is still making makes it too.
    twice = 1 if n_jobs is None else 2
    assert 3 + 1 <= made[0] <= twice * 3 + 1
    assert 2 * 3 + 1 <= made[1] <= twice * 2 * 3 + 1
    scores = [s.cv_results_["mean_test_score"] for s in (plain, found)]
    np.testing.assert_array_equal(*scores)
    search(cached, data)
    assert counts(log) == made


def test_other_battles_and_other_parameters_are_other_matrices(data, tmp_path):
    log = tmp_path / "log"
    cached = CachedTransformer(Counter(str(log)), memory=str(tmp_path / "cache"))
    first = cached.fit_transform(data.X)
    np.testing.assert_array_equal(cached.transform(data.X[:5]), first[:5])
    np.testing.assert_array_equal(cached.fit_transform(data.X[:5]), first[:5])
    squared = clone(cached).set_params(transformer__power=2.0).fit_transform(data.X)
    np.testing.assert_array_equal(np.abs(squared), first**2)
    assert counts(log)[0] == 3
    before = counts(log)[1]
    np.testing.assert_array_equal(cached.transform(data.X[:5]), first[:5])
    assert counts(log)[1] == before + 1  # the same rows, but fitted on others


def test_another_process_finds_the_matrices(tmp_path):
    code = (
        "from arena_estimators import CachedTransformer, PairTfidfVectorizer, make_battles;"
        "data = make_battles(90, random_state=6); tfidf = PairTfidfVectorizer();"
        f"cached = CachedTransformer(tfidf, memory={str(tmp_path)!r}).fit(data.X[:60]);"
        "cached.transform(data.X[60:])"
    )
    exec(code, {})
    assert len(list(tmp_path.rglob("output.pkl"))) == 2
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(list(tmp_path.rglob("output.pkl"))) == 2


def test_an_emptied_folder_is_filled_again(data, tmp_path):
    cached = CachedTransformer(PairTfidfVectorizer(), memory=str(tmp_path)).fit(data.X[:80])
    joblib.Memory(tmp_path, verbose=0).clear(warn=False)
    assert not list(tmp_path.rglob("*.pkl"))
    expected = PairTfidfVectorizer().fit(data.X[:80]).transform(data.X)
    assert (cached.transform(data.X) != expected).nnz == 0


def test_a_loaded_pipeline_writes_no_files(data, tmp_path):
    cached = CachedTransformer(PairStyleFeatures(), memory=str(tmp_path / "cache"))
    expected = np.asarray(cached.fit(data.X).transform(data.X))
    loaded = pickle.loads(pickle.dumps(cached))
    held = set(tmp_path.rglob("*"))
    np.testing.assert_array_equal(np.asarray(loaded.transform(data.X)), expected)
    assert set(tmp_path.rglob("*")) == held


def test_a_folder_that_cannot_be_written_is_refused_before_any_fit(data, tmp_path, request):
    log = tmp_path / "log"
    log.touch()
    with pytest.raises(ArenaError, match="memory=.*log.* cannot be used"):
        CachedTransformer(Counter(str(log)), memory=str(log / "inside")).fit(data.X)
    memory = joblib.Memory(tmp_path / "cache", verbose=0)
    request.getfixturevalue("read_only")
    with pytest.raises(ArenaError, match="memory=.*cache.* cannot be used"):
        CachedTransformer(Counter(str(log)), memory=memory).fit(data.X)
    assert counts(log) == (0, 0)


class Ranks(TransformerMixin, BaseEstimator):
    """Reads a column that is not one of a battle's three."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X[["rank"]].to_numpy(dtype=float)


def test_a_change_in_any_column_is_another_matrix(data, tmp_path):
    cached = CachedTransformer(Ranks(), memory=str(tmp_path))
    for rank in (np.arange(90), np.arange(90)[::-1]):
        X = data.X.assign(rank=rank, other=[[str(i)] for i in range(90)])
        np.testing.assert_array_equal(cached.fit_transform(X)[:, 0], rank)
        np.testing.assert_array_equal(cached.transform(X)[:, 0], rank)
        cached.fit(data.X.assign(rank=0))
        np.testing.assert_array_equal(cached.transform(X)[:, 0], rank)


def test_other_columns_do_not_keep_a_matrix_from_being_found(data, tmp_path):
    log = tmp_path / "log"
    X = data.X.assign(id=[f"{i}" for i in range(90)], when=pd.Timestamp("2024-05-01"))
    for frame in (X, X.copy(), X[::-1][::-1]):
        CachedTransformer(Counter(str(log)), memory=str(tmp_path / "cache")).fit(frame)
    assert counts(log)[0] == 1


class Bare(BaseEstimator):
    """Has only fit and transform, and tells a missing cell from a text such as "None"."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X[["prompt"]].isna().to_numpy(dtype=float)


def test_missing_cells_are_not_their_names(data, tmp_path):
    cached = CachedTransformer(Bare(), memory=str(tmp_path)).fit(data.X)
    for missing in (None, pd.NA, "<NA>", "None", np.nan, "nan"):
        X = data.X.assign(prompt=pd.Series([missing] * 90, dtype=object))
        np.testing.assert_array_equal(cached.transform(X), X[["prompt"]].isna())


def test_another_output_is_another_matrix(data, tmp_path):
    cached = CachedTransformer(PairStyleFeatures(), memory=str(tmp_path))
    with config_context(transform_output="pandas"):
        assert isinstance(cached.fit(data.X).transform(data.X), pd.DataFrame)
    assert isinstance(cached.fit(data.X).transform(data.X), np.ndarray)


def test_the_output_is_the_transformers(data, tmp_path):
    features = CachedTransformer(PairStyleFeatures(), memory=str(tmp_path)).fit(data.X)
    words = CachedTransformer(PairTfidfVectorizer(), memory=str(tmp_path))
    with config_context(transform_output="pandas"):
        assert sp.issparse(words.fit(data.X).transform(data.X))
    for _ in range(2):  # made, and found
        for output, kind in (("pandas", pd.DataFrame), ("default", np.ndarray)):
            features.set_output(transform=output)
            assert isinstance(features.transform(data.X), kind)
            assert isinstance(clone(features).fit_transform(data.X), kind)
    with pytest.raises(ArenaError, match="sparse matrix, which cannot be 'pandas' output"):
        words.set_output(transform="pandas")


def test_another_type_of_text_is_another_matrix(data, tmp_path):
    cached = CachedTransformer(NLTKCleaner(), memory=str(tmp_path))
    for dtype in ("object", "string", "str"):
        X = data.X.astype(dtype)
        assert (cached.fit_transform(X).dtypes == X.dtypes).all()


def test_other_categories_are_another_matrix(data, tmp_path):
    columns = make_column_transformer((FunctionTransformer(pd.get_dummies), ["topic"]))
    cached = CachedTransformer(columns, memory=str(tmp_path))
    for categories in (["art", "law"], ["art"], ["law", "art"]):
        topic = pd.Categorical(["art"] * 90, categories=categories)
        features = cached.fit_transform(data.X.assign(topic=topic))
        np.testing.assert_array_equal(features, [[name == "art" for name in categories]] * 90)


def test_another_version_makes_the_matrices_anew(data, tmp_path, monkeypatch):
    log = tmp_path / "log"
    cached = CachedTransformer(Counter(str(log)), memory=str(tmp_path / "cache"))
    for version in ("1.0", "1.1", "1.0"):
        monkeypatch.setattr(arena_estimators, "__version__", version)
        cached.fit(data.X)
    assert counts(log)[0] == 2


def test_the_folder_may_be_in_the_home_folder(data, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    CachedTransformer(PairStyleFeatures(), memory="~/cache").fit(data.X)
    assert list((tmp_path / "cache").rglob("*.pkl"))
    assert not (tmp_path / "~").exists()
    with pytest.raises(ArenaError, match="cannot be used.*home"):
        CachedTransformer(PairStyleFeatures(), memory="~no-such-user/cache").fit(data.X)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


class Share(TransformerMixin, BaseEstimator):
    """Learns from the labels alone."""

    def fit(self, X, y):
        self.share_ = np.mean(y == "model_a")
        return self

    def transform(self, X):
        return np.full((len(X), 1), self.share_)


def test_other_labels_are_another_matrix(data, tmp_path):
    cached = CachedTransformer(Share(), memory=str(tmp_path))
    shares = [np.mean(y == "model_a") for y in (data.y, swap_labels(data.y))]
    assert shares[0] != shares[1]
    for y, share in zip((data.y, swap_labels(data.y)), shares, strict=True):
        assert (cached.fit_transform(data.X, y) == share).all()
        assert (cached.transform(data.X) == share).all()


def test_another_index_is_another_matrix(data, tmp_path):
    cached = CachedTransformer(NLTKCleaner(), memory=str(tmp_path))
    for index in (data.X.index, data.X.index + 5):
        assert cached.fit_transform(data.X.set_axis(index)).index.equals(index)
    assert cached.transform(data.X).index.equals(data.X.index)
    assert cached.transform(data.X.set_axis(index)).index.equals(index)


def test_renamed_columns_are_another_matrix(data, tmp_path):
    cached = CachedTransformer(PairStyleFeatures(), memory=str(tmp_path))
    D = cached.fit_transform(data.X)
    names = {"response_a": "response_b", "response_b": "response_a"}
    renamed = clone(cached).fit_transform(data.X.rename(columns=names))
    np.testing.assert_array_equal(renamed, -D)


def test_tuples_of_turns_stay_tuples(tmp_path):
    lists = pd.DataFrame({name: [["Dogs"], "Cats"] for name in COLUMNS})
    cached = CachedTransformer(NLTKCleaner(), memory=str(tmp_path)).fit(lists)
    for X in (lists, lists.map(lambda cell: cell if isinstance(cell, str) else tuple(cell))):
        cleaned = cached.transform(X)
        assert cleaned["response_a"].map(type).tolist() == X["response_a"].map(type).tolist()


def test_a_memory_without_a_folder_keeps_nothing(data):
    cached = CachedTransformer(PairStyleFeatures(), memory=joblib.Memory(None))
    expected = PairStyleFeatures().fit_transform(data.X)
    np.testing.assert_array_equal(cached.fit_transform(data.X), expected)


def test_a_function_without_a_name_is_refused(data, tmp_path):
    lengths = FunctionTransformer(lambda X: X.map(len))
    with pytest.raises(ArenaError, match="no lambda"):
        CachedTransformer(lengths, memory=tmp_path).fit(data.X)
    CachedTransformer(lengths).fit(data.X)  # nothing is kept


class Stopping(PairTfidfVectorizer):
    """Stops as on Ctrl-C while `stop` is set."""

    stop = False

    def fit_transform(self, X, y=None):
        if Stopping.stop:
            raise KeyboardInterrupt
        return super().fit_transform(X, y)


def test_a_fit_that_is_stopped_leaves_nothing_wrong_in_the_folder(data, tmp_path, monkeypatch):
    first, second, asked = data.X[:30], data.X[30:60], data.X[60:]
    cached = CachedTransformer(Stopping(max_features=50), memory=str(tmp_path)).fit(first)
    monkeypatch.setattr(Stopping, "stop", True)
    with pytest.raises(KeyboardInterrupt):
        cached.fit(second)
    monkeypatch.undo()
    before = Stopping(max_features=50).fit(first).transform(asked)
    assert (cached.transform(asked) != before).nnz == 0
    other = CachedTransformer(Stopping(max_features=50), memory=str(tmp_path)).fit(second)
    expected = Stopping(max_features=50).fit(second).transform(asked)
    assert (other.transform(asked) != expected).nnz == 0


@pytest.mark.parametrize("folder", [None, "cache"])
def test_the_transformer_that_was_given_is_not_fitted(data, tmp_path, folder):
    given = PairStyleFeatures()
    memory = folder and str(tmp_path / folder)
    cached = CachedTransformer(given, memory=memory).fit(data.X)
    assert cached.transformer is given
    assert not hasattr(given, "blocks_")


def test_no_choice_of_output_leaves_the_one_before(data, tmp_path):
    cached = CachedTransformer(PairStyleFeatures(), memory=str(tmp_path)).fit(data.X)
    assert isinstance(cached.transform(data.X), np.ndarray)
    cached.set_output(transform="pandas").set_output(transform=None)
    assert isinstance(cached.transform(data.X), pd.DataFrame)


def test_two_lone_surrogates_are_not_the_character_they_could_make(data, tmp_path):
    vectorizer = PairTfidfVectorizer(analyzer="char")
    for text in ("\ud83d\ude00", "\U0001f600"):
        X = data.X.astype(object)
        X["response_a"] = pd.Series(text, index=X.index, dtype=object)
        cached = CachedTransformer(vectorizer, memory=str(tmp_path)).fit_transform(X)
        assert cached.shape == vectorizer.fit_transform(X).shape


def test_a_key_takes_no_copies_of_all_the_text(tmp_path):
    texts = [f"{number} 😀 " + 1000 * "x" for number in range(4000)]
    X = pd.DataFrame(dict.fromkeys(COLUMNS, texts), dtype=object).assign(rank=0)
    cached = CachedTransformer(Ranks(), memory=tmp_path).fit(X)
    tracemalloc.start()
    cached.transform(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < sum(map(sys.getsizeof, texts)) / 2


@pytest.mark.parametrize(("n_battles", "row"), [(1, 0), (101, 1), (101, 99), (101, 100)])
def test_a_change_in_any_text_is_another_matrix(tmp_path, n_battles, row):
    """Texts are hashed a hundred at a time."""
    X = pd.DataFrame(dict.fromkeys(COLUMNS, ["a"] * n_battles), dtype=object)
    cached = CachedTransformer(Counter(os.devnull), memory=str(tmp_path)).fit(X)
    cached.transform(X)
    X.loc[row, "response_b"] = "aa"
    assert cached.transform(X)[row] == -1


class BareShare(BaseEstimator):
    """Learns from the labels and has no fit_transform."""

    fit, transform = Share.fit, Share.transform


def test_labels_reach_a_transformer_that_has_no_more_than_fit_and_transform(data, tmp_path):
    for memory in (None, str(tmp_path)):
        cached = CachedTransformer(BareShare(), memory=memory)
        assert (cached.fit_transform(data.X, data.y) == np.mean(data.y == "model_a")).all()
