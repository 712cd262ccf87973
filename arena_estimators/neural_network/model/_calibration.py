"""From logits to probabilities: means of predictors and of orders, temperature, exact symmetry.

Predictors are averaged as logits, a logarithmic opinion pool, and orders as probabilities.
"""

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from arena_estimators._probability import mean_log_loss, to_proba, weighted_sum

_SPREAD = 0.3  # prior: log temperature is 0, with this standard deviation
_PRIOR = np.array([0.25, 0.5])  # prior: weights of text and of both, where style's is 1 ...
_VAGUE = 1.5  # ... with this standard deviation of their logs
_ENOUGH = 1000  # battles; fewer teach only part of what texts tell


def probabilities(logits, temperature=1.0):
    """Give probabilities that swap exactly when the logits do.

    Parameters
    ----------
    logits : ndarray of shape (n_orders, n_battles, n_classes)
    temperature : float, default=1.0

    Returns
    -------
    ndarray of shape (n_battles, n_classes), float64
    """
    shares = to_proba(logits, temperature)
    return shares[0] if len(shares) == 1 else (shares[0] + shares[1]) / 2


def learnt_share(n_battles):
    """Give how much of what texts tell this many battles can teach, from 0 to 1."""
    return min(1.0, n_battles / _ENOUGH)


def default_weights(n_predictors, share=1.0):
    """Give the predictors' weights where there are no held-out battles' logits to fit them on.

    Those that read the text count less if only a share of what it tells is learnt.
    """
    return _normalised(share * _PRIOR) if n_predictors > 1 else np.ones(1)


def fit_weights(logits, target, weight, prompts=None, *, share=1.0):
    """Give the weights of least log loss, drawn towards the default ones when prompts are few.

    A temperature is found along with them and dropped: so one that the user gives only divides the
    logits and does not change the weights.

    Parameters
    ----------
    logits : ndarray of shape (n_predictors, n_orders, n_battles, n_classes)
    target, weight, prompts
        As in `fit_temperature`.
    share : float, default=1.0
        As in `default_weights`, above 0.

    Returns
    -------
    ndarray of shape (n_predictors,)
        Positive, of sum 1.
    """
    if len(logits) == 1:
        return np.ones(1)
    n_observations = _count_observations(target, prompts)
    prior = np.log(share * _PRIOR)

    def objective(found):
        *log_ratios, log_temperature = found
        pooled = weighted_sum(logits, _normalised(np.exp(log_ratios)))
        loss = _log_loss(pooled, np.exp(log_temperature), target, weight)
        penalty = (np.subtract(log_ratios, prior) / _VAGUE) ** 2
        return loss + (penalty.sum() + (log_temperature / _SPREAD) ** 2) / (2 * n_observations)

    start = [*prior, 0.0]
    found = minimize(objective, start, method="L-BFGS-B", bounds=[(-9, 9)] * 3)
    return _normalised(np.exp(found.x[:2]))


def fit_temperature(logits, target, weight, prompts=None):
    """Give the temperature of least log loss, drawn a little towards 1 when prompts are few.

    Votes on one prompt err together, so each distinct number in `prompts`, which has the prompt of
    each battle, counts as one observation; without `prompts` each battle does.
    """
    n_observations = _count_observations(target, prompts)

    def objective(log_temperature):
        loss = _log_loss(logits, np.exp(log_temperature), target, weight)
        return loss * n_observations + (log_temperature / _SPREAD) ** 2 / 2

    return float(np.exp(minimize_scalar(objective, bounds=(-3, 3), method="bounded").x))


def prior_loss(train_target, train_weight, target, weight):
    """Give the log loss of always predicting training's class shares, equal ones for a and b."""
    prior = np.average(train_target, axis=0, weights=train_weight)
    prior[:2] = prior[:2].mean()
    return mean_log_loss(target, np.broadcast_to(prior, target.shape), weight)


def _log_loss(logits, temperature, target, weight):
    """Compute the log loss of `probabilities`, smooth however sure the logits are."""
    logs = log_softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=-1)
    logs = logs[0] if len(logs) == 1 else np.logaddexp(*logs) - np.log(2)
    return float(np.average(-(target * logs).sum(1), weights=weight))


def _count_observations(target, prompts):
    return len(target) if prompts is None else len(np.unique(prompts))


def _normalised(ratios):
    """Give weights that sum to 1, from those of the others relative to the last predictor's."""
    ratios = np.append(ratios, 1.0)
    return ratios / ratios.sum()
