import pytest
import torch
from torch.utils.checkpoint import checkpoint

from arena_estimators._encoder._modes import computing_in, own_modes


@pytest.mark.parametrize("again", [False, True])
def test_weights_that_change_are_cast_anew(again):
    """torch keeps what it has cast until the outermost autocast ends.

    Gradient checkpointing casts again in the backward pass, in an autocast of its own.
    """
    layer, cpu, seen = torch.nn.Linear(3, 2, bias=False), torch.device("cpu"), []
    with own_modes():
        for _ in range(3):
            given = torch.ones(1, 3, requires_grad=True)
            with computing_in(torch.bfloat16, cpu):
                found = checkpoint(layer, given, use_reentrant=False) if again else layer(given)
            found.sum().backward()
            seen.append(found.float())
            with torch.no_grad():
                layer.weight += 1
    assert found.dtype == torch.bfloat16
    for before, after in zip(seen, seen[1:], strict=False):
        torch.testing.assert_close(after, before + 3, rtol=0.02, atol=0.0)


def test_full_precision_is_no_other_amid_the_callers_autocast():
    layer, cpu = torch.nn.Linear(3, 2), torch.device("cpu")
    with torch.autocast("cpu", torch.bfloat16), computing_in(torch.float32, cpu):
        assert layer(torch.ones(1, 3)).dtype == torch.float32
