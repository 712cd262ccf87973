"""What the ensembles share: their predictions, and how they fit and ask a member."""

import numpy as np
from sklearn import config_context
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from arena_estimators._probability import normalised
from arena_estimators._tags import all_of, declare_tags, get_battle_tags
from arena_estimators._validation import ReadsBattles, validate_battles
from arena_estimators.battles import CLASSES, check_labels
from arena_estimators.exceptions import ArenaError, LabelsError


class BattleClassifierMixin(ReadsBattles, ClassifierMixin, MetaEstimatorMixin):
    """What all classifiers of battles made of others have in common; each defines its `_proba`."""

    def _members(self):
        """List the classifiers that `fit` fits, and those that it uses as they are."""
        return [self.estimator], []

    def _members_fitted_on_y(self):
        """List the classifiers that `fit` fits on labels as they are given."""
        return self._members()[0]

    def __sklearn_tags__(self):
        members = map(get_battle_tags, self._members_fitted_on_y())
        soft_labels = all_of(tags.soft_labels for tags in members)
        return declare_tags(super().__sklearn_tags__(), soft_labels=soft_labels)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "classes_")  # set last; a fit that failed leaves other attributes

    def _read(self, X, y, sample_weight):
        """Check what `fit` is given; give classes, labels or soft labels, and weights or None."""
        validate_battles(self, X)
        classes, target = check_labels(y, n_battles=len(X))
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        return classes, classes[target] if target.ndim == 1 else target, sample_weight

    def predict_proba(self, X):
        """Compute the probabilities of the classes.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles, n_classes) of float64
        """
        check_is_fitted(self)
        validate_battles(self, X, reset=False)
        return self._proba(X)

    def predict(self, X):
        """Give the most probable class of each battle.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles,)
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]


def fit_member(estimator, X, y, weight=None):
    """Fit a clone of an estimator, with sample weights if there are any.

    They go to the last step of a Pipeline as `step__sample_weight`, which metadata routing refuses.
    """
    member = clone(estimator)
    if weight is None:
        member.fit(X, y)
    else:
        argument, last = "sample_weight", member
        while isinstance(last, Pipeline):
            step, last = last.steps[-1]
            argument = f"{step}__{argument}"
        with config_context(enable_metadata_routing=False):
            member.fit(X, y, **{argument: weight})
    return member  # not what `fit` returned, which may be None from a user's own classifier


def check_classes(estimator, classes, name):
    """Find the columns of a fitted classifier's probabilities that belong to `classes`.

    The integers 0, 1 and 2 are the same as the names model_a, model_b and tie.

    Raises
    ------
    LabelsError
        If it has other classes.
    ArenaError
        If it has no `classes_`.
    """
    if not hasattr(estimator, "classes_"):
        raise ArenaError(f"{name} ({type(estimator).__name__}) has no classes_ after its fit.")
    found, expected = _names(estimator.classes_), _names(classes)
    if len(found) != len(expected) or set(found) != set(expected):
        raise LabelsError(
            f"{name} ({type(estimator).__name__}) has the classes {found}; expected {expected}, "
            "those of y. Fit it on labels of the same task."
        )
    return [found.index(label) for label in expected]


def proba_of(estimator, X, classes, name):
    """Predict probabilities as float64 rows that sum to one, columns in the order of `classes`."""
    order = check_classes(estimator, classes, name)
    proba = np.asarray(estimator.predict_proba(X), np.float64)
    if proba.shape != (len(X), len(order)):
        raise ArenaError(
            f"{name} ({type(estimator).__name__}) predicts probabilities of the shape "
            f"{proba.shape}; expected {(len(X), len(order))}, a column for each of its classes_."
        )
    proba = np.ascontiguousarray(proba[:, order])
    if not (np.isfinite(proba).all() and (proba >= 0).all() and (proba.sum(axis=1) > 0).all()):
        raise ArenaError(f"{name} ({type(estimator).__name__}) predicts what is no probability.")
    return normalised(proba)


def _names(classes):
    return [
        label if isinstance(label, str) else CLASSES[int(label)] if label in (0, 1, 2) else label
        for label in np.asarray(classes).tolist()
    ]
