"""From tokens to logits: on one process, or shared by several."""

import dataclasses

import numpy as np
import torch

from arena_estimators._encoder._modes import own_modes
from arena_estimators._encoder._placement import on_device
from arena_estimators._encoder._run import digests, encode, encoding_bar, resolve_precision
from arena_estimators.neural_network.model._workers import join_workers

PACKING = ("auto", "packed")  # values of `attention` that let sequences be packed
MOST_TOKENS = 16384  # of a batch with batch_tokens="auto"
_CACHED_TOKENS = 2048  # that a CPU computes at once
_ROWS = 4096  # battles the heads see at once


@dataclasses.dataclass(frozen=True)
class PredictionOptions:
    """What a prediction may do otherwise than the fit did.

    Each is the parameter of BertPairClassifier of that name.
    """

    max_length: int
    prompt_share: float
    truncation: str
    attention: str
    precision: str
    batch_tokens: int | str
    device: str
    verbose: int

    @property
    def workers(self):
        """The processes that share the work."""
        return join_workers(self.device)

    @property
    def progress(self):
        """Whether this process shows progress bars."""
        return bool(self.verbose) and self.workers.is_main


def pooled_vectors(module, sequences, options):
    """Encode sequences.

    Equal ones (different texts may have the same tokens) are encoded once. Several processes each
    encode a share, and all end up with all vectors. Shares are made by content, so that the
    batches, and with them the last bits, do not depend on the order given.

    Returns
    -------
    ndarray of shape (len(sequences), width), float32
    """
    workers = options.workers
    keys = digests(sequences)
    place_of = {key: place for place, key in enumerate(keys)}
    distinct = sorted(place_of)
    share = slice(workers.rank, None, workers.size)
    places = [place_of[key] for key in distinct[share]]
    bar = encoding_bar(len(places), options.progress)
    dtype = resolve_precision(options.precision, workers.device)
    with bar, on_device(module.encoder, workers.device, dtype, len(places)) as encoder:
        vectors = encode(
            encoder,
            sequences.take(places),
            pooling=module.pooling,
            device=workers.device,
            precision=options.precision,
            batch_tokens=tokens_at_once(options.batch_tokens, workers.device),
            packed="auto" if options.attention in PACKING else False,
            progress=bar,
        )
        if workers.size > 1:
            everything = np.zeros((len(distinct), vectors.shape[1]), dtype=np.float32)
            everything[share] = vectors
            vectors = workers.sum(everything)
    number_of = {key: number for number, key in enumerate(distinct)}
    return vectors[np.array([number_of[key] for key in keys], dtype=np.int64)]


@own_modes()
def logits_of(module, vectors, data):
    """Give logits of shape (n_predictors, n_orders, n_battles, n_classes) from pooled vectors."""
    made = []
    with torch.inference_mode():
        for start in range(0, max(1, len(data)), _ROWS):
            part = slice(start, start + _ROWS)
            blocks = (vectors[data.rows[part]], data.odd[part], data.even[part])
            made.append(module.heads(*map(torch.from_numpy, blocks)).numpy())
    return np.concatenate(made, axis=-2)


def tokens_at_once(batch_tokens, device):
    """Give how many tokens to compute in one go; on a CPU, few enough for its caches."""
    batch_tokens = MOST_TOKENS if batch_tokens == "auto" else batch_tokens
    return min(batch_tokens, _CACHED_TOKENS) if device.type == "cpu" else batch_tokens
