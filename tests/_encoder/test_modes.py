import torch

from arena_estimators._encoder._modes import computing_in, own_modes


def test_weights_that_change_are_cast_anew():
    """torch keeps what it has cast until the outermost autocast ends."""
    layer, cpu = torch.nn.Linear(3, 2, bias=False), torch.device("cpu")
    seen = []
    with own_modes():
        for _ in range(2):
            with computing_in(torch.bfloat16, cpu):
                seen.append(layer(torch.ones(1, 3)))
            with torch.no_grad():
                layer.weight.zero_()
    assert seen[0].dtype == torch.bfloat16
    assert seen[0].abs().min() > 0
    assert not seen[1].any()
