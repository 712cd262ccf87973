"""Checkpoints of a training on disk: written whole or not at all, one file a fit."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import zipfile
from numbers import Integral

import numpy as np
import torch

from arena_estimators._files import atomic_write, unfinished
from arena_estimators._validation import this_version
from arena_estimators.exceptions import ArenaError, warn

NAME = "bert_pair-{}.checkpoint"
# What may differ between the fit that wrote a checkpoint and the one that takes it up.
_FREE = {
    *("checkpoint_dir", "device", "callbacks", "verbose", "compile"),
    "temperature",  # read when the training is over
    "encoder",  # its content counts, not its place
}


class Checkpoint:
    """One file in a folder, named after the fit it belongs to: these data, these parameters.

    Parameters
    ----------
    folder : str or path-like
    identity : dict
        From `identify`.
    """

    def __init__(self, folder, identity):
        text = json.dumps(identity, sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self.path = pathlib.Path(folder).expanduser() / NAME.format(digest)

    def load(self):
        """Give the state that was saved, and its `path`; or None."""
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as file:
                damaged = file.testzip()  # torch.load does not look
            if damaged is not None:
                raise zipfile.BadZipFile(f"{damaged} is damaged")
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            return {**state, **json.loads(state["json"]), "path": str(self.path)}
        except PermissionError as error:  # where fits of several people share a folder
            raise ArenaError(
                f"{self.path} cannot be read ({error}). Have whoever wrote it give the permission, "
                "or pass a checkpoint_dir of your own."
            ) from error
        except Exception as error:
            raise ArenaError(
                f"{self.path} is damaged or no checkpoint of this library; delete it "
                f"({type(error).__name__}: {error})."
            ) from error

    def count_others(self):
        """Count the checkpoints of other fits in the folder."""
        return len(set(self.path.parent.glob(NAME.format("*"))) - {self.path})

    def save(self, state):
        """Write the state; if killed meanwhile or out of room, the previous checkpoint remains."""
        readable = {name: state.pop(name) for name in ("history", "batches")}
        text = json.dumps(plain(readable))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path) as file:
                torch.save({**state, "json": text}, file)
        except OSError as error:
            warn(
                f"No checkpoint could be written to {self.path} ({error}). The training goes on; "
                "if it is killed, it continues from the checkpoint before, if there is one."
            )

    def remove(self):
        """Delete the file, where that is possible: the fit is complete."""
        for path in (self.path, *unfinished(self.path)):
            with contextlib.suppress(OSError):
                path.unlink()


def identify(plan, data, encoder):
    """Describe a fit by what it was told, its encoder, a digest of its data and this library.

    Parameters
    ----------
    plan : TrainingPlan
    data : PairData
        All battles of the fit; their prompts decide what is held out.
    encoder : FrozenEncoder

    Returns
    -------
    dict
        Made of text only.
    """
    digest = hashlib.blake2b(digest_size=16)
    arrays = (data.sequences.ids, data.sequences.offsets, data.rows)
    arrays += (data.odd, data.even, data.target, data.weight, data.prompts)
    arrays += () if data.sequences.types is None else (data.sequences.types,)
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    names = {field.name for field in dataclasses.fields(plan)}.difference(_FREE)
    kept = {name: _text(getattr(plan, name)) for name in names}
    if not isinstance(plan.random_state, Integral):
        kept["random_state"] = "any"  # the checkpoint's seed decides
    if plan.pooling == "auto":
        kept["pooling"] = _text(encoder.pooling)  # what its folder says may change
    about = {"version": this_version(), "weights": encoder.fingerprint}
    return {"data": digest.hexdigest(), **about, **kept}


def check_shared(checkpoint, resume, workers):
    """Refuse a fit whose processes, on several machines, would begin at different steps.

    Parameters
    ----------
    checkpoint : Checkpoint
    resume : dict or None
        What each process has read.
    workers : Workers
    """
    steps = np.zeros(workers.size)
    steps[workers.rank] = resume["step"] if resume else -1
    if len(set(workers.sum(steps).tolist())) > 1:
        raise ArenaError(
            f"checkpoint_dir={str(checkpoint.path.parent)!r} does not hold the same checkpoint "
            "for all processes. Pass a folder that all machines see, such as one on a shared disk."
        )


def check_same_steps(state, steps):
    """Refuse a checkpoint whose optimizer steps are not those of this fit.

    Parameters
    ----------
    state : dict
        From `Checkpoint.load`.
    steps : dict
        From `StepLoader.describe`, and the `precision` of the computation.
    """
    found = state["steps"]
    if found == steps:
        return
    ways = {True: "packed end to end", False: "padded"}
    if found["processes"] != steps["processes"]:
        why = f"the number of processes was {found['processes']} and is {steps['processes']}"
    elif found["packed"] != steps["packed"]:
        why = f"sequences were {ways[found['packed']]} and are {ways[steps['packed']]}"
    elif found["steps"] != steps["steps"]:
        why = "its optimizer steps hold other battles"
    else:
        why = f"it was computed in {found.get('precision')}, not in {steps['precision']}"
    raise ArenaError(
        f"The checkpoint {state['path']} cannot be continued here: {why}. The weights would not be "
        "those of a fit without interruption. Continue it on a machine like the first, with as "
        "many processes, or delete the file to begin anew."
    )


def plain(value):
    """Give what JSON can write; callbacks may put anything into the history."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # also NumPy's float64, which is a float
        return plain(value.tolist())
    return value if value is None or isinstance(value, str | bool | int | float) else repr(value)


def _text(value):
    """Write a parameter so that equal ones read the same, whatever their type."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return repr(os.fspath(value) if isinstance(value, os.PathLike) else value)
