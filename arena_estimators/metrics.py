"""How symmetric and how calibrated predictions are; for the loss itself use scikit-learn's."""

from numbers import Integral
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import column_or_1d

from arena_estimators._frames import columns_of, is_frame, names_of
from arena_estimators._probability import not_probabilities
from arena_estimators._validation import (
    Interval,
    StrOptions,
    check_no_label_missing,
    validate_params,
)
from arena_estimators.battles import swap, swap_proba
from arena_estimators.exceptions import ArenaError, LabelsError


def swap_inconsistency(estimator: BaseEstimator, X: pd.DataFrame) -> float:
    """Measure how far predictions depend on which response is called a.

    Parameters
    ----------
    estimator : object
        A fitted classifier of battles with `predict_proba`.
    X : DataFrame of shape (n_battles, n_columns)
        Battles.

    Returns
    -------
    float
        The mean total variation distance, from 0 to 1, between the prediction for a battle and
        the exchanged prediction for the exchanged battle. It is 0 for a symmetric classifier.

    Examples
    --------
    >>> from arena_estimators import make_arena_pipeline, make_battles, swap_inconsistency
    >>> data = make_battles(100, random_state=0)
    >>> model = make_arena_pipeline("linear").fit(data.X, data.y)
    >>> swap_inconsistency(model, data.X)
    0.0
    """
    given = estimator.predict_proba(X)
    swapped = swap_proba(estimator.predict_proba(swap(X)))
    return float(np.abs(given - swapped).sum(axis=1).mean() / 2)


@validate_params(
    {
        "y_true": ["array-like"],
        "y_proba": ["array-like"],
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "strategy": [StrOptions({"uniform", "quantile"})],
        "labels": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def expected_calibration_error(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Literal["uniform", "quantile"] = "uniform",
    labels: ArrayLike | None = None,
) -> float:
    """Measure how far confidence is from accuracy.

    The battles are binned by the probability of their most probable class; the error is the mean,
    weighted by the size of the bins, of the distance between that probability and how often the
    class was right.

    Parameters
    ----------
    y_true : array-like of shape (n_battles,)
        The true labels.
    y_proba : array-like of shape (n_battles, n_classes) or, of two classes, (n_battles,)
        Probabilities, columns in the order of the sorted labels. Columns of a DataFrame are found
        by their names: the labels, with or without the prefix `winner_`, or their numbers. A 1-d
        array holds those of the second class, as scikit-learn's scorers pass them.
    n_bins : int, default=15
        The number of bins.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width, or of equal size.
    labels : array-like of shape (n_classes,), optional
        The sorted labels, if not all of them occur in `y_true`.

    Returns
    -------
    float
        From 0 (calibrated) to 1.

    Raises
    ------
    LabelsError
        If there are no labels or one is missing, if `labels` are not sorted or lack one of
        `y_true`, or if the columns of `y_proba` are not those of the labels.
    ArenaError
        If the values in `y_proba` are not probabilities.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural
       networks", ICML 2017.

    Examples
    --------
    >>> from arena_estimators import expected_calibration_error
    >>> y, P = ["model_a", "model_b"], [[0.75, 0.25], [0.25, 0.75]]
    >>> expected_calibration_error(y, P)
    0.25
    """
    check_no_label_missing(y_true, "y_true")  # NumPy makes text of NaN beside text
    labelled = column_or_1d(y_true)
    if not len(labelled):
        raise LabelsError("y_true is empty; there is nothing to measure.")
    try:
        classes = np.unique(labelled if labels is None else labels)
    except TypeError as error:
        raise LabelsError(f"The labels mix kinds of values: {error}.") from None
    if labels is not None and np.asarray(labels).tolist() != classes.tolist():
        raise LabelsError(
            f"labels must be sorted, as the columns of y_proba are: {classes.tolist()}, got "
            f"{np.asarray(labels).tolist()}."
        )
    if is_frame(y_proba):
        found, y_proba = names_of(y_proba), columns_of(y_proba, classes)
        if y_proba is None:
            raise LabelsError(
                f"y_proba has the columns {found}; expected the classes {classes.tolist()}, with "
                "or without the prefix 'winner_'. If not all occur in y_true, pass labels."
            )
    try:
        proba = np.asarray(y_proba, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArenaError(
            f"y_proba must hold probabilities whose rows sum to one: {error}."
        ) from None
    if proba.ndim == 1 and len(classes) == 2:
        proba = np.column_stack([1 - proba, proba])
    if proba.shape != (len(labelled), len(classes)):
        raise LabelsError(
            f"y_proba has shape {proba.shape}; expected ({len(labelled)}, {len(classes)}) for "
            f"{len(labelled)} labels of the classes {classes.tolist()}. If not all classes occur "
            "in y_true, pass labels."
        )
    if not_probabilities(proba).any():
        raise ArenaError(
            "y_proba must hold finite probabilities whose rows sum to one; are these the values "
            "of decision_function?"
        )
    if not np.isin(labelled, classes).all():
        raise LabelsError(f"y_true has labels that are not among {classes.tolist()}.")
    confidence = proba.max(axis=1)
    right = classes[proba.argmax(axis=1)] == labelled
    if strategy == "quantile":
        edges = np.quantile(confidence, np.linspace(0, 1, n_bins + 1)[1:-1])
    else:
        edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    bins = np.searchsorted(edges, confidence)
    gaps = np.bincount(bins, weights=right - confidence, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(labelled))
