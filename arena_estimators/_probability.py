"""Probabilities of the classes: what they are, their logarithms, Davidson's form, and pools.

Everything here treats model_a and model_b alike, bit for bit: exchanging the first two columns of
what goes in exchanges those of what comes out. Sums therefore begin with these two.
"""

import numpy as np
from scipy.special import softmax

FLOOR = np.finfo(np.float64).eps  # the least probability whose logarithm is taken, as in log_loss
TOLERANCE = 1e-4  # how far the sum of a row may be from one


def log(proba):
    """Take logarithms; a probability below FLOOR counts as FLOOR."""
    return np.log(np.maximum(proba, FLOOR))


def mean_log_loss(target, proba, weight=None):
    """Compute the weighted mean log loss of probabilities against (soft) labels.

    Parameters
    ----------
    target, proba : ndarray of shape (n_battles, n_classes)
    weight : ndarray of shape (n_battles,), optional

    Returns
    -------
    float
    """
    return float(np.average(-(target * log(proba)).sum(axis=1), weights=weight))


def not_probabilities(values):
    """Find the rows that are not probabilities.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_classes)

    Returns
    -------
    ndarray of shape (n_rows,) of bool
        True where a number is negative or not finite, or the sum is not one within TOLERANCE.
    """
    with np.errstate(invalid="ignore"):
        sums = values.sum(axis=1)  # not one where a number is not finite
        return ~((values >= 0).all(axis=1) & (np.abs(sums - 1) <= TOLERANCE))


def normalised(values):
    """Divide rows by their sums; a sum that is 1 but for rounding counts as 1.

    Rounding may change when columns are swapped.
    """
    sums = values.sum(axis=1, keepdims=True)
    return values / np.where(np.abs(sums - 1) <= 1e-15, 1.0, sums)


def to_proba(logits, temperature=1.0):
    """Turn logits into probabilities: the softmax over the last axis, in float64."""
    return softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=-1)


def tempered(proba, temperature):
    """Divide log probabilities by a temperature; above 1, it makes them less sure."""
    return to_proba(log(proba), temperature)


def weighted_sum(parts, weights):
    """Add arrays of one shape, one after the other, each class separately, in float64."""
    return sum(w * np.asarray(part, np.float64) for w, part in zip(weights, parts, strict=True))


def log_pool(members, weights, temperature=1.0):
    """Pool probabilities: the weighted geometric mean, tempered.

    Parameters
    ----------
    members : ndarray of shape (n_members, n_battles, n_classes)
    weights : ndarray of shape (n_members,)
    temperature : float, default=1.0

    Returns
    -------
    ndarray of shape (n_battles, n_classes)
    """
    return to_proba(weighted_sum(map(log, members), weights), temperature)


def davidson_logits(gap, tie=None):
    """Give the logits of Davidson's form: half the strength gap, its negative, and the tie term.

    Parameters
    ----------
    gap : ndarray of shape (n_battles,)
        How much stronger a is.
    tie : ndarray of shape (n_battles,), optional
        None where there are no ties.

    Returns
    -------
    ndarray of shape (n_battles, 3) or (n_battles, 2)
    """
    return np.stack([gap / 2, -gap / 2, *([] if tie is None else [tie])], axis=1)


def log_odds(proba):
    """Give the logits, in Davidson's form, of probabilities; of two classes, b's gap over a.

    The one number for two classes is positive where model_b is likelier, as scikit-learn expects of
    a binary task.

    Parameters
    ----------
    proba : ndarray of shape (n_battles, n_classes)

    Returns
    -------
    ndarray of shape (n_battles, 3) or (n_battles,)
    """
    logs = log(proba)
    gap = logs[:, 0] - logs[:, 1]
    if proba.shape[1] == 2:
        return -gap
    return davidson_logits(gap, logs[:, 2] - (logs[:, 0] + logs[:, 1]) / 2)
