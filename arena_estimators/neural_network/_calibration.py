"""From logits to probabilities: averaging of readings, temperature, symmetry to the last bit."""

import numpy as np
from scipy.optimize import minimize_scalar

_SPREAD = 0.3  # prior: log temperature is 0 give or take this
_SMALLEST = 1e-15


def probabilities(logits, temperature=1.0):
    """Give probabilities that swap exactly when the logits do.

    Parameters
    ----------
    logits : ndarray of shape (n_readings, n_battles, n_classes)
    temperature : float, default=1.0

    Returns
    -------
    ndarray of shape (n_battles, n_classes), float64
    """
    logits = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    total = powers[..., 0] + powers[..., 1]  # the one sum in which a and b are interchangeable
    if powers.shape[-1] == 3:
        total = total + powers[..., 2]
    shares = powers / total[..., None]
    return shares[0] if len(shares) == 1 else (shares[0] + shares[1]) / 2


def log_loss_of(proba, target, weight):
    """Give the weighted mean log loss against soft labels."""
    losses = -(np.log(np.maximum(proba, _SMALLEST)) * target).sum(1)
    return float(np.average(losses, weights=weight))


def fit_temperature(logits, target, weight, prompts=None):
    """Give the temperature of least log loss, drawn a little towards 1 when prompts are few.

    Votes on one prompt err together, so each of `prompts`, numbers of the battles' prompts, counts
    as one observation, and without them each battle.
    """
    n_observations = len(target) if prompts is None else len(np.unique(prompts))

    def objective(log_temperature):
        loss = log_loss_of(probabilities(logits, np.exp(log_temperature)), target, weight)
        return loss * n_observations + (log_temperature / _SPREAD) ** 2 / 2

    return float(np.exp(minimize_scalar(objective, bounds=(-3, 3), method="bounded").x))


def prior_loss(train_target, train_weight, target, weight):
    """Give the log loss of always predicting the class shares of training, a and b alike."""
    prior = np.average(train_target, axis=0, weights=train_weight)
    prior[:2] = prior[:2].mean()
    return log_loss_of(np.broadcast_to(prior, target.shape), target, weight)


def log_odds(proba):
    """Give half the strength gap, its negative, and the tie logit; or the gap alone, for b.

    Three columns exponentiate and normalise to `proba` (Davidson's form). Of two classes, one
    number: positive where model_b is likelier, as scikit-learn expects of a binary task.
    """
    logs = np.log(np.maximum(proba, _SMALLEST))
    gap = logs[:, 0] - logs[:, 1]
    if proba.shape[1] == 2:
        return -gap
    tie = logs[:, 2] - (logs[:, 0] + logs[:, 1]) / 2
    return np.column_stack([gap / 2, -gap / 2, tie])
