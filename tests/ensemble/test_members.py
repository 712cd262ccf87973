"""What all ensembles ask of the classifiers they are made of."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from arena_estimators import (
    AugmentingClassifier,
    BlendingClassifier,
    DavidsonClassifier,
    DistillingClassifier,
    PairStyleFeatures,
    SwapSymmetricClassifier,
    make_arena_pipeline,
    make_battles,
)
from arena_estimators.exceptions import LabelsError

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
        ENSEMBLES[ensemble](davidson()).fit(DATA.X, DATA.y, sample_weight=-np.ones(60))
