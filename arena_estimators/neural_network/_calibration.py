"""From logits to probabilities: means of predictors and of readings, temperature, exact symmetry.

The means of predictors are of logits, a logarithmic opinion pool.
"""

import numpy as np
from scipy.optimize import minimize, minimize_scalar

_SPREAD = 0.3  # prior: log temperature is 0 give or take this
_USUAL = np.array([0.25, 0.5])  # prior: what the text, and both, count beside the style ...
_VAGUE = 1.5  # ... in logs, give or take this
_ENOUGH = 1000  # battles; of fewer a text is learnt in part
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


def pool(logits, weights):
    """Average predictors, one after the other, so that logits that swap exactly still do.

    Parameters
    ----------
    logits : ndarray of shape (n_predictors, n_readings, n_battles, n_classes)
    weights : ndarray of shape (n_predictors,)

    Returns
    -------
    ndarray of shape (n_readings, n_battles, n_classes), float64
    """
    return sum(w * part.astype(np.float64) for w, part in zip(weights, logits, strict=True))


def learnt_share(n_battles):
    """Give how much of a text can be learnt from so many battles, from 0 to 1."""
    return min(1.0, n_battles / _ENOUGH)


def usual_weights(n_predictors, share=1.0):
    """Give the weights of predictors for which no battles were held out.

    Those of the text count less when only a share of it is learnt.
    """
    return _weights(share * _USUAL) if n_predictors > 1 else np.ones(1)


def fit_weights(logits, target, weight, prompts=None, *, share=1.0):
    """Give the weights of least log loss, drawn towards the usual ones when prompts are few.

    A temperature is found with them, of which only the weights are kept: one that is given then
    divides the logits and nothing else.

    Parameters
    ----------
    logits : ndarray of shape (n_predictors, n_readings, n_battles, n_classes)
    target, weight, prompts
        As in `fit_temperature`.
    share : float, default=1.0
        As in `usual_weights`, above 0.

    Returns
    -------
    ndarray of shape (n_predictors,)
        Positive, of sum 1.
    """
    if len(logits) == 1:
        return np.ones(1)
    n_observations = _count_observations(target, prompts)
    usual = np.log(share * _USUAL)

    def objective(found):
        *log_ratios, log_temperature = found
        pooled = pool(logits, _weights(np.exp(log_ratios)))
        loss = log_loss_of(probabilities(pooled, np.exp(log_temperature)), target, weight)
        unusual = (np.subtract(log_ratios, usual) / _VAGUE) ** 2
        return loss + (unusual.sum() + (log_temperature / _SPREAD) ** 2) / (2 * n_observations)

    start = [*usual, 0.0]
    found = minimize(objective, start, method="L-BFGS-B", bounds=[(-9, 9)] * 3)
    return _weights(np.exp(found.x[:2]))


def log_loss_of(proba, target, weight):
    """Give the weighted mean log loss against soft labels."""
    losses = -(np.log(np.maximum(proba, _SMALLEST)) * target).sum(1)
    return float(np.average(losses, weights=weight))


def fit_temperature(logits, target, weight, prompts=None):
    """Give the temperature of least log loss, drawn a little towards 1 when prompts are few.

    Votes on one prompt err together, so each of `prompts`, numbers of the battles' prompts, counts
    as one observation, and without them each battle.
    """
    n_observations = _count_observations(target, prompts)

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


def _count_observations(target, prompts):
    return len(target) if prompts is None else len(np.unique(prompts))


def _weights(counts):
    """Give weights of sum 1 from what the others count beside the last predictor."""
    counts = np.append(counts, 1.0)
    return counts / counts.sum()
