"""Train a PairModule: the split, the net with its callbacks, and what the fit leaves behind."""

import contextlib
import dataclasses

import numpy as np
import pandas as pd
from skorch.helper import predefined_split

from arena_estimators._encoder import _attention
from arena_estimators._encoder._modes import own_modes
from arena_estimators._encoder._placement import free, placing_fixed
from arena_estimators._encoder._run import explaining_memory, resolve_precision
from arena_estimators.exceptions import ArenaError, warn
from arena_estimators.model_selection import PromptGroupShuffleSplit, prompt_groups
from arena_estimators.neural_network import _calibration
from arena_estimators.neural_network._callbacks import (
    KeepBest,
    Progress,
    SaveCheckpoints,
    StopEarly,
)
from arena_estimators.neural_network._compile import allowing_recompilations, can_compile
from arena_estimators.neural_network._data import Dealing, Steps
from arena_estimators.neural_network._device import (
    lean,
    repeatable,
    sparse_words,
    tokens_at_once,
    tokens_kept,
    tokens_of_batch,
)
from arena_estimators.neural_network._heads import PairLoss, begin_at_shares, smoothed
from arena_estimators.neural_network._module import (
    add_lora,
    disable_checkpointing,
    disable_dropout,
    enable_checkpointing,
    freeze,
)
from arena_estimators.neural_network._net import PairNet, Run
from arena_estimators.neural_network._style import learn_style, style_logits

PACKING = ("auto", "packed")  # values of `attention` that let sequences be packed
_UNSURE = 1 / 3  # share of battles that predict_order="uncertain" reads twice
_TELLING = 30  # held-out battles it takes to tell whether a fit learnt anything
_TRIES = 10  # splits to try, until one leaves every class in training
_WORTH_COMPILING = 1e16  # floating point operations of a fit that repay a minute of compiling


def split_by_prompt(X, target, fraction, seed):
    """Split battles so that no prompt is on both sides.

    Returns
    -------
    train, valid : ndarray of int
        Positions; `valid` is empty if `fraction` is 0, if there is a single prompt, or if no split
        was found that leaves every class of the battles in training.

    Raises
    ------
    ArenaError
        If no prompt would be left for training.
    """
    everything, nothing = np.arange(len(X)), np.arange(0)
    groups = prompt_groups(X)
    n_prompts = groups.max() + 1
    if fraction == 0 or n_prompts == 1:
        return everything, nothing
    if np.ceil(fraction * n_prompts) >= n_prompts:
        raise ArenaError(
            f"validation_fraction={fraction} holds out all of the {n_prompts} prompts and leaves "
            f"none for training. Pass at most {100 * (n_prompts - 1) // n_prompts / 100}."
        )
    splitter = PromptGroupShuffleSplit(_TRIES, test_size=fraction, random_state=seed)
    for train, valid in splitter.split(X, groups=groups):
        if ((target[train].sum(0) > 0) == (target.sum(0) > 0)).all():
            return train, valid
    return everything, nothing


@own_modes()
def train(
    module,
    data,
    train_rows,
    valid_rows,
    *,
    settings,
    workers,
    seed,
    interrupts,
    checkpoint,
    resume,
):
    """Train a module in place.

    Parameters
    ----------
    module : PairModule
    data : PairData
    train_rows, valid_rows : ndarray of int
        Positions in `data`.
    settings : BertPairClassifier
        Whose parameters are read.
    workers : Workers
    seed : int
    interrupts : Interrupts
        Held once training begins, but for the steps themselves of a single process.
    checkpoint : Checkpoint or None
    resume : dict or None
        What the checkpoint held.

    Returns
    -------
    PairNet
        Trained, its module on the CPU, trimmed for prediction.
    found : tuple
        The predictors' weights, the temperature, and the probability from which a single reading is
        sure.
    """
    p, device = settings, workers.device
    dtype = resolve_precision(p.precision, device, training=True)
    packed = p.attention in PACKING and _attention.can_pack(module.encoder, device, dtype)
    lora = _prepare(module, p)
    train_data, valid_data = data.take(train_rows), data.take(valid_rows)
    for part in (train_data, valid_data):  # weights' scale is free, but float32 must hold them
        part.weight = part.weight / part.weight.max(initial=0.0)
    begin_at_shares(module.heads, train_data.target, train_data.weight)
    if module.heads.style is not None:
        learn_style(module.heads.style, train_data, p)
    compiled = packed and _worth_compiling(p.compile, module, train_data, p.n_epochs)
    pad_id = module.encoder.config.pad_token_id or 0
    layout = {"packed": packed, "static": compiled, "pad_id": pad_id, "seed": seed}
    dealing = _deal(p, train_data.lengths(packed), workers, **layout)
    net = make_net(
        module,
        n_epochs=p.n_epochs,
        label_smoothing=p.label_smoothing,
        dealing=dealing,
        valid=valid_data if len(valid_data) else None,
        callbacks=_callbacks(p, len(train_data), workers, checkpoint),
    )
    if compiled:
        module.compile_encoder()
    _say(p.verbose and workers.is_main, device, dtype, packed, compiled)
    share = _calibration.learnt_share(len(train_data))
    net.run_, net.valid_ = Run(workers, p, seed, dtype, interrupts, share, resume), valid_data
    advice = (
        f"at batch_tokens={dealing.batch_tokens}, accumulate={p.accumulate}. Halve batch_tokens "
        "and double accumulate for the same result, or pass gradient_checkpointing=True, "
        "lora_rank=16 or a smaller encoder."
    )
    computed = module.encoder, device, dtype
    fast, fixed = lean(*computed), placing_fixed(*computed)
    words = sparse_words(module.encoder, device)
    if p.callbacks:  # which may read, write or change what is fixed
        fixed = contextlib.nullcontext()
    often = allowing_recompilations() if compiled else contextlib.nullcontext()
    ordered = repeatable(device, p.random_state is not None)
    try:
        with explaining_memory(advice), fast, fixed, words, often, ordered:
            module.to(device)
            net.initialize()
            interrupts.hold()
            net.fit(train_data)
    finally:
        _clear(net, module, device)
        if p.gradient_checkpointing:
            disable_checkpointing(module.encoder)
    if lora is not None:
        lora.merge_and_unload()
    found = _conclude(net, p, train_data, valid_data)
    finish(net)
    return net, found


def make_net(module, *, n_epochs=1, label_smoothing=0.0, dealing=None, valid=None, callbacks=None):
    """Put a module into a skorch net, not initialised yet."""
    valid_dealing = dealing and dataclasses.replace(dealing, static=False)
    return PairNet(
        module,
        criterion=PairLoss,
        criterion__label_smoothing=label_smoothing,
        max_epochs=n_epochs,
        iterator_train=Steps,
        iterator_train__dealing=dealing,
        iterator_train__n_epochs=n_epochs,
        iterator_valid=Steps,
        iterator_valid__dealing=valid_dealing,
        iterator_valid__training=False,
        train_split=None if valid is None else predefined_split(valid),
        callbacks=callbacks,
        callbacks__print_log=None,
        device=None,
        verbose=0,
    )


def finish(net):
    """Drop what only training needs; keep the history."""
    history = net.history_
    net.history = type(history)()
    net.trim_for_prediction()
    net.iterator_valid = net.run_ = net.valid_ = net.valid_logits_ = None
    net.history = history


def read_history(history):
    """Give the epochs as a DataFrame and the loss of every step as an array."""
    columns = ["epoch", "train_loss", "valid_loss", "dur"]
    whole = [row for row in history if "train_loss" in row]
    rows = [[row.get(column, np.nan) for column in columns] for row in whole]
    epochs = pd.DataFrame(rows, columns=[*columns[:3], "seconds"])
    steps = [b["train_loss"] for row in history for b in row["batches"] if "train_loss" in b]
    return epochs, np.array(steps)


def _prepare(module, p):
    disable_dropout(module.encoder)
    freeze(module.encoder, p.freeze)
    lora = None
    if p.lora_rank:
        lora = add_lora(module.encoder, p.lora_rank, p.lora_alpha or 2 * p.lora_rank)
    if p.gradient_checkpointing:
        enable_checkpointing(module.encoder)
    return lora


def _deal(p, lengths, workers, **layout):
    """Decide how many tokens are a batch, and how many of them are computed at once."""
    batch_tokens = tokens_of_batch(p.batch_tokens, lengths, p.accumulate * workers.size)
    return Dealing(
        batch_tokens=batch_tokens,
        accumulate=p.accumulate,
        pin=workers.device.type == "cuda",
        part_tokens=tokens_kept(batch_tokens, workers.device),
        piece_tokens=tokens_at_once(batch_tokens, workers.device),
        rank=workers.rank,
        size=workers.size,
        **layout,
    )


def _callbacks(p, n_battles, workers, checkpoint):
    best = KeepBest(alone=not p.callbacks)
    made = [("keep_best", best), *(p.callbacks or []), ("stop_early", StopEarly(best, p.patience))]
    if checkpoint is not None:
        made.append(("checkpoints", SaveCheckpoints(checkpoint, best)))
    if p.verbose and workers.is_main:
        made.append(("progress", Progress(n_battles * p.n_epochs)))
    return made


def _worth_compiling(compile, module, data, n_epochs):
    if compile != "auto":
        return compile
    if not can_compile():
        return False
    weights = sum(p.numel() for name, p in module.encoder.named_parameters() if "embed" not in name)
    return 6.0 * weights * data.lengths(True).sum() * n_epochs > _WORTH_COMPILING


def _say(verbose, device, dtype, packed, compiled):
    if verbose:
        how = "packed end to end" if packed else "padded, in batches of similar length"
        how += ", compiled" if compiled else ""
        print(f"Training on {device} in {str(dtype).removeprefix('torch.')}: sequences {how}.")


def _clear(net, module, device):
    """Leave nothing on the device."""
    module.forget_compiled()
    if getattr(net, "optimizer_", None) is not None:  # a callback such as LRScheduler may keep it
        net.optimizer_.state.clear()
        net.optimizer_.param_groups.clear()
    net.optimizer_ = None
    for _, callback in getattr(net, "callbacks_", []):
        if hasattr(callback, "best_model_weights_"):  # EarlyStopping(load_best=True), a whole copy
            callback.best_model_weights_ = None
        if isinstance(callback, Progress):  # of a training that failed
            callback.close()
    module.zero_grad(set_to_none=True)
    module.to("cpu").eval()
    free(device)


def _conclude(net, p, train_data, valid_data):
    """Calibrate on the held-out battles; warn if the fit was interrupted or learnt nothing."""
    best = dict(net.callbacks_)["keep_best"].best_
    logits = best["logits"].numpy() if "logits" in best else None
    weights, temperature, sure_from, proba = _calibrate(net, p, logits, valid_data)
    if net.interrupted_:
        message = (
            f"The training was interrupted after {net.step_} of {net.n_steps_} steps; the "
            "estimator can be used with the best weights it had until then."
        )
        warn(message)
    else:
        _warn_if_no_better(net, p, train_data, valid_data, proba, best["epoch"])
    return weights, temperature, sure_from


def _calibrate(net, p, logits, valid_data):
    """Give the weights, the temperature, `sure_from` and the held-out battles' probabilities.

    Without logits of held-out battles, the weights are the usual ones, the temperature is the one
    given or 1, `sure_from` is 1, and there are no probabilities (None).
    """
    temperature = 1.0 if p.temperature == "fit" else float(p.temperature)
    share = net.run_.learnt_share
    if logits is None:
        learnt = share * (net.step_ / net.n_steps_)
        weights = _calibration.usual_weights(net.module_.heads.n_predictors, learnt)
        return weights, temperature, 1.0, None
    truth = valid_data.target, valid_data.weight, valid_data.prompts
    weights = _calibration.fit_weights(logits, *truth, share=share)
    pooled = _calibration.pool(logits, weights)
    if p.temperature == "fit":
        temperature = _calibration.fit_temperature(pooled, *truth)
    first = _calibration.probabilities(pooled[:1], temperature)
    sure_from = float(np.quantile(first.max(1), _UNSURE))
    return weights, temperature, sure_from, _calibration.probabilities(pooled, temperature)


def _warn_if_no_better(net, p, train_data, valid_data, proba, epoch):
    """Warn if the log loss is no better than the class shares', on held-out battles if enough."""
    if proba is not None and len(valid_data) >= _TELLING:
        where, slack, truth = "held-out", 0.0, (valid_data.target, valid_data.weight)
        loss = _calibration.log_loss_of(proba, *truth)
        prior = _calibration.prior_loss(train_data.target, train_data.weight, *truth)
    else:
        where, slack = "training", 1e-3
        loss, prior = _training_loss(net, p, train_data, epoch)
    if loss >= prior + slack:
        message = _no_better(loss, prior, where, len(train_data), net.n_steps_, p)
        warn(message)


def _training_loss(net, p, data, epoch):
    """Give a training loss, and the loss of the class shares on the same battles.

    Of the losses around the end of an epoch and that of style alone, it is the one that is lowest
    relative to the shares'.
    """
    truth, found = (smoothed(data.target, p.label_smoothing), data.weight), []
    for loss, place, late in _late_losses(net.history, epoch):
        plan = net.get_iterator(data, training=True).plans[place][late]
        battles = np.concatenate([positions for step in plan for positions, _ in step])
        found.append((loss, _calibration.prior_loss(*truth, *(t[battles] for t in truth))))
    if net.module_.heads.style is not None:
        proba = _calibration.probabilities(style_logits(net.module_.heads.style, data))
        loss = _calibration.log_loss_of(proba, *truth)
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


def _no_better(loss, prior, where, n_battles, n_steps, p):
    return (
        f"The fit is no better than predicting the class shares: {where} log loss {loss:.4f}, "
        f"against {prior:.4f}. Usual reasons: too few battles ({n_battles}; an encoder whose "
        "weights come from masked language modelling alone needs about 10,000, a sentence encoder "
        f"such as the default far fewer), too short a training ({n_steps} optimizer steps: more "
        "with a higher n_epochs or a lower batch_tokens), a learning_rate "
        f"({p.learning_rate:g}) too low or so high that it diverged, or labels that do not depend "
        "on the texts."
    )
