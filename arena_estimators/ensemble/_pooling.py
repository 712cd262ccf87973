"""The mathematics of a blend: means of probabilities, and the weights of least log loss."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from arena_estimators._probability import FLOOR, log, log_pool, normalised, tempered, weighted_sum

_COLDEST, _HOTTEST = 0.01, 100.0


def blend(members, weights, temperature, space):
    """Blend probabilities. The blend is exactly symmetric if all members are.

    Parameters
    ----------
    members : ndarray of shape (n_members, n_battles, n_classes)
    weights : ndarray of shape (n_members,)
    temperature : float
    space : {"log", "probability"}

    Returns
    -------
    ndarray of shape (n_battles, n_classes)
    """
    if space == "log":
        return log_pool(members, weights, temperature)
    mean = weighted_sum(members, weights)
    return normalised(mean) if temperature == 1 else tempered(mean, temperature)


def fit_blend(members, Y, weight, space, weights=None, temperature=None):
    """Find the weights and the temperature of least log loss.

    In log space both are found at once: the loss is convex in `weights / temperature`. In
    probability space the weights are found first, at the temperature given or else at 1, where the
    loss is convex in them. At other temperatures it may have several minima, so the weights are the
    best of those that searches from even weights and from each member arrive at, and no member
    alone is better. A temperature that is not given is found after the weights.

    Parameters
    ----------
    members : ndarray of shape (n_members, n_battles, n_classes)
    Y : ndarray of shape (n_battles, n_classes)
    weight : ndarray of shape (n_battles,)
        Weights of the battles that sum to one.
    space : {"log", "probability"}
    weights : ndarray of shape (n_members,), optional
        Weights to keep.
    temperature : float, optional
        A temperature to keep.

    Returns
    -------
    weights : ndarray of shape (n_members,)
    temperature : float
    """
    if weights is None and space == "log":
        scaled = _minimise(_LogLoss(log(members), Y, weight), len(members), temperature)
        return scaled / scaled.sum(), float(temperature or 1 / scaled.sum())
    if weights is None:
        loss = _MixtureLoss(members, Y, weight, temperature or 1)
        alone = np.eye(len(members))
        even = alone.mean(axis=0)
        # At other temperatures there may be several minima, some of them at one member alone, and
        # members with almost certain predictions can stop a search before it reaches any minimum.
        starts = [even, *(0.99 * alone + 0.01 * even)]
        found = [_minimise(loss, len(members), 1.0, start) for start in starts]
        # Rounded, so that of equal losses the first wins: the one found from even weights.
        weights = min([*found, *alone], key=lambda w: round(loss(w / w.sum())[0], 10))
        weights = weights / weights.sum()
    if temperature is None:
        logs = log(blend(members, weights, 1.0, space))
        temperature = 1 / _minimise(_LogLoss(logs[None], Y, weight), 1, None)[0]
    return weights, float(temperature)


class _LogLoss:
    """The log loss, and its gradient, of the softmax of weighted log probabilities."""

    def __init__(self, logs, Y, weight):
        self.logs, self.Y, self.weight = logs, Y, weight

    def __call__(self, weights):
        log_proba = log_softmax(np.tensordot(weights, self.logs, 1), axis=1)
        loss = -(self.weight @ (self.Y * log_proba).sum(axis=1))
        residual = self.weight[:, None] * (np.exp(log_proba) - self.Y)
        return loss, np.tensordot(self.logs, residual, 2)


class _MixtureLoss:
    """The log loss, and its gradient, of a weighted mean of probabilities, tempered."""

    def __init__(self, members, Y, weight, temperature):
        self.members, self.Y, self.weight = members, Y, weight
        self.temperature = temperature

    def __call__(self, weights):
        mixture = np.maximum(np.tensordot(weights, self.members, 1), FLOOR)
        log_proba = log_softmax(np.log(mixture) / self.temperature, axis=1)
        loss = -(self.weight @ (self.Y * log_proba).sum(axis=1))
        residual = self.weight[:, None] * (np.exp(log_proba) - self.Y) / self.temperature
        return loss, np.tensordot(self.members, residual / mixture, 2)


def _minimise(loss, n_weights, temperature, start=None):
    """Minimise over weights >= 0 whose sum is 1 / temperature; if that is None, the sum is free.

    A free sum is at least 1 / _HOTTEST, and each weight at most 1 / _COLDEST. `start` holds shares
    of the sum (of 1 if it is free), by default even ones.
    """
    if temperature is None:
        total, bounds = 1.0, (0, 1 / _COLDEST)
        constraint = {"type": "ineq", "fun": lambda w: w.sum() - 1 / _HOTTEST}
    else:
        total, bounds = 1 / temperature, (0, 1 / temperature)
        constraint = {"type": "eq", "fun": lambda w: w.sum() - total}
    result = minimize(
        loss,
        total * (np.full(n_weights, 1 / n_weights) if start is None else start),
        jac=True,
        method="SLSQP",
        bounds=[bounds] * n_weights,
        constraints={**constraint, "jac": lambda w: np.ones_like(w)},
        options={"ftol": 1e-12, "maxiter": 300},
    )
    return np.maximum(result.x, 0)
