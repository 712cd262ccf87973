"""Checkpoints of a training on disk: written whole or not at all, refused by another fit."""

import hashlib
import json
import os
import pathlib
from numbers import Integral

import numpy as np
import torch

from arena_estimators.exceptions import ArenaError

NAME = "bert_pair.checkpoint"
# What may differ between the fit that wrote a checkpoint and the one that takes it up.
_FREE = ("checkpoint_dir", "device", "callbacks", "verbose", "compile")


class Checkpoint:
    """One file in a folder, which belongs to one fit: these data with these parameters.

    Parameters
    ----------
    folder : str
    identity : dict
        From `identify`.
    """

    def __init__(self, folder, identity):
        self.path = pathlib.Path(folder).expanduser() / NAME
        self.identity = identity

    def load(self):
        """Give the state that was saved, or None; the checkpoint of another fit is refused."""
        if not self.path.exists():
            return None
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            found, state = saved["identity"], saved["state"]
        except Exception as error:
            raise ArenaError(f"{self.path} is no checkpoint of this library: {error}") from error
        if differ := _differences(found, self.identity):
            raise ArenaError(
                f"The checkpoint {self.path} belongs to another fit ({differ}). Continue that one, "
                "delete the file, or pass another checkpoint_dir."
            )
        return {**state, **json.loads(state["json"])}

    def save(self, state):
        """Write the state; who is killed meanwhile keeps the checkpoint before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        readable = {name: state.pop(name) for name in ("history", "batches")}
        text = json.dumps(readable, default=lambda value: value.item())
        partial = self.path.with_suffix(".partial")
        with open(partial, "wb") as file:
            torch.save({"identity": self.identity, "state": {**state, "json": text}}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.path)

    def remove(self):
        """Delete the file: the fit is complete."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".partial").unlink(missing_ok=True)


def identify(parameters, data):
    """Describe a fit by its parameters and a digest of its data.

    Parameters
    ----------
    parameters : dict
        The estimator's.
    data : PairData
        All battles of the fit.

    Returns
    -------
    dict
        Made of text only.
    """
    digest = hashlib.blake2b(digest_size=16)
    arrays = (data.sequences.ids, data.sequences.offsets, data.rows)
    for array in (*arrays, data.odd, data.even, data.target, data.weight):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    kept = {name: repr(value) for name, value in parameters.items() if name not in _FREE}
    if not isinstance(parameters["random_state"], Integral):
        kept["random_state"] = "any"  # the checkpoint's seed decides
    return {"data": digest.hexdigest(), **kept}


def _differences(found, wanted):
    names = [name for name in wanted if found.get(name) != wanted[name]]
    return ", ".join(
        "the battles or labels differ"
        if name == "data"
        else f"{name} was {found.get(name)} and is {wanted[name]}"
        for name in names
    )
