"""Boosting that stops when predictions for battles with other prompts stop getting better."""

import inspect
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from arena_estimators._validation import HasMethods, Interval, fit_context
from arena_estimators.ensemble._checks import check_member, resampling_step
from arena_estimators.ensemble._members import BattleClassifierMixin, fit_member, proba_of
from arena_estimators.exceptions import ArenaError, LabelsError
from arena_estimators.model_selection import PromptGroupShuffleSplit, prompt_groups


class EarlyStoppingClassifier(BattleClassifierMixin, BaseEstimator):
    """Choose the number of boosting rounds on held-out prompts, then fit on all battles.

    A booster that splits off validation rows itself finds the prompts of its training rows in them,
    and validation rows passed to it through a Pipeline would not be transformed. Here the battles
    are split, grouped by prompt, before any step of the pipeline has seen them.

    Parameters
    ----------
    estimator : Pipeline
        Its last step is an `LGBMClassifier` or a `HistGradientBoostingClassifier`, whose number of
        rounds is the maximum. The latter's own settings of early stopping are not used.
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
        If `estimator` is not a Pipeline that ends in one of the two boosters, or LightGBM's has a
        setting that would overrule the search, such as `boosting_type="dart"`; if a step resamples
        rows; if all battles have one prompt, or those that are not held out lack a class; or if all
        weights of the battles that are held out, or of the others, are zero.
    BattlesError, LabelsError
        If `X` or `y` break the data contract, if `y` holds soft labels, or if `validation_fraction`
        leaves no prompt to fit on.

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
        "estimator": [HasMethods("fit")],
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
    def fit(self, X, y, sample_weight=None):
        """Choose the number of rounds and fit.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,)
            Labels.
        sample_weight : array-like of shape (n_battles,), optional
            Handed to the booster, and counts in the held-out log loss.

        Returns
        -------
        self
        """
        self.check_settings()
        classes, y, weight = self._read(X, y, sample_weight)
        if y.ndim == 2:
            raise LabelsError("Boosters take labels, not soft labels, so y must be 1-d.")
        check_member(self.estimator, "estimator", classes, weighted=weight is not None)
        codes = np.searchsorted(classes, y)
        n_rounds, loss, settings = self._choose_rounds(X, codes, classes, weight)
        estimator = clone(self.estimator)
        estimator[-1].set_params(**settings)
        self.estimator_ = fit_member(estimator, X, y, weight)
        self.n_rounds_, self.validation_log_loss_ = n_rounds, loss
        self.classes_ = classes
        return self

    def _proba(self, X):
        return proba_of(self.estimator_, X, self.classes_, "estimator")

    def check_settings(self):
        """Refuse what does not end in a booster, and settings that would overrule the search."""
        last = self.estimator[-1] if isinstance(self.estimator, Pipeline) else self.estimator
        if last is self.estimator or _kind_of(last) is None:
            raise ArenaError(
                "EarlyStoppingClassifier needs a Pipeline whose last step is a LGBMClassifier or a "
                f"HistGradientBoostingClassifier, got {type(last).__name__}."
            )
        if name := resampling_step(self.estimator):
            raise ArenaError(
                f"The step {name!r} resamples rows, so EarlyStoppingClassifier would not know "
                "their labels. Weight battles instead, by sample_weight in fit."
            )
        settings = last.get_params(deep=False)
        if "dart" in (settings.get(name) for name in ("boosting_type", "boosting", "boost")):
            raise ArenaError("boosting_type='dart' of LGBMClassifier cannot stop early.")
        for name, instead in _LIGHTGBM_ALIASES.items():
            if name in settings and _kind_of(last) == "LGBMClassifier":
                raise ArenaError(
                    f"{name} of LGBMClassifier would overrule the rounds that are found. Pass "
                    f"{instead} instead."
                )

    def _choose_rounds(self, X, codes, classes, weight):
        """Return the best number of rounds, the loss after them, and the parameters to set it."""
        train, held_out = self._split(X, codes)
        if weight is not None and not (weight[train].any() and weight[held_out].any()):
            raise ArenaError(
                "sample_weight is zero on all battles that are held out, or on all others; pass "
                "more battles that count, or another validation_fraction."
            )
        steps, booster = clone(self.estimator[:-1]), clone(self.estimator[-1])
        given = booster.class_weight
        if isinstance(given, dict) and set(classes) & set(given):
            by_code = {code: given[label] for code, label in enumerate(classes) if label in given}
            booster.set_params(class_weight=by_code)
        features = steps.fit_transform(X.iloc[train], classes[codes[train]])
        fitting = (features, codes[train], None if weight is None else weight[train])
        features = steps.transform(X.iloc[held_out])
        judging = (features, codes[held_out], None if weight is None else weight[held_out])
        return _BOOSTERS[_kind_of(booster)](booster, fitting, judging, self.patience)

    def _split(self, X, codes):
        groups = prompt_groups(X)
        if groups.max() == 0:
            raise ArenaError(
                "All battles have one prompt; at least two are needed to hold one out."
            )
        splitter = PromptGroupShuffleSplit(
            test_size=self.validation_fraction, random_state=self.random_state
        )
        train, held_out = next(splitter.split(X, groups=groups))
        if len(np.unique(codes[train])) < len(np.unique(codes)):
            raise ArenaError(
                "The battles that are not held out lack a class; lower validation_fraction or pass "
                "more battles."
            )
        return train, held_out


def _kind_of(booster):
    """Name the booster that a classifier is, or is derived from; None if it is another."""
    names = (kind.__name__ for kind in type(booster).__mro__)
    return next((name for name in names if name in _BOOSTERS), None)


def _stop_lightgbm(booster, fitting, judging, patience):
    import lightgbm

    X, y, weight = fitting
    X_held_out, y_held_out, held_out_weight = judging
    metric = "binary_logloss" if len(np.unique(y)) == 2 else "multi_logloss"
    held_out = {"eval_X": (X_held_out,), "eval_y": (y_held_out,)}
    if "eval_X" not in inspect.signature(booster.fit).parameters:  # LightGBM before 4.7
        held_out = {"eval_set": [(X_held_out, y_held_out)]}
    booster.set_params(metric=metric).fit(
        X,
        y,
        sample_weight=weight,
        eval_sample_weight=None if held_out_weight is None else [held_out_weight],
        callbacks=[lightgbm.early_stopping(patience, verbose=False)],
        **held_out,
    )
    n_rounds = booster.best_iteration_ or booster.n_estimators
    (losses,) = booster.best_score_.values()
    return n_rounds, float(losses[metric]), {"n_estimators": n_rounds}


def _stop_histogram_boosting(booster, fitting, judging, patience):
    X, y, weight = fitting
    X_held_out, y_held_out, held_out_weight = judging
    booster.set_params(early_stopping=True, n_iter_no_change=patience, scoring="loss", tol=0)
    held_out = {"X_val": X_held_out, "y_val": y_held_out, "sample_weight_val": held_out_weight}
    booster.fit(X, y, weight, **held_out)
    losses = -booster.validation_score_
    n_rounds = max(int(losses.argmin()), 1)  # the first score is from before any round
    return n_rounds, float(losses[n_rounds]), {"max_iter": n_rounds, "early_stopping": False}


_LIGHTGBM_ALIASES = dict.fromkeys(
    "num_iterations num_iteration n_iter num_tree num_trees num_round num_rounds nrounds "
    "num_boost_round max_iter".split(),
    "n_estimators",
) | dict.fromkeys(
    "early_stopping_round early_stopping_rounds early_stopping n_iter_no_change".split(),
    "EarlyStoppingClassifier(patience=...)",
)
_BOOSTERS = {
    "LGBMClassifier": _stop_lightgbm,
    "HistGradientBoostingClassifier": _stop_histogram_boosting,
}
