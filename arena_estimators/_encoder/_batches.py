"""Cut sequences into batches by a budget of tokens."""

import numpy as np
from sklearn.utils import check_random_state

_WINDOW = 50  # when shuffling, items are sorted by length within this many batches at a time


def batches(lengths, *, batch_tokens, shuffle=False, random_state=None, packed=False):
    """Group items into batches that hold at most `batch_tokens` tokens each.

    Parameters
    ----------
    lengths : array-like of shape (n_items,)
        Tokens of each item.
    batch_tokens : int
        The budget. An item longer than it gets a batch of its own.
    shuffle : bool, default=False
        False sorts by length, longest first. True puts items and batches in random order; unless
        `packed`, items of similar length still share a batch, but not the same ones each time.
    random_state : int, RandomState instance or None, default=None
        Only used when shuffling.
    packed : bool, default=False
        True counts the items' own tokens; False counts the padding up to the longest as well.

    Returns
    -------
    list of ndarray of int
        Positions in `lengths`; together every position once.
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable")
    if shuffle:
        rng = check_random_state(random_state)
        order = rng.permutation(len(lengths))
        if len(order) and not packed:
            size = max(1, int(_WINDOW * batch_tokens / max(1.0, lengths.mean())))
            windows = [order[at : at + size] for at in range(0, len(order), size)]
            order = np.concatenate([w[np.argsort(-lengths[w], kind="stable")] for w in windows])
    cut = _cuts(lengths[order], batch_tokens, packed)
    made = np.split(order, cut)
    if shuffle:
        made = [made[i] for i in rng.permutation(len(made))]
    return [batch for batch in made if len(batch)]


def _cuts(lengths, batch_tokens, packed):
    """Give the places where a new batch begins."""
    cuts, total, longest, count = [], 0, 0, 0
    for place, length in enumerate(lengths.tolist()):
        total, longest, count = total + length, max(longest, length), count + 1
        if count > 1 and (total if packed else longest * count) > batch_tokens:
            cuts.append(place)
            total, longest, count = length, length, 1
    return cuts
