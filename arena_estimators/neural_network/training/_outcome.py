"""What a training has reached: calibrated on held-out battles, and whether it learnt anything."""

import numpy as np

from arena_estimators._probability import mean_log_loss, weighted_sum
from arena_estimators.exceptions import warn
from arena_estimators.neural_network.model import _calibration
from arena_estimators.neural_network.training._loss import smoothed
from arena_estimators.neural_network.training._style import style_logits

_TELLING = 30  # held-out battles it takes to tell whether a fit learnt anything


def conclude(net, train_data, valid_data):
    """Calibrate on the held-out battles; warn if the fit was interrupted or learnt nothing.

    Parameters
    ----------
    net : PairNet
        Trained.
    train_data, valid_data : PairData

    Returns
    -------
    weights : ndarray of shape (n_predictors,)
        The default ones without held-out battles.
    temperature : float
        The one given, or 1, without held-out battles.
    """
    plan = net.run_.plan
    best = dict(net.callbacks_)["keep_best"].best_
    temperature = 1.0 if plan.temperature == "fit" else float(plan.temperature)
    proba = None
    if "logits" in best:
        logits = best["logits"].numpy()
        truth = valid_data.target, valid_data.weight, valid_data.prompts
        weights = _calibration.fit_weights(logits, *truth, share=net.run_.learnt_share)
        pooled = weighted_sum(logits, weights)
        if plan.temperature == "fit":
            temperature = _calibration.fit_temperature(pooled, *truth)
        proba = _calibration.probabilities(pooled, temperature)
    else:
        learnt = net.run_.learnt_share * (net.step_ / net.n_steps_)
        weights = _calibration.default_weights(net.module_.heads.n_predictors, learnt)
    if net.interrupted_:
        warn(
            f"The training was interrupted after {net.step_} of {net.n_steps_} steps; the "
            "estimator can be used with the best weights it had until then."
        )
    else:
        _warn_if_no_better(net, train_data, valid_data, proba, best["epoch"])
    return weights, temperature


def _warn_if_no_better(net, train_data, valid_data, proba, epoch):
    """Warn if the log loss is no better than the class shares', on held-out battles if enough."""
    if proba is not None and len(valid_data) >= _TELLING:
        where, slack, truth = "held-out", 0.0, (valid_data.target, valid_data.weight)
        loss = mean_log_loss(truth[0], proba, truth[1])
        prior = _calibration.prior_loss(train_data.target, train_data.weight, *truth)
    else:
        where, slack = "training", 1e-3
        loss, prior = _training_loss(net, train_data, epoch)
    if loss < prior + slack:
        return
    warn(
        f"The fit is no better than predicting the class shares: {where} log loss {loss:.4f}, "
        f"against {prior:.4f}. Usual reasons: too few battles ({len(train_data)}; an encoder whose "
        "weights come from masked language modelling alone needs about 10,000, a sentence encoder "
        f"such as the default far fewer), too short a training ({net.n_steps_} optimizer steps: "
        "more with a higher n_epochs or a lower batch_tokens), a learning_rate "
        f"({net.run_.plan.learning_rate:g}) too low or so high that it diverged, or labels that do "
        "not depend on the texts."
    )


def _training_loss(net, data, epoch):
    """Give a training loss, and the loss of the class shares on the same battles.

    Of the losses around the end of an epoch and that of style alone, it is the one that is lowest
    relative to the shares'.
    """
    truth = smoothed(data.target, net.run_.plan.label_smoothing), data.weight
    found = []
    for loss, place, late in _late_losses(net.history, epoch):
        steps = net.get_iterator(data, training=True).epochs[place][late]
        battles = np.concatenate([positions for step in steps for positions, _ in step])
        found.append((loss, _calibration.prior_loss(*truth, *(t[battles] for t in truth))))
    if net.module_.heads.style is not None:
        proba = _calibration.probabilities(style_logits(net.module_.heads.style, data))
        loss = mean_log_loss(truth[0], proba, truth[1])
        found.append((loss, _calibration.prior_loss(*truth, *truth)))
    return min(found, key=lambda pair: pair[0] - pair[1])


def _late_losses(history, epoch):
    """Give training losses around the end of an epoch; -1 is the last one.

    They are those of its second half and of the second half of the next epoch, which began with its
    weights. Each is a tuple of the loss, its epoch's place in the history and its slice of steps.
    """
    found, first = [], epoch - 1 if epoch > 0 else len(history) - 1
    for place, row in enumerate(list(history)[first : first + 2], first):
        steps = [step for step in row["batches"] if "train_loss" in step]
        columns = ("train_loss", "train_batch_size", "train_weight")
        losses, sizes, weights = np.array([[step[k] for k in columns] for step in steps]).T
        late = slice(len(steps) // 2, len(steps))
        summed = losses[late] @ sizes[late] * weights.sum() / sizes.sum()  # see PairLoss
        found.append((summed / weights[late].sum(), place, late))
    return found
