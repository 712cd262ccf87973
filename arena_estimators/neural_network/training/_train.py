"""Train a network of battles: from a plan, data and a seed to a FittedPair."""

import contextlib

from skorch.callbacks import LRScheduler

from arena_estimators._encoder._frozen import FrozenEncoder
from arena_estimators._encoder._modes import own_modes
from arena_estimators._encoder._placement import free, frozen_on_device
from arena_estimators._encoder._run import explaining_memory, resolve_precision
from arena_estimators.exceptions import warn
from arena_estimators.neural_network.model._calibration import learnt_share
from arena_estimators.neural_network.model._fitted import FittedPair
from arena_estimators.neural_network.model._module import build_module
from arena_estimators.neural_network.model._workers import join_workers
from arena_estimators.neural_network.training import _trainable
from arena_estimators.neural_network.training._assemble import make_net
from arena_estimators.neural_network.training._callbacks import Progress
from arena_estimators.neural_network.training._checkpoint import Checkpoint, check_shared, identify
from arena_estimators.neural_network.training._compile import compile_settings
from arena_estimators.neural_network.training._device import (
    fast_layers,
    own_randomness,
    repeatable,
    seed_torch,
    sparse_embeddings,
)
from arena_estimators.neural_network.training._history import read_history
from arena_estimators.neural_network.training._interrupts import Interrupts
from arena_estimators.neural_network.training._loss import init_tie_bias
from arena_estimators.neural_network.training._net import Run
from arena_estimators.neural_network.training._outcome import conclude
from arena_estimators.neural_network.training._split import split
from arena_estimators.neural_network.training._style import learn_style


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
    train_data, valid_data = split(data, plan.validation_fraction, seed)
    dtype = resolve_precision(plan.precision, workers.device, training=True)
    share = learnt_share(len(train_data))
    with Interrupts() as interrupts, own_randomness(workers.device):
        seed_torch(seed, workers.device)
        module = build_module(
            plan.encoder,
            architecture=plan.architecture,
            pooling=plan.pooling,
            attention=plan.attention,
            n_odd=data.odd.shape[1],
            n_even=data.even.shape[1],
            n_classes=data.target.shape[1],
        )
        lora = _trainable.prepare(module.encoder, plan)
        init_tie_bias(module.heads, train_data.target, train_data.weight)
        if module.heads.style is not None:
            learn_style(module.heads.style, train_data, plan)
        run = Run(plan, workers, seed, dtype, interrupts, share, resume)
        net = make_net(module, train_data, valid_data, run, checkpoint)
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
