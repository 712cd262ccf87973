import numpy as np
import pytest
import torch

from arena_estimators.neural_network import _module
from arena_estimators.neural_network._module import PairModule


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_gradients_of_responses_that_meet_many_others_are_the_same_each_time(
    monkeypatch, two_threads
):
    """On a CPU of several cores; torch adds in the order in which its threads happen to come."""
    rng = np.random.default_rng(0)
    vectors = torch.from_numpy(rng.normal(size=(5, 384))).float().requires_grad_()
    rows = torch.from_numpy(rng.integers(5, size=(4000, 2)))
    by = torch.from_numpy(rng.normal(size=(4000, 2, 384))).float()
    monkeypatch.setattr(_module._run, "forward", lambda *args, **kwargs: vectors)
    module = PairModule(None, lambda pooled, odd, even: pooled * by, "mean")
    gradients = set()
    for _ in range(20):
        vectors.grad = None
        module([None], rows, None, None).sum().backward()
        gradients.add(vectors.grad.numpy().tobytes())
    assert len(gradients) == 1
