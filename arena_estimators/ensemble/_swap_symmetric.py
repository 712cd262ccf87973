"""A wrapper that makes any classifier of battles blind to the order of the responses."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from arena_estimators._frames import stack
from arena_estimators._validation import HasMethods, StrOptions, fit_context
from arena_estimators.battles import swap, swap_labels, swap_proba
from arena_estimators.ensemble._checks import check_member
from arena_estimators.ensemble._members import (
    BattleClassifierMixin,
    check_classes,
    fit_member,
    proba_of,
)


class SwapSymmetricClassifier(BattleClassifierMixin, BaseEstimator):
    """Train a classifier on both orders of the responses and average its predictions over both.

    Wrap the whole text pipeline, not its last step: the responses are exchanged, along with your
    own columns that come in pairs, as `swap` does it. Give a search or a calibration inside it
    folds grouped by prompt, or the two orders of a battle are on both sides of a split.

    Parameters
    ----------
    estimator : estimator
        A classifier that takes a DataFrame of battles and has `predict_proba`.
    train : {"both", "random", "none"}, default="both"
        Fit on each battle in both orders (twice the rows, one below the other), on each battle in
        an order drawn at random, or on the battles as given.
    predict_order : {"average", "none"}, default="average"
        Average the predictions for both orders, which makes them exactly symmetric, or predict in
        the given order alone, which takes half the time.
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
        If `X` or `y` break the data contract, or `y` holds soft labels the classifier cannot take.
    ArenaError
        If the classifier has no `predict_proba` or reads numbers, not battles, or if there are
        sample weights and it takes none.

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
        "estimator": [HasMethods("fit")],
        "train": [StrOptions({"both", "random", "none"})],
        "predict_order": [StrOptions({"average", "none"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        *,
        train="both",
        predict_order="average",
        random_state=None,
    ):
        self.estimator = estimator
        self.train = train
        self.predict_order = predict_order
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
            Passed to the classifier (in a Pipeline: to its last step), in both orders.

        Returns
        -------
        self
        """
        classes, y, weight = self._read(X, y, sample_weight)
        soft, weighted = y.ndim == 2, weight is not None
        check_member(self.estimator, "estimator", classes, soft=soft, weighted=weighted)
        rows = self._orders(len(X))
        weight = None if weight is None else weight[rows % len(X)]
        swapped = swap(X)
        X_both = stack(swap(swapped), swapped)  # not X, which may have fewer categories
        y_both = np.concatenate([y, swap_labels(y)])
        self.estimator_ = fit_member(self.estimator, X_both.iloc[rows], y_both[rows], weight)
        check_classes(self.estimator_, classes, "estimator")
        self.classes_ = classes
        return self

    def _proba(self, X):
        self._validate_params()  # how to predict may have been set since
        proba = proba_of(self.estimator_, X, self.classes_, "estimator")
        if self.predict_order == "none":
            return proba
        swapped = proba_of(self.estimator_, swap(X), self.classes_, "estimator")
        return (proba + swap_proba(swapped)) / 2

    def _orders(self, n_battles):
        """Choose rows of the battles as given (the first half) and exchanged (the second)."""
        if self.train == "both":
            return np.arange(2 * n_battles)
        rows = np.arange(n_battles)
        if self.train == "random":
            rows += n_battles * check_random_state(self.random_state).randint(2, size=n_battles)
        return rows
