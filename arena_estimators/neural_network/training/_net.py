"""A skorch net whose batch is one optimizer step, on one process or several."""

import contextlib
import dataclasses
import traceback
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.utils import TeeGenerator

from arena_estimators._encoder._modes import computing_in
from arena_estimators._encoder._run import send
from arena_estimators._probability import mean_log_loss, weighted_sum
from arena_estimators.exceptions import ArenaError
from arena_estimators.neural_network.model._calibration import fit_weights, probabilities
from arena_estimators.neural_network.model._workers import Workers
from arena_estimators.neural_network.training._callbacks import EarlyStop
from arena_estimators.neural_network.training._checkpoint import check_same_steps
from arena_estimators.neural_network.training._device import make_dense, seed_torch
from arena_estimators.neural_network.training._interrupts import Interrupts
from arena_estimators.neural_network.training._optimizer import make_optimizer, rate_at
from arena_estimators.neural_network.training._plan import TrainingPlan
from arena_estimators.neural_network.training._steps import apply

_RATES = ("learning_rate", "head_learning_rate", "weight_decay")
_UNREAD = 16  # steps whose losses may still be on the GPU
_SAID = {"train_loss": "training", "valid_loss": "validation"}
_KNOWN = ("skorch.", "arena_estimators.")  # their callbacks record no scores but the losses


@dataclasses.dataclass
class Run:
    """What one training knows beside its net."""

    plan: TrainingPlan
    workers: Workers
    seed: int
    dtype: torch.dtype
    interrupts: Interrupts
    learnt_share: float
    resume: dict | None = None
    scaler: Any = None

    def __post_init__(self):
        self.scaler = torch.amp.GradScaler(
            self.workers.device.type, enabled=self.dtype == torch.float16
        )

    def autocast(self):
        """Compute in half precision, where asked for, on fp32 weights."""
        return computing_in(self.dtype, self.workers.device)


class PairNet(NeuralNet):
    """Trains a PairModule; a batch is a `Step`, whose parts are computed one after the other.

    Callbacks are told what skorch tells them. On a GPU the loss of a step is read some steps later,
    so that the GPU never waits for it. `run_` and `valid_` are set before `fit`.
    """

    interrupted_ = False

    def initialize_optimizer(self, *args, **kwargs):
        """Make AdamW over the layers' groups; skorch's one group would be too coarse."""
        # Python's floats, as a checkpoint gives them back; NumPy's float32 would round more.
        rates = {name: float(getattr(self.run_.plan, name)) for name in _RATES}
        self.optimizer_ = make_optimizer(self.module_, self.run_.workers.device, **rates)
        return self

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Run the epochs, from the checkpoint's step on if there is one."""
        self.step_ = self.epoch_step_ = self.n_steps_ = 0
        self.valid_logits_, self.unread_ = None, []
        several = self.run_.workers.size > 1  # none of which may leave in the middle of a step
        # Lets callbacks print; set only now, since skorch would report that it initialises anew.
        self.verbose = int(bool(self.run_.plan.verbose) and self.run_.workers.is_main)
        try:
            begun = self._begin(X, y)  # Ctrl-C waits, so that it cannot lose the checkpoint's state
            with contextlib.nullcontext() if several else self.run_.interrupts.allowed():
                self._run_epochs(*begun)
        except EarlyStop:
            pass
        except KeyboardInterrupt as error:
            self.interrupted_ = not _is_skorch_stopping(error)
            self.read_losses()
        return self

    def _begin(self, X, y):
        """Put the battles into steps and take up a checkpoint, if there is one."""
        train, valid = self.get_split_datasets(X, y)
        sets = {"dataset_train": train, "dataset_valid": valid}
        steps = self.get_iterator(train, training=True)
        valid_steps = self.get_iterator(valid, training=False) if valid is not None else None
        self.n_steps_ = steps.n_steps
        self.steps_ = {**steps.describe(), "precision": str(self.run_.dtype)}
        self._check_monitors(valid)
        return sets, steps, valid_steps, self._resume(steps)

    def _run_epochs(self, sets, steps, valid_steps, first):
        for steps.epoch in range(first, self.max_epochs):
            self.notify("on_epoch_begin", **sets)
            self._keep_batches(steps)
            self.run_single_epoch(steps, True, "train", self.train_step)
            self.run_single_epoch(valid_steps, False, "valid", self.validation_step)
            self.epoch_step_ = steps.skip = 0
            self.notify("on_epoch_end", **sets)

    def _check_monitors(self, valid):
        """Refuse an EarlyStopping that monitors what nobody records, before an epoch is wasted."""
        losses = ["train_loss"] if valid is None else ["train_loss", "valid_loss"]
        callbacks = [callback for _, callback in self.callbacks_]
        others = any(not type(one).__module__.startswith(_KNOWN) for one in callbacks)
        for callback in callbacks:
            if not isinstance(callback, EarlyStopping) or callback.monitor in losses:
                continue
            if callback.monitor == "valid_loss":
                raise ArenaError(
                    "EarlyStopping monitors 'valid_loss', but no battles are held out: "
                    "validation_fraction is 0, or the prompts are too few to be split. Let it "
                    "monitor 'train_loss'."
                )
            if not others:
                raise ArenaError(
                    f"EarlyStopping monitors {callback.monitor!r}, which no callback records. Let "
                    f"it monitor {' or '.join(map(repr, losses))}."
                )

    def train_step(self, batch, **fit_params):
        """Add up the gradients of a step's parts and let the optimizer make its step."""
        run, optimizer = self.run_, self.optimizer_
        self._set_training(True)
        self._set_rates()
        optimizer.zero_grad(set_to_none=True)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        loss = torch.zeros((), device=run.workers.device)
        run.scaler.scale(loss)  # a process without a part in its first step must know the scale too
        for part in batch.parts:
            seed_torch(part["seed"], run.workers.device)  # the same dropout whatever came before
            logits, truth = self._compute(part)
            part_loss = self.criterion_(logits, truth)
            run.scaler.scale(part_loss).backward()
            make_dense(parameters)
            loss += part_loss.detach()
        run.workers.sum_gradients(parameters)
        loss = run.workers.sum(loss)
        self.history.record_batch("train_weight", batch.weight)
        run.scaler.unscale_(optimizer)
        named = TeeGenerator(self.get_all_learnable_params())
        self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        if run.plan.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, run.plan.max_grad_norm)
        run.scaler.step(optimizer)
        run.scaler.update()
        self.step_ += 1
        self.epoch_step_ += 1
        return {"loss": loss, "y_pred": None}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run an epoch as skorch does, except for when losses are read."""
        if iterator is None:
            return
        for number, batch in enumerate(iterator, 1):
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            self.unread_.append((self.history[-1]["batches"][-1], f"{prefix}_loss", step["loss"]))
            self.history.record_batch(f"{prefix}_batch_size", len(batch))
            if step["loss"].device.type == "cpu" or len(self.unread_) >= _UNREAD:
                self.read_losses()
            self.notify("on_batch_end", batch=batch, training=training, **step)
            self.history.record(f"{prefix}_batch_count", number)
            # Not after every step on a GPU, where a sum would wait for all steps before it.
            if training and (step["loss"].device.type == "cpu" or self.step_ % _UNREAD == 0):
                self.run_.interrupts.end_together(self.run_.workers)
        self.read_losses()

    def read_losses(self):
        """Write the losses of the last steps into the history; raise if one is not finite."""
        for row, name, loss in self.unread_:
            row[name] = loss.item()
            if not np.isfinite(row[name]):
                half = self.run_.dtype != torch.float32
                raise ArenaError(
                    f"The {_SAID[name]} loss became {row[name]} before step {self.step_ + 1}. "
                    "Lower learning_rate or head_learning_rate"
                    + (", or pass precision='fp32'." if half else ".")
                )
        self.unread_ = []

    def validation_step(self, batch, **fit_params):
        """Compute the logits and the log loss of all validation battles."""
        self._set_training(False)
        positions = [part["positions"] for part in batch.parts]
        target, weight = self.valid_.target, self.valid_.weight
        heads = self.module_.heads
        with torch.inference_mode():
            logits = [self._compute(part)[0].cpu().numpy() for part in batch.parts]
        filled = np.zeros((heads.n_predictors, heads.n_orders, *target.shape), dtype=np.float64)
        for place, values in zip(positions, logits, strict=True):
            filled[:, :, place] = values
        filled = self.valid_logits_ = self.run_.workers.sum(filled)
        share = self.run_.learnt_share
        weights = fit_weights(filled, target, weight, self.valid_.prompts, share=share)
        loss = mean_log_loss(target, probabilities(weighted_sum(filled, weights)), weight)
        return {"loss": torch.tensor(loss), "y_pred": None}

    def _compute(self, part):
        device = self.run_.workers.device
        moved = apply(part, lambda tensor: send(tensor, device))
        truth = {name: moved.pop(name) for name in ("target", "weight", "total")}
        del moved["seed"], moved["positions"]
        with self.run_.autocast():
            return self.module_(**moved), truth

    def _set_rates(self):
        p = self.run_.plan
        if p.schedule == "constant" and p.warmup == 0:
            return  # left to callbacks
        factor = rate_at(self.step_, self.n_steps_, warmup=p.warmup, schedule=p.schedule)
        for group in self.optimizer_.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def _resume(self, steps):
        """Take up a checkpoint; give the epoch to begin with."""
        state = self.run_.resume
        if state is None:
            return 0
        check_same_steps(state, self.steps_)
        named = dict(self.module_.named_parameters())
        with torch.no_grad():
            for name, value in state["parameters"].items():
                named[name].copy_(value)
        for name, learns in state["requires_grad"].items():  # callbacks may have frozen some
            named[name].requires_grad_(learns)
        if "fused" in self.optimizer_.defaults:  # a callback may have made one that lacks it
            for group in state["optimizer"]["param_groups"]:
                group["fused"] = self.optimizer_.defaults["fused"]  # as suits this device
        self.optimizer_.load_state_dict(state["optimizer"])
        self.run_.scaler.load_state_dict(state["scaler"])
        self.step_, self.epoch_step_ = state["step"], state["epoch_step"]
        steps.skip = state["epoch_step"]
        for row in state["history"]:
            self.history.append(row)
        return state["epoch"]

    def _keep_batches(self, steps):
        """Put the batches of the interrupted epoch back into its history."""
        if steps.skip:
            self.history[-1]["batches"].extend(self.run_.resume["batches"])


def _is_skorch_stopping(error):
    """Tell skorch's own EarlyStopping, which raises a KeyboardInterrupt, from Ctrl-C."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__") == EarlyStopping.__module__
