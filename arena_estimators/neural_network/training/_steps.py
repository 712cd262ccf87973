"""Battles in batches, and batches in optimizer steps."""

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from arena_estimators._encoder._batches import batches
from arena_estimators._encoder._run import pack, pad

_SIMILAR = 0.75  # sequences padded together are at least this share of the longest one's length


@dataclasses.dataclass
class Step:
    """One optimizer step: the parts that this process computes, and the totals of all processes."""

    parts: list
    n_battles: int
    weight: float

    def __len__(self):
        return self.n_battles


@dataclasses.dataclass(frozen=True)
class Batching:
    """How battles become steps; the same on every process but for its `rank`.

    Attributes
    ----------
    batch_tokens, accumulate : int
        Tokens of a batch, and batches of a step on each process.
    seed, pad_id : int
    packed : bool
        Whether sequences are packed end to end.
    static : bool
        Whether all batches have one shape, for which a compiled encoder is compiled once.
    pin : bool
        Whether the next step is made ahead, in pinned memory.
    part_tokens, piece_tokens : int
        Tokens whose activations are kept for a gradient, and tokens computed at once.
    rank, size : int
        This process, and how many there are.
    """

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


class StepLoader:
    """Iterate over the optimizer steps of an epoch.

    skorch makes one for training and one for validation. A validation has one step that holds
    everything, in batches of similar length.
    """

    def __init__(self, dataset, batch_size=None, *, batching, n_epochs=1, training=True):
        self.data, self.batching, self.training = dataset, batching, training
        self.lengths = dataset.lengths(batching.packed)
        self.epochs = [self._steps(epoch) for epoch in range(n_epochs)]
        self.epoch, self.skip = 0, 0
        self.shape = self._static_shape() if batching.static else {}

    @property
    def n_steps(self):
        """Number of optimizer steps over all epochs."""
        return sum(map(len, self.epochs))

    def __len__(self):
        return len(self.epochs[self.epoch])

    def describe(self):
        """Say which battles are in which step; a training can only go on with the same ones."""
        digest = hashlib.blake2b(digest_size=16)
        for step in (step for epoch in self.epochs for step in epoch):
            for positions, _ in step:
                digest.update(np.asarray(positions, dtype=np.int64).tobytes() + b"batch")
            digest.update(b"step")
        batching = self.batching
        return {
            "processes": batching.size,
            "packed": bool(batching.packed),
            "steps": digest.hexdigest(),
        }

    def __iter__(self):
        steps = range(self.skip, len(self))
        if not self.batching.pin:
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

    def _steps(self, epoch):
        """Give a list of steps, each a list of (positions, seed)."""
        batching = self.batching
        grouped = batches(
            self.lengths,
            batch_tokens=batching.batch_tokens,
            shuffle=self.training,
            random_state=_seed(batching.seed, epoch) % 2**32,
            packed=batching.packed,
        )
        seeded = [(batch, _seed(batching.seed, epoch, i)) for i, batch in enumerate(grouped)]
        size = batching.accumulate * batching.size if self.training else max(1, len(seeded))
        return [seeded[at : at + size] for at in range(0, len(seeded), size)]

    def _static_shape(self):
        """Give the one shape that holds every batch, so that compiling happens once."""
        longest = int(self.data.sequences.lengths[np.unique(self.data.rows)].max())
        budget = max(self.batching.batch_tokens, int(self.lengths.max()))
        most = max(len(b) for epoch in self.epochs for step in epoch for b, _ in step)
        sequences = 2 * most + -(-budget // longest)
        return {"budget": budget, "max_sequences": -(-sequences // 64) * 64, "max_length": longest}

    def _make(self, number):
        group = self.epochs[self.epoch][number]
        n_battles = sum(len(positions) for positions, _ in group)
        weight = float(sum(self.data.weight[positions].sum() for positions, _ in group))
        total = n_battles * float(self.data.weight.mean())  # so that light steps count less
        mine = group[self.batching.rank :: self.batching.size]
        parts = [part for positions, seed in mine for part in self._parts(positions, seed)]
        return Step([self._batch(*part, total) for part in parts], n_battles, weight)

    def _parts(self, positions, seed):
        """Cut a batch into parts, whose gradients are computed one after the other."""
        budget = self.batching.part_tokens
        if budget >= self.batching.batch_tokens:
            return [(positions, seed)]
        grouped = batches(self.lengths[positions], batch_tokens=budget)
        return [(positions[part], _seed(seed, number)) for number, part in enumerate(grouped)]

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
        if self.batching.pin:
            tensors = apply(tensors, torch.Tensor.pin_memory)
        return {**tensors, "total": total, "seed": seed, "positions": positions}

    def _inputs(self, distinct):
        """Make one packed input, or padded ones of similar length; give the order of sequences."""
        sequences, pad_id = self.data.sequences, self.batching.pad_id
        if self.batching.packed:
            made = pack(sequences, distinct, pad_id=pad_id, **self.shape)
            return [made], np.arange(len(distinct))
        lengths = sequences.lengths[distinct]
        order = np.argsort(-lengths, kind="stable")
        cuts, start, longest = [], 0, lengths[order[0]]
        for place, length in enumerate(lengths[order].tolist()):
            full = (place + 1 - start) * longest > self.batching.piece_tokens
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
