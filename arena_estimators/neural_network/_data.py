"""Battles as numbers, and the optimizer steps they are dealt into."""

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from arena_estimators._encoder._batches import batches
from arena_estimators._encoder._run import pack, pad

_SIMILAR = 0.75  # sequences padded together are at least this share of the longest one's length


@dataclasses.dataclass(eq=False)
class PairData(Dataset):
    """Tokenised battles: which two sequences each reads, its style, soft label, weight, prompt."""

    sequences: Any
    rows: np.ndarray
    odd: np.ndarray
    even: np.ndarray
    target: np.ndarray | None = None
    weight: np.ndarray | None = None
    prompts: np.ndarray | None = None

    def __len__(self):
        return len(self.rows)

    def take(self, positions):
        """Give some of the battles; the sequences are shared, not copied."""
        arrays = (self.rows, self.odd, self.even, self.target, self.weight, self.prompts)
        return PairData(self.sequences, *(a if a is None else a[positions] for a in arrays))

    def lengths(self, packed):
        """Count each battle's tokens: of both sequences if packed, else twice the longer one's."""
        both = self.sequences.lengths[self.rows]
        return both.sum(1) if packed else 2 * both.max(1)


@dataclasses.dataclass
class Step:
    """One optimizer step: the parts that this process computes, and the totals of all processes."""

    parts: list
    n_battles: int
    weight: float

    def __len__(self):
        return self.n_battles


@dataclasses.dataclass(frozen=True)
class Dealing:
    """How battles are dealt into steps; the same on every process but for its `rank`."""

    batch_tokens: int
    accumulate: int
    seed: int
    pad_id: int
    packed: bool
    static: bool
    pin: bool
    part_tokens: int
    piece_tokens: int
    rank: int
    size: int


class Steps:
    """Iterate over the optimizer steps of an epoch.

    skorch makes one for training and one for validation. A validation has one step that holds
    everything, in batches of similar length.
    """

    def __init__(self, dataset, batch_size=None, *, dealing, n_epochs=1, training=True):
        self.data, self.dealing, self.training = dataset, dealing, training
        self.lengths = dataset.lengths(dealing.packed)
        self.plans = [self._plan(epoch) for epoch in range(n_epochs)]
        self.epoch, self.skip = 0, 0
        self.shape = self._static_shape() if dealing.static else {}

    @property
    def n_steps(self):
        """Number of optimizer steps over all epochs."""
        return sum(map(len, self.plans))

    def __len__(self):
        return len(self.plans[self.epoch])

    def describe(self):
        """Say how the battles are dealt; a training can only go on with the same steps."""
        digest = hashlib.blake2b(digest_size=16)
        for step in (step for plan in self.plans for step in plan):
            for positions, _ in step:
                digest.update(np.asarray(positions, dtype=np.int64).tobytes() + b"batch")
            digest.update(b"step")
        dealing = self.dealing
        return {
            "processes": dealing.size,
            "packed": bool(dealing.packed),
            "steps": digest.hexdigest(),
        }

    def __iter__(self):
        steps = range(self.skip, len(self))
        if not self.dealing.pin:
            yield from map(self._make, steps)
            return
        with ThreadPoolExecutor(1) as ahead:  # makes the next step while this one is computed
            future = None
            for step in steps:
                following, future = future, ahead.submit(self._make, step)
                if following is not None:
                    yield following.result()
            if future is not None:
                yield future.result()

    def _plan(self, epoch):
        """Give a list of steps, each a list of (positions, seed)."""
        dealing = self.dealing
        dealt = batches(
            self.lengths,
            batch_tokens=dealing.batch_tokens,
            shuffle=self.training,
            random_state=_seed(dealing.seed, epoch) % 2**32,
            packed=dealing.packed,
        )
        seeded = [(batch, _seed(dealing.seed, epoch, i)) for i, batch in enumerate(dealt)]
        size = dealing.accumulate * dealing.size if self.training else max(1, len(seeded))
        return [seeded[at : at + size] for at in range(0, len(seeded), size)]

    def _static_shape(self):
        """Give the one shape that holds every batch, so that compiling happens once."""
        longest = int(self.data.sequences.lengths[np.unique(self.data.rows)].max())
        budget = max(self.dealing.batch_tokens, int(self.lengths.max()))
        most = max(len(b) for plan in self.plans for s in plan for b, _ in s)
        sequences = 2 * most + -(-budget // longest)
        return {"budget": budget, "max_sequences": -(-sequences // 64) * 64, "max_length": longest}

    def _make(self, number):
        group = self.plans[self.epoch][number]
        n_battles = sum(len(positions) for positions, _ in group)
        weight = float(sum(self.data.weight[positions].sum() for positions, _ in group))
        total = n_battles * float(self.data.weight.mean())  # so that light steps count less
        mine = group[self.dealing.rank :: self.dealing.size]
        parts = [part for positions, seed in mine for part in self._parts(positions, seed)]
        return Step([self._batch(*part, total) for part in parts], n_battles, weight)

    def _parts(self, positions, seed):
        """Cut a batch into parts, whose gradients are computed one after the other."""
        budget = self.dealing.part_tokens
        if budget >= self.dealing.batch_tokens:
            return [(positions, seed)]
        dealt = batches(self.lengths[positions], batch_tokens=budget)
        return [(positions[part], _seed(seed, number)) for number, part in enumerate(dealt)]

    def _batch(self, positions, seed, total):
        data = self.data
        distinct, local = np.unique(data.rows[positions], return_inverse=True)
        inputs, order = self._inputs(distinct)
        local = np.argsort(order)[local.reshape(-1, 2)]
        tensors = {
            "inputs": inputs,
            "rows": torch.from_numpy(local),
            "odd": torch.from_numpy(data.odd[positions]),
            "even": torch.from_numpy(data.even[positions]),
            "target": torch.from_numpy(data.target[positions]).float(),
            "weight": torch.from_numpy(data.weight[positions]).float(),
        }
        if self.dealing.pin:
            tensors = apply(tensors, torch.Tensor.pin_memory)
        return {**tensors, "total": total, "seed": seed, "positions": positions}

    def _inputs(self, distinct):
        """Make one packed input, or padded ones of similar length; give the order of sequences."""
        sequences, pad_id = self.data.sequences, self.dealing.pad_id
        if self.dealing.packed:
            made = pack(sequences, distinct, pad_id=pad_id, **self.shape)
            return [made], np.arange(len(distinct))
        lengths = sequences.lengths[distinct]
        order = np.argsort(-lengths, kind="stable")
        cuts, start, longest = [], 0, lengths[order[0]]
        for place, length in enumerate(lengths[order].tolist()):
            full = (place + 1 - start) * longest > self.dealing.piece_tokens
            if place > start and (full or length < _SIMILAR * longest):
                cuts.append(place)
                start, longest = place, length
        pieces = np.split(distinct[order], cuts)
        return [pad(sequences, piece, pad_id=pad_id) for piece in pieces], order


def apply(value, function):
    """Apply a function to every tensor in nested dicts and lists."""
    if torch.is_tensor(value):
        return function(value)
    if isinstance(value, dict):
        return {key: apply(item, function) for key, item in value.items()}
    if isinstance(value, list):
        return [apply(item, function) for item in value]
    return value


def _seed(*numbers):
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
