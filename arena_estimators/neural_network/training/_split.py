"""The battles that a training learns from, and those it holds out."""

import numpy as np

from arena_estimators.exceptions import ArenaError
from arena_estimators.model_selection import PromptGroupShuffleSplit

_TRIES = 10  # splits to try, until one leaves every class in training


def split(data, fraction, seed):
    """Give the battles to learn from and those held out, each side with a largest weight of 1."""
    parts = [data.take(rows) for rows in split_by_prompt(data, fraction, seed)]
    for part in parts:  # weights' scale is free, but float32 must hold them
        part.weight = part.weight / part.weight.max(initial=0.0)
    return parts


def split_by_prompt(data, fraction, seed):
    """Split battles so that no prompt is on both sides.

    Parameters
    ----------
    data : PairData
    fraction : float
        Share of the prompts to hold out.
    seed : int

    Returns
    -------
    train, valid : ndarray of int
        Positions; `valid` is empty if `fraction` is 0, if there is a single prompt, or if no split
        was found that leaves every class of the battles in training.

    Raises
    ------
    ArenaError
        If no prompt would be left for training.
    """
    everything, nothing = np.arange(len(data)), np.arange(0)
    n_prompts = data.prompts.max() + 1
    if fraction == 0 or n_prompts == 1:
        return everything, nothing
    if np.ceil(fraction * n_prompts) >= n_prompts:
        raise ArenaError(
            f"validation_fraction={fraction} holds out all of the {n_prompts} prompts and leaves "
            f"none for training. Pass at most {100 * (n_prompts - 1) // n_prompts / 100}."
        )
    splitter = PromptGroupShuffleSplit(_TRIES, test_size=fraction, random_state=seed)
    for train, valid in splitter.split(everything, groups=data.prompts):
        if ((data.target[train].sum(0) > 0) == (data.target.sum(0) > 0)).all():
            return train, valid
    return everything, nothing
