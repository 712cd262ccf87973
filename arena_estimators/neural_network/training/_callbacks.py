"""skorch callbacks of this library: the progress bar, the best epoch, the checkpoints."""

import time

import numpy as np
import torch
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from arena_estimators.neural_network.training._checkpoint import plain

_PAUSE_FACTOR = 20  # the next checkpoint is due after this many times what the last one took


class EarlyStop(Exception):
    """Ends the training after this epoch. Ctrl-C, a KeyboardInterrupt, interrupts it instead."""


class Progress(Callback):
    """Show the loss, the pairs per second and the time left."""

    def __init__(self, n_pairs):
        self.n_pairs = n_pairs

    def on_train_begin(self, net, **kwargs):
        """Open the bar."""
        self.bar_ = tqdm(total=self.n_pairs, unit="pair", desc="fit")
        self.valid_, self.begun_ = "", False

    def on_epoch_begin(self, net, **kwargs):
        """Say how many optimizer steps there are."""
        self.bar_.set_description(f"fit in {net.n_steps_} steps", refresh=False)

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        """Move on by one step; a resumed training begins where it was."""
        if not training:
            return
        recent = net.history[-1]["batches"][-64:]
        known = [row["train_loss"] for row in recent if "train_loss" in row]
        if known:
            self.bar_.set_postfix_str(f"loss {np.mean(known):.4f}{self.valid_}", refresh=False)
        if not self.begun_:
            self.begun_ = True
            steps = [step for row in net.history for step in row["batches"]]
            done = sum(step.get("train_batch_size", 0) for step in steps)
            self.bar_.initial = self.bar_.n = done - len(batch)
        self.bar_.update(len(batch))

    def on_epoch_end(self, net, **kwargs):
        """Say what the validation gave."""
        if "valid_loss" in net.history[-1]:
            self.valid_ = f", validation {net.history[-1, 'valid_loss']:.4f}"

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        self.close()

    def close(self):
        """Close the bar, if one is open, so that what is printed next has a line of its own."""
        if hasattr(self, "bar_"):
            self.bar_.close()


class KeepBest(Callback):
    """Remember the best epoch; called before the user's callbacks, which may end the training.

    `alone` says that there are none of those: they may load other weights and history at the end.
    """

    def __init__(self, alone):
        self.alone = alone

    def on_train_begin(self, net, **kwargs):
        """Begin with what a checkpoint knew, or with nothing."""
        resume = net.run_.resume or {}
        self.best_ = resume.get("best") or {"loss": float("inf"), "epoch": -1}

    def on_epoch_end(self, net, **kwargs):
        """Remember the weights and the validation logits of the best epoch."""
        row = net.history[-1]
        if "valid_loss" not in row:
            return
        if row["valid_loss"] < self.best_["loss"]:
            self.best_ = {
                "loss": float(row["valid_loss"]),
                "epoch": int(row["epoch"]),
                "logits": torch.from_numpy(np.array(net.valid_logits_)),
                "parameters": trainable(net) if row["epoch"] < net.max_epochs else {},
            }

    def on_train_end(self, net, **kwargs):
        """Keep what callbacks may replace: the history and, if best, the last epoch's weights."""
        self.history_ = net.history
        if not self.alone and self.best_["epoch"] >= 0 and not self.best_["parameters"]:
            self.best_["parameters"] = trainable(net)


class StopEarly(Callback):
    """Stop when the validation loss has not improved for a while, and restore the best epoch."""

    def __init__(self, keep_best, patience=None):
        self.keep_best, self.patience = keep_best, patience

    def on_epoch_end(self, net, **kwargs):
        """Stop if the best epoch is too long ago."""
        row, best = net.history[-1], self.keep_best.best_
        if "valid_loss" in row and self.patience and row["epoch"] - best["epoch"] >= self.patience:
            raise EarlyStop

    def on_train_end(self, net, **kwargs):
        """Put the history and the best weights back."""
        net.history = self.keep_best.history_
        named, best = dict(net.module_.named_parameters()), self.keep_best.best_
        with torch.no_grad():
            for name, value in best.get("parameters", {}).items():
                named[name].copy_(value)


class SaveCheckpoints(Callback):
    """Write a checkpoint whenever one is due, so that they cost about a twentieth of the time."""

    def __init__(self, checkpoint, keep_best):
        self.checkpoint, self.keep_best = checkpoint, keep_best

    def on_train_begin(self, net, **kwargs):
        """Make the first one due at once."""
        self.due_ = 0.0

    def on_batch_end(self, net, training=None, **kwargs):
        """Save within an epoch."""
        if training:
            self._save_if_due(net, epoch=len(net.history) - 1)

    def on_epoch_end(self, net, **kwargs):
        """Save between epochs."""
        self._save_if_due(net, epoch=len(net.history))

    def _save_if_due(self, net, epoch):
        if not net.run_.workers.is_main or time.monotonic() < self.due_:
            return
        began = time.monotonic()
        net.read_losses()
        rows, optimizer = list(net.history), net.optimizer_.state_dict()
        groups = [plain(group) for group in optimizer["param_groups"]]  # rates may be NumPy's
        state = {
            "epoch": epoch,
            "seed": net.run_.seed,
            "steps": net.steps_,
            "step": net.step_,
            "epoch_step": net.epoch_step_,
            "parameters": trainable(net),
            "requires_grad": {name: p.requires_grad for name, p in net.module_.named_parameters()},
            "optimizer": {**optimizer, "param_groups": groups},
            "scaler": net.run_.scaler.state_dict(),
            "history": rows[:epoch],
            "batches": rows[epoch]["batches"] if epoch < len(rows) else [],
            "best": self.keep_best.best_,
        }
        with net.run_.interrupts.delayed():
            self.checkpoint.save(state)
        ended = time.monotonic()
        self.due_ = ended + _PAUSE_FACTOR * (ended - began)


def trainable(net):
    """Copy the weights of the optimizer to the CPU, also those that a callback has frozen."""
    trained = {id(p) for group in net.optimizer_.param_groups for p in group["params"]}
    return {
        name: parameter.detach().to("cpu", copy=True)
        for name, parameter in net.module_.named_parameters()
        if id(parameter) in trained
    }
