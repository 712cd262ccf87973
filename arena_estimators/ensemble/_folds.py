"""Members fitted on each fold and on all battles, and what they predict of the battles left out."""

from numbers import Integral

import numpy as np
from joblib.parallel import get_active_backend
from sklearn.model_selection import check_cv
from sklearn.utils.parallel import Parallel, delayed
from tqdm.auto import tqdm

from arena_estimators.ensemble._members import check_classes, fit_member, proba_of
from arena_estimators.exceptions import ArenaError, LabelsError
from arena_estimators.model_selection import PromptGroupKFold


def make_splits(cv, X, y, *, partition=True):
    """List the folds and check them before anything is fitted.

    Parameters
    ----------
    cv : int, splitter, iterable or None
        A number means that many folds of PromptGroupKFold; None means five.
    X : DataFrame of shape (n_battles, n_columns)
    y : ndarray of shape (n_battles,) or (n_battles, n_classes)
    partition : bool, default=True
        Whether every battle must be in a test part. None may ever be in two.

    Returns
    -------
    list of (train, test)
    """
    if cv is None or isinstance(cv, Integral):
        cv = PromptGroupKFold(5 if cv is None else cv)
    splits = list(check_cv(cv).split(X, y))
    tests = [np.arange(len(X))[test] for _, test in splits]
    if not all(map(len, tests)) or not tests:
        raise ArenaError("cv must give splits, with a battle in every test part.")
    tested = np.bincount(np.concatenate(tests), minlength=len(X))
    if partition and (tested != 1).any():
        raise ArenaError("cv must put every battle in the test part of exactly one fold.")
    if (tested > 1).any():
        raise ArenaError("cv must put no battle in the test parts of two folds.")
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
    """Predict each battle with members fitted without its fold, and fit members on all battles.

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
        NaN for battles in no test part.
    fitted : list of estimators
    """
    everything = [(slice(None), None)] if refit else []
    tasks = [
        (member, train, test)
        for train, test in [*everything, *splits]  # the longest first, which fills processes best
        for member in range(len(named))
    ]
    # joblib's "multiprocessing" cannot tell the progress.
    generates = get_active_backend()[0].supports_return_generator
    results = Parallel(n_jobs=n_jobs, return_as="generator" if generates else "list")(
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
    try:
        fitted = fit_member(estimator, X.iloc[train], y[train], weight)
    except Exception as error:
        error.add_note(f"{name} was being fitted.")
        raise
    check_classes(fitted, classes, name)
    return fitted if test is None else proba_of(fitted, X.iloc[test], classes, name)
