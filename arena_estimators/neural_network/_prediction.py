"""Logits of battles from a fitted module, on one process or dealt out to several."""

import numpy as np
import torch

from arena_estimators._encoder._run import digests, encode, free

_ROWS = 4096  # battles the heads see at once


def pooled_vectors(module, sequences, *, workers, progress, **options):
    """Encode sequences.

    Several processes each take a share of them and end with all vectors. Shares are dealt by
    content, so that the batches, and with them the last bits, do not depend on the order given.

    Returns
    -------
    ndarray of shape (len(sequences), width), float32
    """
    mine = np.arange(len(sequences))
    if workers.size > 1:
        keys = digests(sequences)
        mine = mine[sorted(mine, key=keys.__getitem__)][workers.rank :: workers.size]
    try:
        vectors = encode(
            module.encoder,
            sequences.take(mine),
            pooling=module.pooling,
            device=workers.device,
            progress=progress and workers.is_main,
            **options,
        )
        if workers.size == 1:
            return vectors
        everything = np.zeros((len(sequences), vectors.shape[1]), dtype=np.float32)
        everything[mine] = vectors
        return workers.sum(everything)
    finally:  # out of memory and Ctrl-C leave nothing on the device either
        module.encoder.to("cpu")
        free(workers.device)


def logits_of(module, vectors, rows, odd, even):
    """Give logits of shape (n_readings, n_battles, n_classes) from pooled vectors."""
    made = []
    with torch.inference_mode():
        for start in range(0, max(1, len(rows)), _ROWS):
            part = slice(start, start + _ROWS)
            blocks = (vectors[rows[part]], odd[part], even[part])
            made.append(module.heads(*map(torch.from_numpy, blocks)).numpy())
    return np.concatenate(made, axis=1)
