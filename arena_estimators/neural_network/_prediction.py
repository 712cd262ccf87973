"""Logits of battles from a fitted module, on one process or dealt out to several."""

import numpy as np
import torch

from arena_estimators._encoder._run import encode
from arena_estimators._encoder._tokenise import Sequences
from arena_estimators.neural_network._device import free

_ROWS = 4096  # battles the heads see at once


def pooled_vectors(module, sequences, needed, *, workers, dtype, batch_tokens, packed, progress):
    """Encode each needed sequence once.

    Several processes each take a share of the sequences and end with all vectors.

    Returns
    -------
    ndarray of shape (len(needed), width), float32
    """
    mine = np.arange(workers.rank, len(needed), workers.size)
    precision = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
    vectors = encode(
        module.encoder,
        _take(sequences, needed[mine]),
        pooling=module.pooling,
        device=workers.device,
        batch_tokens=batch_tokens,
        precision=precision,
        packed=packed,
        progress=progress and workers.is_main,
    )
    module.encoder.to("cpu")
    free(workers.device)
    if workers.size == 1:
        return vectors
    everything = np.zeros((len(needed), vectors.shape[1]), dtype=np.float32)
    everything[mine] = vectors
    return workers.sum(everything)


def logits_of(module, vectors, rows, odd, even):
    """Give logits of shape (n_readings, n_battles, n_classes) from pooled vectors."""
    made = []
    with torch.inference_mode():
        for start in range(0, max(1, len(rows)), _ROWS):
            part = slice(start, start + _ROWS)
            blocks = (vectors[rows[part]], odd[part], even[part])
            made.append(module.heads(*map(torch.from_numpy, blocks)).numpy())
    return np.concatenate(made, axis=1)


def _take(sequences, indices):
    lengths = sequences.lengths[indices]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    take = np.repeat(sequences.offsets[indices], lengths) + within
    types = None if sequences.types is None else sequences.types[take]
    return Sequences(sequences.ids[take], offsets, types)
