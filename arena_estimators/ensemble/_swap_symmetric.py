"""A wrapper that makes any classifier of battles blind to the order of the responses."""

from numbers import Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from arena_estimators._validation import (
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    validate_battles,
)
from arena_estimators.battles import check_labels, swap, swap_labels, swap_proba
from arena_estimators.ensemble._members import check_member, fit_member
from arena_estimators.exceptions import LabelsError


class SwapSymmetricClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Train a classifier on both orders of the responses and average its predictions over both.

    Wrap the whole text pipeline, not its last step: what is exchanged are the responses, and
    columns of your own that come in pairs, as `swap` does it.

    Parameters
    ----------
    estimator : estimator
        A classifier that takes a DataFrame of battles and has `predict_proba`.
    train : {"both", "random", "none"}, default="both"
        Fit on each battle in both orders (twice the rows, one below the other), on each battle in
        an order drawn at random, or on the battles as given.
    predict_order : {"average", "uncertain", "none"}, default="average"
        Average the predictions for both orders, which makes them exactly symmetric; do so only
        for the battles the first pass is least sure of; or predict in the given order alone.
    uncertain_fraction : float, default=0.35
        The share of battles that `predict_order="uncertain"` predicts twice, from 0 to 1.
    random_state : int, RandomState instance or None, default=None
        Determines the orders when `train="random"`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted classifier.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    n_features_in_ : int
        The number of text columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names.

    Raises
    ------
    BattlesError, LabelsError
        If `X` or `y` break the data contract.

    See Also
    --------
    DavidsonClassifier : Symmetric by construction, without a second pass.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from arena_estimators import (
    ...     PairTfidfVectorizer, SwapSymmetricClassifier, make_battles, swap_inconsistency)
    >>> data = make_battles(100, random_state=0)
    >>> pipeline = make_pipeline(PairTfidfVectorizer(combine="separate"), LogisticRegression())
    >>> model = SwapSymmetricClassifier(pipeline).fit(data.X, data.y)
    >>> swap_inconsistency(model, data.X)
    0.0
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "train": [StrOptions({"both", "random", "none"})],
        "predict_order": [StrOptions({"average", "uncertain", "none"})],
        "uncertain_fraction": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        *,
        train="both",
        predict_order="average",
        uncertain_fraction=0.35,
        random_state=None,
    ):
        self.estimator = estimator
        self.train = train
        self.predict_order = predict_order
        self.uncertain_fraction = uncertain_fraction
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit a clone of the classifier.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,) or (n_battles, n_classes)
            Labels, or soft labels if the classifier takes them.
        sample_weight : array-like of shape (n_battles,), optional
            Handed to the classifier (of a Pipeline: to its last step), in both orders.

        Returns
        -------
        self
        """
        validate_battles(self, X)
        classes, target = check_labels(y, n_battles=len(X))
        check_member(self.estimator, "estimator", classes)
        y = classes[target] if target.ndim == 1 else target
        rows = self._orders(len(X))
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X)[rows % len(X)]
        swapped = swap(X)
        X_both = pd.concat([swap(swapped), swapped], ignore_index=True)  # categories are the same
        y_both = np.concatenate([y, swap_labels(y)])
        self.estimator_ = fit_member(self.estimator, X_both.iloc[rows], y_both[rows], weight)
        if not np.array_equal(self.estimator_.classes_, classes):
            raise LabelsError(
                f"{type(self.estimator_).__name__} learned the classes "
                f"{list(self.estimator_.classes_)} from labels of the classes {list(classes)}."
            )
        self.classes_ = classes
        return self

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
        proba = self._one_order(X)
        if self.predict_order == "none":
            return proba
        again = np.arange(len(X))
        if self.predict_order == "uncertain":
            count = int(np.ceil(self.uncertain_fraction * len(X)))
            again = np.sort(np.argsort(proba.max(axis=1), kind="stable")[:count])
        if len(again):
            swapped = self._one_order(swap(X.iloc[again]))
            proba[again] = (proba[again] + swap_proba(swapped)) / 2
        return proba

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
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _one_order(self, X):
        """Predict in the given order; float32 probabilities are brought to a sum of one."""
        proba = np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)
        return proba / proba.sum(axis=1, keepdims=True)

    def _orders(self, n_battles):
        """Choose rows of the battles as given (the first half) and exchanged (the second)."""
        if self.train == "both":
            return np.arange(2 * n_battles)
        rows = np.arange(n_battles)
        if self.train == "random":
            rows += n_battles * check_random_state(self.random_state).randint(2, size=n_battles)
        return rows

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
