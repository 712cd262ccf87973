"""Boosting that stops when battles with other prompts stop getting better."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from arena_estimators._validation import Interval, fit_context, validate_battles
from arena_estimators.battles import check_labels
from arena_estimators.exceptions import ArenaError, LabelsError
from arena_estimators.model_selection import prompt_groups


class EarlyStoppingClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Choose the number of boosting rounds on held-out prompts, then fit on all battles.

    A booster that splits off its own validation rows meets the prompts of the training rows again
    in them, and inside a Pipeline it would be handed rows that are not yet transformed. Here the
    split is made of battles, grouped by prompt, before any step of the pipeline has seen them.

    Parameters
    ----------
    estimator : Pipeline
        Its last step is a `LGBMClassifier` or a `HistGradientBoostingClassifier`, with as many
        rounds as there may be at most.
    validation_fraction : float, default=0.15
        The share of the prompts that are held out to choose the number of rounds.
    patience : int, default=50
        Stop when the held-out log loss has not improved for that many rounds.
    random_state : int, RandomState instance or None, default=None
        Determines which prompts are held out.

    Attributes
    ----------
    estimator_ : Pipeline
        The pipeline, fitted on all battles with `n_rounds_` rounds.
    n_rounds_ : int
        The number of rounds that was best.
    validation_log_loss_ : float
        The log loss of the held-out battles after that many rounds.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    n_features_in_ : int
        The number of text columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names.

    Raises
    ------
    ArenaError
        If `estimator` is not a Pipeline that ends in one of the two boosters.
    BattlesError, LabelsError
        If `X` or `y` break the data contract.

    See Also
    --------
    make_arena_pipeline : `"boosting"` is made with this.
    SwapSymmetricClassifier : Wrap this in it to make predictions symmetric.

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from arena_estimators import EarlyStoppingClassifier, PairStyleFeatures, make_battles
    >>> data = make_battles(200, random_state=0)
    >>> booster = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=4)
    >>> model = EarlyStoppingClassifier(make_pipeline(PairStyleFeatures(), booster), patience=5)
    >>> model.fit(data.X, data.y).n_rounds_ <= 30
    True
    """

    _parameter_constraints = {
        "estimator": [Pipeline],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator, *, validation_fraction=0.15, patience=50, random_state=None):
        self.estimator = estimator
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Choose the number of rounds and fit.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,)
            Labels.

        Returns
        -------
        self
        """
        validate_battles(self, X)
        classes, codes = check_labels(y, n_battles=len(X))
        if codes.ndim == 2:
            raise LabelsError("Boosters take labels, not soft labels, so y must be 1-d.")
        stop_early = _BOOSTERS.get(type(self.estimator[-1]).__name__)
        if stop_early is None:
            raise ArenaError(
                "The last step must be a LGBMClassifier or a HistGradientBoostingClassifier, got "
                f"{type(self.estimator[-1]).__name__}."
            )
        y = classes[codes]
        train, held_out = self._split(X, codes)
        steps = clone(self.estimator[:-1])
        features = steps.fit_transform(X.iloc[train], y[train])
        held_out_features = steps.transform(X.iloc[held_out])
        booster = clone(self.estimator[-1])
        self.n_rounds_, self.validation_log_loss_, rounds = stop_early(
            booster, features, codes[train], held_out_features, codes[held_out], self.patience
        )
        self.estimator_ = clone(self.estimator)
        self.estimator_[-1].set_params(**rounds)
        self.estimator_.fit(X, y)
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
        return np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)

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

    def _split(self, X, codes):
        groups = prompt_groups(X)
        if groups.max() == 0:
            raise ArenaError(
                "All battles have one prompt; at least two are needed to hold one out."
            )
        splitter = GroupShuffleSplit(
            1, test_size=self.validation_fraction, random_state=self.random_state
        )
        train, held_out = next(splitter.split(codes, groups=groups))
        if len(np.unique(codes[train])) < len(np.unique(codes)):
            raise ArenaError(
                "The battles that are not held out lack a class; lower validation_fraction or pass "
                "more battles."
            )
        return train, held_out

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


def _stop_lightgbm(booster, X, y, X_held_out, y_held_out, patience):
    import lightgbm

    booster.fit(
        X,
        y,
        eval_X=(X_held_out,),
        eval_y=(y_held_out,),
        callbacks=[lightgbm.early_stopping(patience, verbose=False)],
    )
    n_rounds = booster.best_iteration_ or booster.n_estimators
    (losses,) = booster.best_score_.values()
    return n_rounds, float(next(iter(losses.values()))), {"n_estimators": n_rounds}


def _stop_histogram_boosting(booster, X, y, X_held_out, y_held_out, patience):
    booster.set_params(early_stopping=True, n_iter_no_change=patience, scoring="loss", tol=0)
    booster.fit(X, y, X_val=X_held_out, y_val=y_held_out)
    losses = -booster.validation_score_
    n_rounds = max(int(losses.argmin()), 1)  # the first score is from before any round
    return n_rounds, float(losses[n_rounds]), {"max_iter": n_rounds, "early_stopping": False}


_BOOSTERS = {
    "LGBMClassifier": _stop_lightgbm,
    "HistGradientBoostingClassifier": _stop_histogram_boosting,
}
