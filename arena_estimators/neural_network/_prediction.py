"""Logits of battles from a fitted module, on one process or dealt out to several."""

import numpy as np
import torch

from arena_estimators._encoder._modes import own_modes
from arena_estimators._encoder._placement import visiting
from arena_estimators._encoder._run import digests, encode, encoding_bar, resolve_precision

_ROWS = 4096  # battles the heads see at once


def pooled_vectors(module, sequences, *, workers, precision, progress, **options):
    """Encode sequences.

    Equal ones (different texts may have the same tokens) are encoded once. Several processes each
    encode a share, and all end up with all vectors. Shares are dealt by content, so that the
    batches, and with them the last bits, do not depend on the order given.

    Returns
    -------
    ndarray of shape (len(sequences), width), float32
    """
    keys = digests(sequences)
    place_of = {key: place for place, key in enumerate(keys)}
    distinct = sorted(place_of)
    share = slice(workers.rank, None, workers.size)
    places = [place_of[key] for key in distinct[share]]
    bar = encoding_bar(len(places), progress and workers.is_main)
    dtype = resolve_precision(precision, workers.device)
    with bar, visiting(module.encoder, workers.device, dtype, len(places)) as encoder:
        vectors = encode(
            encoder,
            sequences.take(places),
            pooling=module.pooling,
            device=workers.device,
            precision=precision,
            progress=bar,
            **options,
        )
        if workers.size > 1:
            everything = np.zeros((len(distinct), vectors.shape[1]), dtype=np.float32)
            everything[share] = vectors
            vectors = workers.sum(everything)
    number_of = {key: number for number, key in enumerate(distinct)}
    return vectors[np.array([number_of[key] for key in keys], dtype=np.int64)]


@own_modes()
def logits_of(module, vectors, rows, odd, even):
    """Give logits of shape (n_predictors, n_readings, n_battles, n_classes) from pooled vectors."""
    made = []
    with torch.inference_mode():
        for start in range(0, max(1, len(rows)), _ROWS):
            part = slice(start, start + _ROWS)
            blocks = (vectors[rows[part]], odd[part], even[part])
            made.append(module.heads(*map(torch.from_numpy, blocks)).numpy())
    return np.concatenate(made, axis=-2)
