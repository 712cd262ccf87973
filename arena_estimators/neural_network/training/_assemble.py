"""Put a network, its battles and its callbacks into a skorch net."""

import dataclasses

from skorch.helper import predefined_split

from arena_estimators._encoder import _attention
from arena_estimators.neural_network.model._prediction import PACKING, tokens_at_once
from arena_estimators.neural_network.training._callbacks import (
    KeepBest,
    Progress,
    SaveCheckpoints,
    StopEarly,
)
from arena_estimators.neural_network.training._compile import can_compile, compile_for_training
from arena_estimators.neural_network.training._device import tokens_kept, tokens_of_batch
from arena_estimators.neural_network.training._loss import PairLoss
from arena_estimators.neural_network.training._net import PairNet
from arena_estimators.neural_network.training._steps import Batching, StepLoader

_WORTH_COMPILING = 1e16  # floating point operations of a fit that repay a minute of compiling


def make_net(module, train_data, valid_data, run, checkpoint):
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
