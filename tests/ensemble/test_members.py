"""What all ensembles ask of the classifiers they are made of."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from arena_estimators import (
    AugmentingClassifier,
    BlendingClassifier,
    DavidsonClassifier,
    DistillingClassifier,
    EarlyStoppingClassifier,
    PairStyleFeatures,
    SwapSymmetricClassifier,
    declare_tags,
    make_arena_pipeline,
    make_battles,
)
from arena_estimators.exceptions import ArenaError, LabelsError

DATA = make_battles(60, random_state=0)
SOFT = np.eye(3)[np.unique(DATA.y, return_inverse=True)[1]] * 0.7 + 0.1


def davidson():
    return make_pipeline(PairStyleFeatures("sum"), DavidsonClassifier(1.0, tie_alpha=1.0))


def regression():
    return make_pipeline(PairStyleFeatures("sum"), StandardScaler(), LogisticRegression())


class Own(ClassifierMixin, BaseEstimator):
    """Somebody's classifier, which takes labels of both kinds."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array(["model_a", "model_b", "tie"])
        return self

    def predict_proba(self, X):
        return np.full((len(X), 3), 1 / 3)


def test_what_is_advised_for_davidson_beats_the_class_shares():
    train, test = make_battles(400, random_state=0), make_battles(400, random_state=1)
    with pytest.raises(ArenaError, match="would give battles to a") as refused:
        SwapSymmetricClassifier(DavidsonClassifier()).fit(train.X, train.y)
    advised = re.search(r"make_pipeline\(.*\)", str(refused.value))[0]
    models = [eval(advised), DummyClassifier()]
    probas = [model.fit(train.X, train.y).predict_proba(test.X) for model in models]
    assert log_loss(test.y, probas[0]) < log_loss(test.y, probas[1])


TAKE_SOFT_LABELS = {
    "of this library": davidson,
    "somebody's": Own,
    "a wrapper": lambda: SwapSymmetricClassifier(davidson()),
    "a blend of fitted ones": lambda: BlendingClassifier(
        [("one", FrozenEstimator(regression().fit(DATA.X, DATA.y)))], prefit=True
    ),
    "a student of one that does": lambda: DistillingClassifier(regression(), davidson(), cv=2),
    "a student of a fitted one": lambda: DistillingClassifier(
        regression(), FrozenEstimator(davidson().fit(DATA.X, DATA.y)), prefit=True
    ),
    "frozen": lambda: FrozenEstimator(regression().fit(DATA.X, DATA.y)),
}
TAKE_LABELS = {
    "scikit-learn's": regression,
    "a wrapper": lambda: AugmentingClassifier(regression()),
    "its own teacher": lambda: DistillingClassifier(regression(), cv=2),
    "a student of one that does": lambda: DistillingClassifier(davidson(), regression(), cv=2),
    "boosting": lambda: make_arena_pipeline("boosting"),
    "a vote": lambda: VotingClassifier([("one", davidson())], voting="soft"),
    "a stack": lambda: StackingClassifier([("one", davidson())], cv=2),
    "calibrated": lambda: CalibratedClassifierCV(davidson(), cv=2),
    "bagged": lambda: BaggingClassifier(davidson(), n_estimators=2),
}
ENSEMBLES = {
    "swap": SwapSymmetricClassifier,
    "augment": AugmentingClassifier,
    "blend": lambda member: BlendingClassifier([("first", davidson()), ("other", member)], cv=2),
    "teach": lambda member: DistillingClassifier(davidson(), member, cv=2),
}


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("member", TAKE_SOFT_LABELS)
def test_soft_labels_reach_what_takes_them(ensemble, member):
    model = ENSEMBLES[ensemble](TAKE_SOFT_LABELS[member]()).fit(DATA.X, SOFT)
    assert model.predict_proba(DATA.X).shape == (60, 3)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("member", TAKE_LABELS)
def test_soft_labels_are_refused_where_one_takes_none_before_any_fit(monkeypatch, ensemble, member):
    model = ENSEMBLES[ensemble](TAKE_LABELS[member]())
    for classifier in (DavidsonClassifier, LogisticRegression):
        monkeypatch.setattr(classifier, "fit", lambda *_: pytest.fail("something was fitted"))
    with pytest.raises(LabelsError, match="labels, not soft labels"):
        model.fit(DATA.X, SOFT)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_negative_weights_are_refused(ensemble):
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        ENSEMBLES[ensemble](DummyClassifier()).fit(DATA.X, DATA.y, sample_weight=-np.ones(60))


@pytest.mark.parametrize(
    "member",
    [
        LogisticRegression(),
        DavidsonClassifier(),
        CalibratedClassifierCV(LogisticRegression()),
        SwapSymmetricClassifier(LogisticRegression()),
        VotingClassifier([("right", davidson()), ("wrong", LogisticRegression())], voting="soft"),
        make_pipeline(LogisticRegression()),
        make_pipeline("passthrough", DavidsonClassifier()),
        make_pipeline(None, DavidsonClassifier()),
    ],
    ids=lambda member: type(member).__name__,
)
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_a_classifier_of_numbers_is_refused_before_any_fit(monkeypatch, ensemble, member):
    model = ENSEMBLES[ensemble](member)
    monkeypatch.setattr(PairStyleFeatures, "fit", lambda *_: pytest.fail("something was fitted"))
    with pytest.raises(ArenaError, match=r"reads numbers.*make_pipeline\(PairStyleFeatures\(\), "):
        model.fit(DATA.X, DATA.y)


@pytest.mark.parametrize("inner", [make_pipeline, CalibratedClassifierCV])
def test_a_classifier_of_numbers_may_stand_behind_features_at_any_depth(inner):
    member = make_pipeline(PairStyleFeatures(), StandardScaler(), inner(LogisticRegression()))
    SwapSymmetricClassifier(member).fit(DATA.X, DATA.y).predict_proba(DATA.X)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_what_ignores_the_battles_may_be_a_member(ensemble):
    ENSEMBLES[ensemble](DummyClassifier()).fit(DATA.X, DATA.y).predict_proba(DATA.X)


class Facts(TransformerMixin, BaseEstimator):
    """What is known of each battle, found by its label in the index."""

    def __init__(self, table):
        self.table = table

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return self.table.loc[X.index].to_numpy()


@pytest.mark.parametrize("kind", ["both", "none", "augment", "teach", "blend"])
def test_battles_keep_their_labels_in_the_index(kind):
    """Whatever rows an ensemble adds, a member finds what belongs to a battle."""
    winner = np.unique(DATA.y, return_inverse=True)[1]
    table = pd.DataFrame(np.eye(3)[winner], index=np.random.default_rng(0).permutation(60))
    X, known = DATA.X.set_index(table.index), slice(20, 60)
    member = make_pipeline(Facts(table), LogisticRegression(C=100))
    model = {
        "both": lambda: SwapSymmetricClassifier(make_pipeline(Facts(table), DummyClassifier())),
        "none": lambda: SwapSymmetricClassifier(member, train="none", predict_order="none"),
        "augment": lambda: AugmentingClassifier(member, random_state=0),
        "teach": lambda: DistillingClassifier(member, cv=2),
        "blend": lambda: BlendingClassifier([("one", member)], cv=2),
    }[kind]()
    options = {"X_unlabelled": X[:10]} if kind == "teach" else {}
    model.fit(X[known], DATA.y[known], **options)
    if kind != "both":
        assert (model.predict(X) == DATA.y).all()


class Bare:
    """A classifier that is derived from nothing, with what an ensemble needs."""

    def get_params(self, deep=True):
        return {}

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array(["model_a", "model_b", "tie"])
        return self

    predict_proba = Own.predict_proba


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_a_member_need_not_be_derived_from_scikit_learns_classes(ensemble):
    ENSEMBLES[ensemble](Bare()).fit(DATA.X, DATA.y).predict_proba(DATA.X)


def test_the_member_whose_fit_fails_is_named():
    class Failing(Own):
        def fit(self, X, y, sample_weight=None):
            raise MemoryError("too much")

    model = BlendingClassifier([("fine", Own()), ("large", Failing())], cv=2)
    with pytest.raises(MemoryError, match="too much") as error:
        model.fit(DATA.X, DATA.y)
    assert error.value.__notes__ == ["Member 'large' was being fitted."]


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_a_member_that_learns_other_classes_is_refused(ensemble):
    class Decides(DummyClassifier):
        def fit(self, X, y, sample_weight=None):
            return super().fit(X, np.where(y == "tie", "model_a", y))

    with pytest.raises(LabelsError, match="has the classes .'model_a', 'model_b'.; expected"):
        ENSEMBLES[ensemble](Decides()).fit(DATA.X, DATA.y)


@pytest.mark.parametrize("ensemble", [*ENSEMBLES, "stop"])
def test_an_ensemble_whose_first_fit_failed_is_not_fitted(ensemble):
    boosting = make_pipeline(PairStyleFeatures(), HistGradientBoostingClassifier(max_iter=2))
    stopping = EarlyStoppingClassifier(boosting)
    model = stopping if ensemble == "stop" else ENSEMBLES[ensemble](davidson())
    with pytest.raises(ValueError):
        model.fit(DATA.X, ["model_a"] * 60)
    with pytest.raises(NotFittedError):
        model.predict(DATA.X)
    model.fit(DATA.X, DATA.y).predict(DATA.X)


def test_what_is_derived_from_this_library_takes_soft_labels_too():
    seen = []

    class Mine(DavidsonClassifier):
        def fit(self, X, y, sample_weight=None):
            seen.append(np.shape(y))
            return super().fit(X, y, sample_weight)

    student = make_pipeline(PairStyleFeatures("sum"), Mine(1.0))
    DistillingClassifier(student, davidson(), cv=2).fit(DATA.X, DATA.y)
    assert seen == [(60, 3)]


class MeanClassifier(ClassifierMixin, BaseEstimator):
    """Somebody's classifier, which takes soft labels alone and says so."""

    def fit(self, X, y):
        self.classes_, self.mean_ = np.array(["model_a", "model_b", "tie"]), y.mean(axis=0)
        return self

    def predict_proba(self, X):
        return np.tile(self.mean_, (len(X), 1))

    def __sklearn_tags__(self):
        return declare_tags(super().__sklearn_tags__(), soft_labels=True)


@pytest.mark.parametrize("member", [MeanClassifier, lambda: make_pipeline(MeanClassifier())])
def test_somebodys_classifier_declares_that_it_takes_soft_labels(member):
    student = DistillingClassifier(member(), davidson(), cv=2).fit(DATA.X, DATA.y)
    augmented = AugmentingClassifier(member()).fit(DATA.X, SOFT)
    assert get_tags(student).soft_labels and get_tags(augmented).soft_labels
    np.testing.assert_allclose(student.predict_proba(DATA.X)[0], student.soft_labels_.mean(axis=0))
    np.testing.assert_allclose(augmented.predict_proba(DATA.X).sum(axis=1), 1)


class Declared(Own):
    """Somebody's classifier, which says what it takes."""

    def __init__(self, declared=None):
        self.declared = declared

    def fit(self, X, y, **options):
        return super().fit(X, y)

    def __sklearn_tags__(self):
        return declare_tags(super().__sklearn_tags__(), **(self.declared or {}))


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize(
    ("declared", "labels", "weight", "message"),
    [
        ({"soft_labels": False}, SOFT, None, "takes labels, not soft labels"),
        ({"soft_labels": True, "numeric": True}, DATA.y, None, "Declared, which reads numbers"),
        ({"sample_weight": False}, DATA.y, np.ones(60), "Declared. takes no sample_weight"),
        ({}, DATA.y, np.ones(60), "Declared. takes no sample_weight"),
    ],
)
def test_what_somebodys_classifier_does_not_take_is_refused(
    ensemble, declared, labels, weight, message
):
    with pytest.raises(ArenaError, match=message):
        ENSEMBLES[ensemble](Declared(declared)).fit(DATA.X, labels, weight)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_a_classifier_that_takes_weights_without_naming_them_says_so(ensemble):
    member = Declared({"sample_weight": True})
    ENSEMBLES[ensemble](member).fit(DATA.X, DATA.y, np.ones(60)).predict_proba(DATA.X)


def test_tags_are_added_to_those_declared_before():
    class Mine(DavidsonClassifier):
        def __sklearn_tags__(self):
            return declare_tags(super().__sklearn_tags__(), soft_labels=False)

    tags = get_tags(Mine())
    assert (tags.soft_labels, tags.numeric, tags.input_tags.sparse) == (False, True, True)


@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
def test_a_search_takes_soft_labels_if_its_scorer_does(search):
    def score(model, X, soft):
        return (soft * np.log(model.predict_proba(X))).sum()

    grid = {"davidsonclassifier__alpha": [0.1, 1.0]}
    options = {} if search is GridSearchCV else {"n_iter": 2}
    model = SwapSymmetricClassifier(search(davidson(), grid, scoring=score, cv=2, **options))
    assert np.isfinite(model.fit(DATA.X, SOFT).estimator_.best_score_)


class Shaped(Own):
    def __init__(self, shape=None):
        self.shape = shape

    def predict_proba(self, X):
        return np.full(self.shape, 1 / 3)


@pytest.mark.parametrize("shape", [(2,), (2, 2), (2, 4), (1, 3)])
def test_probabilities_of_another_shape_are_refused_by_name(shape):
    model = AugmentingClassifier(Shaped(shape)).fit(DATA.X, DATA.y)
    with pytest.raises(ArenaError, match=r"estimator .Shaped. .* shape .*; expected \(2, 3\)"):
        model.predict_proba(DATA.X[:2])


def test_a_fit_that_returns_nothing_is_one_too():
    class ReturnsNothing(Own):
        def fit(self, X, y, sample_weight=None):
            super().fit(X, y)

    for weight in (None, np.ones(60)):
        model = SwapSymmetricClassifier(ReturnsNothing()).fit(DATA.X, DATA.y, weight)
        assert isinstance(model.estimator_, ReturnsNothing)


def test_a_member_that_tells_no_classes_is_refused_by_name():
    class TellsNoClasses(Own):
        def fit(self, X, y, sample_weight=None):
            return self

    with pytest.raises(ArenaError, match="Member 'own' .TellsNoClasses. has no classes_ after"):
        BlendingClassifier([("own", TellsNoClasses())]).fit(DATA.X, DATA.y)
