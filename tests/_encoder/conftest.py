"""Tiny encoders, one of each family, made once per session."""

import functools

import numpy as np
import pytest
from tiny_encoders import make_tiny_encoder

from arena_estimators._encoder._tokenise import Sequences


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Give a function from a family to the folder of a tiny encoder."""
    root = tmp_path_factory.mktemp("encoders")
    return functools.cache(lambda family: make_tiny_encoder(family, root / family))


@pytest.fixture
def sequences():
    """Nine sequences of very different lengths that every tiny encoder can read."""
    rng = np.random.default_rng(0)
    lengths = np.array([3, 40, 7, 1, 22, 64, 5, 40, 13])
    ids = rng.integers(5, 90, lengths.sum()).astype(np.int32)
    return Sequences(ids, np.concatenate([[0], np.cumsum(lengths)]), None)
