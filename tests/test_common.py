"""Every public estimator passes the checks for estimators of battles, from the day it is public."""

import collections
import inspect
import io
import pathlib
import pickle
import tempfile

import joblib
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny_encoders import make_tiny_encoder

import arena_estimators
from arena_estimators import (
    AugmentingClassifier,
    BertPairClassifier,
    BlendingClassifier,
    CachedTransformer,
    DavidsonClassifier,
    DistillingClassifier,
    EarlyStoppingClassifier,
    NLTKCleaner,
    PairEmbeddings,
    PairStyleFeatures,
    PairTfidfVectorizer,
    SwapSymmetricClassifier,
    make_arena_pipeline,
)
from arena_estimators.exceptions import ArenaWarning, LabelsError
from arena_estimators.utils._testing import fit_clone
from arena_estimators.utils.estimator_checks import battle_checks, parametrize_with_battle_checks

# Numeric classifiers take no battles; scikit-learn's own checks are for them.
NUMERIC = {DavidsonClassifier}


def style(alpha=1.0):
    scaler = StandardScaler(with_mean=False)
    return make_pipeline(PairStyleFeatures(), scaler, DavidsonClassifier(alpha, tie_alpha=alpha))


def estimators():
    separate = make_pipeline(PairTfidfVectorizer(combine="separate"), LogisticRegression())
    booster = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=3, random_state=0)
    encoder = str(make_tiny_encoder("bert", pathlib.Path(tempfile.mkdtemp())))
    bert = {"max_length": 64, "n_epochs": 1, "validation_fraction": 0.0, "device": "cpu"}
    return [
        PairTfidfVectorizer(),
        PairStyleFeatures(),
        PairEmbeddings(encoder, max_length=64, blocks=("difference",)),
        CachedTransformer(PairStyleFeatures()),
        NLTKCleaner(),
        SwapSymmetricClassifier(separate),
        BlendingClassifier([("weak", style()), ("weaker", style(10.0))], cv=2),
        BlendingClassifier([("one", style())], weights=[1.0], temperature=1.0),
        DistillingClassifier(style(), cv=2),
        AugmentingClassifier(style()),
        SwapSymmetricClassifier(
            EarlyStoppingClassifier(make_pipeline(PairStyleFeatures(), booster), patience=2)
        ),
        BertPairClassifier(encoder, **bert),
        make_arena_pipeline("linear"),
    ]


ESTIMATORS = estimators()


@parametrize_with_battle_checks(ESTIMATORS)
def test_battle_checks(estimator, check):
    check(estimator)


def public_estimators():
    values = [getattr(arena_estimators, name) for name in arena_estimators.__all__]
    classes = [v for v in values if isinstance(v, type) and issubclass(v, BaseEstimator)]
    return {one for one in classes if hasattr(one, "fit")}


def test_every_public_estimator_is_checked():
    public = public_estimators()
    inner = {type(getattr(estimator, "estimator", None)) for estimator in ESTIMATORS}
    assert public - NUMERIC <= {type(estimator) for estimator in ESTIMATORS} | inner


def test_how_many_checks_each_estimator_gets():
    counts = collections.Counter()
    for estimator in ESTIMATORS:
        counts[type(estimator).__name__] += len(battle_checks(estimator))
    assert counts == {
        "PairTfidfVectorizer": 19,
        "PairStyleFeatures": 19,
        "PairEmbeddings": 19,
        "CachedTransformer": 19,
        "NLTKCleaner": 18,
        "SwapSymmetricClassifier": 2 * 19,
        "BlendingClassifier": 2 * 19,
        "DistillingClassifier": 19,
        "AugmentingClassifier": 19,
        "BertPairClassifier": 19,
        "Pipeline": 19,
    }


@pytest.mark.parametrize("estimator", sorted(public_estimators(), key=repr))
def test_the_data_are_called_x(estimator):
    """Any other name would be metadata to scikit-learn, with a `set_..._request` of its own."""
    methods = "fit", "fit_transform", "transform", "predict", "predict_proba", "decision_function"
    for method in [getattr(estimator, name) for name in methods if hasattr(estimator, name)]:
        assert list(inspect.signature(method).parameters)[:2] == ["self", "X"], method


@pytest.mark.parametrize(
    "transformer",
    [estimator for estimator in ESTIMATORS if hasattr(estimator, "transform")],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_transformer_refuses_labels_that_are_not_the_arenas(transformer, battles):
    for y in (["good"] * len(battles), ["tie"] * (len(battles) - 1)):
        with pytest.raises(LabelsError):
            clone(transformer).fit(battles, y)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (PairEmbeddings, ["encoder", "cache_dir"]),
        (BertPairClassifier, ["encoder", "checkpoint_dir"]),
        (lambda **paths: CachedTransformer(PairStyleFeatures(), **paths), ["memory"]),
    ],
)
def test_paths_are_pickled_as_text_which_other_systems_can_read(kind, names):
    paths = {name: pathlib.Path("some", name) for name in names}
    model = kind(**paths)
    pickled = pickle.dumps(model)
    assert b"pathlib" not in pickled
    loaded = pickle.loads(pickled).get_params()
    assert {name: loaded[name] for name in names} == {n: str(path) for n, path in paths.items()}
    assert paths.items() <= model.get_params().items()


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_no_table_of_pandas_is_pickled_which_an_older_one_could_not_load(estimator):
    fitted = fit_clone(estimator)
    pickled = pickle.dumps(fitted)
    assert b"pandas" not in pickled
    loaded = pickle.loads(pickled)
    for name, value in vars(fitted).items():
        if isinstance(value, pd.Series):
            pd.testing.assert_series_equal(getattr(loaded, name), value)
        elif isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(getattr(loaded, name), value)


@pytest.mark.parametrize(
    "estimator", ESTIMATORS[:-1], ids=lambda estimator: type(estimator).__name__
)
def test_a_pickle_of_another_version_is_warned_of_where_it_is_loaded(estimator, monkeypatch):
    """Words and measures change from one version to the next, and predictions with them."""
    file = io.BytesIO()
    joblib.dump(estimator, file)
    monkeypatch.setattr(arena_estimators, "__version__", "0.0.7")
    with pytest.warns(ArenaWarning, match="loaded with 0.0.7") as seen:
        file.seek(0)
        loaded = joblib.load(file)
    assert {warning.filename for warning in seen} == {__file__}
    assert vars(pickle.loads(pickle.dumps(loaded))).keys() == vars(estimator).keys()


def test_a_pickle_that_names_no_version_is_warned_of():
    state = vars(PairStyleFeatures()).copy()
    with pytest.warns(ArenaWarning, match="of an earlier day"):
        PairStyleFeatures().__setstate__(state)
