"""Train a network of battles: from a plan, data and a seed to a FittedPair."""

import contextlib
import dataclasses

import numpy as np
from skorch.callbacks import LRScheduler
from skorch.helper import predefined_split

from arena_estimators._encoder import _attention
from arena_estimators._encoder._frozen import FrozenEncoder
from arena_estimators._encoder._modes import own_modes
from arena_estimators._encoder._placement import free, frozen_on_device
from arena_estimators._encoder._run import explaining_memory, resolve_precision
from arena_estimators.exceptions import ArenaError, warn
from arena_estimators.model_selection import PromptGroupShuffleSplit
from arena_estimators.neural_network.model._calibration import learnt_share
from arena_estimators.neural_network.model._fitted import FittedPair
from arena_estimators.neural_network.model._module import build_module
from arena_estimators.neural_network.model._prediction import PACKING, tokens_at_once
from arena_estimators.neural_network.model._workers import join_workers
from arena_estimators.neural_network.training import _trainable
from arena_estimators.neural_network.training._callbacks import (
    KeepBest,
    Progress,
    SaveCheckpoints,
    StopEarly,
)
from arena_estimators.neural_network.training._checkpoint import Checkpoint, check_shared, identify
from arena_estimators.neural_network.training._compile import (
    can_compile,
    compile_for_training,
    compile_settings,
)
from arena_estimators.neural_network.training._device import (
    fast_layers,
    own_randomness,
    repeatable,
    seed_torch,
    sparse_embeddings,
    tokens_kept,
    tokens_of_batch,
)
from arena_estimators.neural_network.training._history import read_history
from arena_estimators.neural_network.training._interrupts import Interrupts
from arena_estimators.neural_network.training._loss import PairLoss, init_tie_bias
from arena_estimators.neural_network.training._net import PairNet, Run
from arena_estimators.neural_network.training._outcome import conclude
from arena_estimators.neural_network.training._steps import Batching, StepLoader
from arena_estimators.neural_network.training._style import learn_style

_TRIES = 10  # splits to try, until one leaves every class in training
_WORTH_COMPILING = 1e16  # floating point operations of a fit that repay a minute of compiling


@own_modes()
def train(plan, data, seed):
    """Train a network on battles.

    Parameters
    ----------
    plan : TrainingPlan
    data : PairData
        With labels, weights and prompts.
    seed : int
        Determines the new heads, their dropout, the split and the order of battles. A checkpoint
        that is taken up has a seed of its own.

    Returns
    -------
    FittedPair
        On the CPU.
    TrainingHistory

    Raises
    ------
    ArenaError
        If memory runs out, numbers are not finite, a checkpoint is damaged or was computed
        otherwise, or no prompt would be left for training.
    """
    workers = join_workers(plan.device)
    seed = int(workers.sum(seed if workers.is_main else 0))
    checkpoint, resume = _find_checkpoint(plan, data, workers)
    seed = resume["seed"] if resume else seed
    train_data, valid_data = _split(data, plan.validation_fraction, seed)
    dtype = resolve_precision(plan.precision, workers.device, training=True)
    share = learnt_share(len(train_data))
    with Interrupts() as interrupts, own_randomness(workers.device):
        seed_torch(seed, workers.device)
        module = _build(plan, data)
        lora = _trainable.prepare(module.encoder, plan)
        init_tie_bias(module.heads, train_data.target, train_data.weight)
        if module.heads.style is not None:
            learn_style(module.heads.style, train_data, plan)
        run = Run(plan, workers, seed, dtype, interrupts, share, resume)
        net = _make_net(module, train_data, valid_data, run, checkpoint)
        try:
            _fit(net, train_data)
        finally:
            _clear(net)
        if lora is not None:
            lora.merge_and_unload()
        weights, temperature = conclude(net, train_data, valid_data)
        if checkpoint is not None and workers.is_main and not net.interrupted_:
            checkpoint.remove()
        fitted = FittedPair(data.processor, module, plan.attention, weights, temperature)
        return fitted, read_history(net)


def split_by_prompt(data, fraction, seed):
    """Split battles so that no prompt is on both sides.

    Parameters
    ----------
    data : PairData
    fraction : float
        Share of the prompts to hold out.
    seed : int

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
    everything, nothing = np.arange(len(data)), np.arange(0)
    n_prompts = data.prompts.max() + 1
    if fraction == 0 or n_prompts == 1:
        return everything, nothing
    if np.ceil(fraction * n_prompts) >= n_prompts:
        raise ArenaError(
            f"validation_fraction={fraction} holds out all of the {n_prompts} prompts and leaves "
            f"none for training. Pass at most {100 * (n_prompts - 1) // n_prompts / 100}."
        )
    splitter = PromptGroupShuffleSplit(_TRIES, test_size=fraction, random_state=seed)
    for train, valid in splitter.split(everything, groups=data.prompts):
        if ((data.target[train].sum(0) > 0) == (data.target.sum(0) > 0)).all():
            return train, valid
    return everything, nothing


def _find_checkpoint(plan, data, workers):
    """Give the checkpoint file, if one is wanted, and what it holds, if anything."""
    if plan.checkpoint_dir is None:
        return None, None
    identity = identify(plan, data, FrozenEncoder(plan.encoder))
    checkpoint = Checkpoint(plan.checkpoint_dir, identity)
    resume = checkpoint.load()
    check_shared(checkpoint, resume, workers)
    if resume and plan.find_callbacks(LRScheduler):
        warn(
            f"The training continues from {checkpoint.path}, which does not hold the state "
            "of callbacks: LRScheduler begins anew, so the weights will be different."
        )
    others = checkpoint.count_others()
    if plan.verbose and workers.is_main and resume:
        print(f"The training continues after step {resume['step']}, from {checkpoint.path}.")
    elif plan.verbose and workers.is_main and others:
        print(f"{plan.checkpoint_dir} holds checkpoints, but of other fits ({others}).")
    return checkpoint, resume


def _split(data, fraction, seed):
    """Give the battles to learn from and those held out, each side with a largest weight of 1."""
    parts = [data.take(rows) for rows in split_by_prompt(data, fraction, seed)]
    for part in parts:  # weights' scale is free, but float32 must hold them
        part.weight = part.weight / part.weight.max(initial=0.0)
    return parts


def _build(plan, data):
    return build_module(
        plan.encoder,
        architecture=plan.architecture,
        pooling=plan.pooling,
        attention=plan.attention,
        n_odd=data.odd.shape[1],
        n_even=data.even.shape[1],
        n_classes=data.target.shape[1],
    )


def _make_net(module, train_data, valid_data, run, checkpoint):
    """Put a module into a skorch net, with the steps of its training and its callbacks."""
    plan, device = run.plan, run.workers.device
    packed = plan.attention in PACKING and _attention.can_pack(module.encoder, device, run.dtype)
    compiled = packed and _worth_compiling(plan, module.encoder, train_data)
    if compiled:
        module.compiled = (compile_for_training(module.encoder),)
    if plan.verbose and run.workers.is_main:
        how = "packed end to end" if packed else "padded, in batches of similar length"
        how += ", compiled" if compiled else ""
        print(f"Training on {device} in {str(run.dtype).removeprefix('torch.')}: sequences {how}.")
    batching = _batching(run, train_data.lengths(packed), packed, compiled, module.encoder.config)
    net = PairNet(
        module,
        criterion=PairLoss,
        criterion__label_smoothing=plan.label_smoothing,
        max_epochs=plan.n_epochs,
        iterator_train=StepLoader,
        iterator_train__batching=batching,
        iterator_train__n_epochs=plan.n_epochs,
        iterator_valid=StepLoader,
        iterator_valid__batching=dataclasses.replace(batching, static=False),
        iterator_valid__training=False,
        train_split=predefined_split(valid_data) if len(valid_data) else None,
        callbacks=_callbacks(run, len(train_data), checkpoint),
        callbacks__print_log=None,
        device=None,
        verbose=0,
    )
    net.run_, net.valid_ = run, valid_data
    return net


def _batching(run, lengths, packed, static, config):
    """Decide how many tokens are a batch, and how many of them are computed at once."""
    plan, workers = run.plan, run.workers
    batch_tokens = tokens_of_batch(plan.batch_tokens, lengths, plan.accumulate * workers.size)
    return Batching(
        batch_tokens=batch_tokens,
        accumulate=plan.accumulate,
        seed=run.seed,
        pad_id=config.pad_token_id or 0,
        packed=packed,
        static=static,
        pin=workers.device.type == "cuda",
        part_tokens=tokens_kept(batch_tokens, workers.device),
        piece_tokens=tokens_at_once(batch_tokens, workers.device),
        rank=workers.rank,
        size=workers.size,
    )


def _worth_compiling(plan, encoder, data):
    if plan.compile != "auto":
        return plan.compile
    if not can_compile():
        return False
    weights = sum(p.numel() for name, p in encoder.named_parameters() if "embed" not in name)
    return 6.0 * weights * data.lengths(True).sum() * plan.n_epochs > _WORTH_COMPILING


def _callbacks(run, n_battles, checkpoint):
    plan = run.plan
    best = KeepBest(alone=not plan.callbacks)
    made = [("keep_best", best), *(plan.callbacks or [])]
    made.append(("stop_early", StopEarly(best, plan.patience)))
    if checkpoint is not None:
        made.append(("checkpoints", SaveCheckpoints(checkpoint, best)))
    if plan.verbose and run.workers.is_main:
        made.append(("progress", Progress(n_battles * plan.n_epochs)))
    return made


def _fit(net, data):
    """Train on the device."""
    run, encoder = net.run_, net.module.encoder
    plan, device = run.plan, run.workers.device
    batch_tokens = net.iterator_train__batching.batch_tokens
    advice = (
        f"at batch_tokens={batch_tokens}, accumulate={plan.accumulate}. Halve batch_tokens and "
        "double accumulate for the same result, or pass gradient_checkpointing=True, lora_rank=16 "
        "or a smaller encoder."
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(explaining_memory(advice))
        stack.enter_context(fast_layers(encoder, device, run.dtype))
        if not plan.callbacks:  # which may read, write or change what is frozen
            stack.enter_context(frozen_on_device(encoder, device, run.dtype))
        stack.enter_context(sparse_embeddings(encoder, device))
        if net.module.compiled:
            stack.enter_context(compile_settings())
        stack.enter_context(repeatable(device, plan.random_state is not None))
        net.module.to(device)
        net.initialize()
        run.interrupts.hold()
        net.fit(data)


def _clear(net):
    """Leave nothing on the device, and the module ready to predict."""
    module = net.module
    module.compiled = ()
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
    if net.run_.plan.gradient_checkpointing:
        _trainable.disable_checkpointing(module.encoder)
    free(net.run_.workers.device)
