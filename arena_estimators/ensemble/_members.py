"""What the ensembles share: fitting a member, reading its probabilities by name, and folds."""

import inspect
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from arena_estimators.battles import CLASSES
from arena_estimators.exceptions import LabelsError
from arena_estimators.model_selection import PromptGroupKFold


class BattleClassifierMixin(ClassifierMixin, MetaEstimatorMixin):
    """What every classifier of battles made of others has in common."""

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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


def weight_name(estimator, name):
    """Find the argument of `fit` that takes sample weights: of a Pipeline, its last step's.

    Parameters
    ----------
    estimator : estimator
    name : str
        What the error calls it.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there is no such argument.
    """
    prefix = ""
    while isinstance(estimator, Pipeline):
        step, estimator = estimator.steps[-1]
        prefix += f"{step}__"
    parameters = inspect.signature(estimator.fit).parameters.values()
    if not any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters):
        raise ValueError(
            f"{name} ({type(estimator).__name__}) takes no sample_weight in fit; leave sample "
            "weights away, or choose a classifier that takes them."
        )
    return f"{prefix}sample_weight"


def fit_member(estimator, X, y, weight=None):
    """Fit a clone of an estimator, with sample weights if there are any."""
    params = {} if weight is None else {weight_name(estimator, "estimator"): weight}
    return clone(estimator).fit(X, y, **params)


def takes_soft_labels(estimator):
    """Say whether a classifier takes probabilities for labels: those of this library do.

    Of a Pipeline this is asked of its last step, of a wrapper or a blend of what it holds.
    """
    if isinstance(estimator, Pipeline):
        return takes_soft_labels(estimator.steps[-1][1])
    if not type(estimator).__module__.startswith("arena_estimators."):
        return False
    held = [member for _, member in getattr(estimator, "estimators", [])]
    held += [estimator.estimator] if hasattr(estimator, "estimator") else []
    return all(takes_soft_labels(member) for member in held if not isinstance(member, str))


def check_classes(estimator, classes, name):
    """Find the columns of a fitted classifier's probabilities that belong to `classes`.

    The integers 0, 1 and 2 are the same as the names model_a, model_b and tie.

    Raises
    ------
    LabelsError
        If its classes are others.
    """
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
    proba = np.ascontiguousarray(np.asarray(estimator.predict_proba(X), np.float64)[:, order])
    if not (np.isfinite(proba).all() and (proba >= 0).all() and (proba.sum(axis=1) > 0).all()):
        raise ValueError(f"{name} ({type(estimator).__name__}) predicts what is no probability.")
    return proba / proba.sum(axis=1, keepdims=True)


def _names(classes):
    return [
        label if isinstance(label, str) else CLASSES[label] if label in (0, 1, 2) else label
        for label in np.asarray(classes).tolist()
    ]


def make_splits(cv, X, y):
    """List the folds and check them before anything is fitted.

    Parameters
    ----------
    cv : int, splitter, iterable or None
        A number means that many folds of PromptGroupKFold; None means five.
    X : DataFrame of shape (n_battles, n_columns)
    y : ndarray of shape (n_battles,) or (n_battles, n_classes)

    Returns
    -------
    list of (train, test)
    """
    if cv is None or isinstance(cv, Integral):
        cv = PromptGroupKFold(5 if cv is None else cv)
    splits = list(check_cv(cv).split(X, y))
    if not np.array_equal(np.sort(np.concatenate([test for _, test in splits])), range(len(X))):
        raise ValueError("cv must put every battle in the test part of exactly one fold.")
    for fold, (train, _) in enumerate(splits):
        if y.ndim == 1 and (missing := set(y.tolist()) - set(y[train].tolist())):
            raise LabelsError(
                f"The training part of fold {fold} has no battle of class {missing}; use fewer "
                "folds or more battles."
            )
    return splits


def fit_and_predict_out_of_fold(
    named, X, y, weight, splits, classes, *, refit=True, n_jobs=None, verbose=False
):
    """Predict each battle by members that were fitted without its fold, and fit them on all.

    Parameters
    ----------
    named : list of (str, estimator)
    X : DataFrame of shape (n_battles, n_columns)
    y : ndarray of shape (n_battles,) or (n_battles, n_classes)
    weight : ndarray of shape (n_battles,) or None
    splits : list of (train, test)
        May be empty, if no out-of-fold predictions are wanted.
    classes : ndarray of shape (n_classes,)
    refit : bool, default=True
        Whether to fit on all battles too.
    n_jobs : int, optional
        The number of fits at a time.
    verbose : bool, default=False
        Whether to show the progress.

    Returns
    -------
    proba : ndarray of shape (n_members, n_battles, n_classes)
    fitted : list of estimators
    """
    everything = [(slice(None), None)] if refit else []
    tasks = [
        (member, train, test)
        for train, test in [*splits, *everything]
        for member in range(len(named))
    ]
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_fit_and_predict)(*named[member], X, y, weight, train, test, classes)
        for member, train, test in tasks
    )
    proba = np.full((len(named), len(X), len(classes)), np.nan)
    fitted = []
    progress = tqdm(results, "fits", len(tasks), disable=not verbose)
    for (member, _, test), result in zip(tasks, progress, strict=True):
        if test is None:
            fitted.append(result)
        else:
            proba[member, test] = result
    return proba, fitted


def _fit_and_predict(name, estimator, X, y, weight, train, test, classes):
    weight = None if weight is None else weight[train]
    fitted = fit_member(estimator, X.iloc[train], y[train], weight)
    check_classes(fitted, classes, name)
    return fitted if test is None else proba_of(fitted, X.iloc[test], classes, name)
