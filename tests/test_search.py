"""Searches over the parameters of any step: in one process, with features kept, on a cluster."""

import contextlib
import functools
import os
import pathlib
import signal
import threading
import time

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - for HalvingGridSearchCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from arena_estimators import (
    BlendingClassifier,
    CachedTransformer,
    DavidsonClassifier,
    PairStyleFeatures,
    PairTfidfVectorizer,
    PromptGroupKFold,
    SwapSymmetricClassifier,
    make_arena_pipeline,
    make_battles,
)

ALPHAS = {"davidsonclassifier__alpha": [0.01, 0.1, 1.0, 10.0]}
OPTIONS = {"scoring": "neg_log_loss", "error_score": "raise"}


@pytest.fixture(scope="module")
def data():
    return make_battles(150, random_state=7)


class Noted(PairStyleFeatures):
    """Style features that note each fit; after `n_before` fits they wait until a file exists."""

    def __init__(self, *, log=None, n_before=None, wait_for=None):
        super().__init__()
        self.log = log
        self.n_before = n_before
        self.wait_for = wait_for

    def fit_transform(self, X, y=None):
        with open(self.log, "a") as file:
            file.write("fit\n")
        if self.n_before is not None and n_fits(self.log) > self.n_before:
            wait_until(pathlib.Path(self.wait_for).exists)
        return super().fit_transform(X, y)


def n_fits(log):
    return len(pathlib.Path(log).read_text().split()) if pathlib.Path(log).exists() else 0


def wait_until(happened, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"It did not happen within {seconds} seconds.")
        time.sleep(0.05)


def style(features):
    return make_pipeline(features, StandardScaler(with_mean=False), DavidsonClassifier())


def wrapped():
    return SwapSymmetricClassifier(make_pipeline(PairStyleFeatures(), LogisticRegression()))


STOPS = {
    "linear": (
        lambda: make_arena_pipeline("linear").set_params(davidsonclassifier__tie_alpha=0.1),
        {
            "davidsonclassifier__alpha": [0.03, 1.0],
            "featureunion__words__min_df": [2, 3],
            "featureunion__style__pairstylefeatures__blocks": [("difference",), ("tanh", "ratio")],
        },
    ),
    "inside a wrapper": (wrapped, {"estimator__logisticregression__C": [1e-3, 1e-2]}),
    "a member of a blend": (
        lambda: BlendingClassifier([("one", style(PairStyleFeatures())), ("two", wrapped())], cv=2),
        {"one__davidsonclassifier__alpha": [0.1, 1.0], "space": ["log", "probability"]},
    ),
}


SEARCHES = {
    "grid": GridSearchCV,
    "randomized": functools.partial(RandomizedSearchCV, n_iter=2, random_state=0),
    "halving": functools.partial(HalvingGridSearchCV, min_resources=70, random_state=0),
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("search", SEARCHES)
def test_any_parameter_of_any_stop_can_be_searched(data, search, stop):
    make, grid = STOPS[stop]
    found = SEARCHES[search](make(), grid, cv=PromptGroupKFold(2), **OPTIONS).fit(data.X, data.y)
    prior = cross_val_score(DummyClassifier(), data.X, data.y, cv=2, scoring="neg_log_loss")
    assert prior.mean() < found.best_score_ < 0
    kept = found.best_estimator_.get_params()
    assert {name: kept[name] for name in grid} == found.best_params_
    assert found.predict_proba(data.X).shape == (150, 3)


def test_the_features_of_linear_are_made_once_a_fold(data, tmp_path):
    linear = make_arena_pipeline("linear")
    cached = make_pipeline(CachedTransformer(linear[:-1], memory=tmp_path), linear[-1])
    cv = PromptGroupKFold(2)
    plain, kept = (
        GridSearchCV(model, ALPHAS, cv=cv, **OPTIONS).fit(data.X, data.y)
        for model in (linear, cached)
    )
    scores = [search.cv_results_["mean_test_score"] for search in (plain, kept)]
    np.testing.assert_array_equal(*scores)
    made = [path.parent.parent.name for path in tmp_path.rglob("output.pkl")]
    assert made.count("_fit_transform") == 2 + 1
    assert made.count("_transform") == 2


def test_memory_of_a_pipeline_finds_the_same(data, tmp_path):
    log = tmp_path / "log"
    cv = PromptGroupKFold(2)
    plain = GridSearchCV(style(Noted(log=str(log))), ALPHAS, cv=cv, **OPTIONS).fit(data.X, data.y)
    assert len(log.read_text().split()) == 4 * 2 + 1
    log.unlink()
    model = style(Noted(log=str(log))).set_params(memory=str(tmp_path / "cache"))
    kept = GridSearchCV(model, ALPHAS, cv=cv, **OPTIONS).fit(data.X, data.y)
    assert len(log.read_text().split()) == 2 + 1
    scores = [search.cv_results_["mean_test_score"] for search in (plain, kept)]
    np.testing.assert_array_equal(*scores)


def test_a_cache_that_cannot_be_written_is_refused_before_any_fit(data, tmp_path):
    log = tmp_path / "log"
    log.touch()
    model = style(CachedTransformer(Noted(log=str(log)), memory=str(log / "inside")))
    with pytest.raises(ValueError, match="memory=.* cannot be used"):
        GridSearchCV(model, ALPHAS, cv=PromptGroupKFold(2), **OPTIONS).fit(data.X, data.y)
    model = style(Noted(log=str(log))).set_params(memory=str(log / "inside"))
    with pytest.raises(OSError, match="inside"):
        GridSearchCV(model, ALPHAS, cv=PromptGroupKFold(2), **OPTIONS).fit(data.X, data.y)
    assert log.read_text() == ""


@pytest.mark.slow
def test_the_same_search_runs_unchanged_on_a_cluster(data, tmp_path):
    distributed = pytest.importorskip("distributed", reason="pip install distributed")
    linear = make_arena_pipeline("linear")
    cached = make_pipeline(CachedTransformer(linear[:-1], memory=tmp_path), linear[-1])
    search = GridSearchCV(linear, ALPHAS, cv=PromptGroupKFold(2), **OPTIONS)
    expected = search.fit(data.X, data.y).cv_results_["mean_test_score"]
    with local_cluster(distributed), joblib.parallel_config("dask"):
        for model in (linear, cached):
            found = clone(search).set_params(estimator=model).fit(data.X, data.y)
            np.testing.assert_array_equal(found.cv_results_["mean_test_score"], expected)


@pytest.mark.slow
def test_a_cluster_finds_the_same_though_a_worker_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed", reason="pip install distributed")
    log = tmp_path / "log"
    data = make_battles(300, random_state=7)  # enough for the folds to be scattered
    folds = list(PromptGroupKFold(5).split(data.X))
    search = GridSearchCV(style(Noted(log=str(log))), ALPHAS, cv=folds, **OPTIONS)
    expected = search.fit(data.X, data.y).cv_results_["mean_test_score"]
    best = search.best_params_
    log.unlink()
    half = len(folds) * len(search.cv_results_["params"]) // 2
    killed = tmp_path / "killed"
    noted = Noted(log=str(log), n_before=half, wait_for=str(killed))
    search.set_params(estimator=style(noted))
    # What is scattered by name lives on both workers, unless the memory manager drops it from one;
    # what is not is lost with its worker.
    shared = [data.X, data.y, *(part for fold in folds for part in fold)]
    with local_cluster(distributed) as client:
        client.amm.stop()
        workers = list(client.run(os.getpid).values())

        def kill_half_way():
            wait_until(lambda: n_fits(log) >= half)
            os.kill(workers[0], signal.SIGKILL)
            killed.write_text(str(n_fits(log)))

        watcher = threading.Thread(target=kill_half_way, daemon=True)
        watcher.start()
        with joblib.parallel_config("dask", scatter=shared):
            search.fit(data.X, data.y)
        watcher.join(timeout=10)
    assert half <= int(killed.read_text()) < 2 * half
    assert search.best_params_ == best
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-9)


@contextlib.contextmanager
def local_cluster(distributed):
    """Start two worker processes, quietly."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "silence_logs": 50}
    with (
        distributed.LocalCluster(**options, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_optuna_drives_a_search(data):
    optuna = pytest.importorskip("optuna", reason="pip install optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cv = PromptGroupKFold(2)

    def loss(trial):
        alpha = trial.suggest_float("alpha", 1e-3, 10, log=True)
        model = make_pipeline(PairTfidfVectorizer(min_df=3), DavidsonClassifier(alpha))
        return -GridSearchCV(model, {}, cv=cv, **OPTIONS).fit(data.X, data.y).best_score_

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(loss, n_trials=4)
    best = make_pipeline(PairTfidfVectorizer(min_df=3), DavidsonClassifier(**study.best_params))
    scores = cross_val_score(best, data.X, data.y, cv=cv, scoring="neg_log_loss")
    assert study.best_value == pytest.approx(-scores.mean())
