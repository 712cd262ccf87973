"""Compute as asked for, whatever modes of torch the caller is in."""

import contextlib

import torch


@contextlib.contextmanager
def own_modes():
    """Undo modes that the caller may have set: no_grad, inference mode, autocast, a device."""
    elsewhere = torch.empty(0).device.type != "cpu"
    with (
        torch.device("cpu") if elsewhere else contextlib.nullcontext(),  # a device slows each call
        torch.inference_mode(False),  # this also enables gradients
        torch.autocast("cpu", enabled=False),
    ):
        yield


def computing_in(dtype, device):
    """Compute in `dtype` on float32 weights, whatever autocast the caller has entered.

    Cast weights are not cached: torch would keep them until the outermost autocast, that of
    `own_modes`, ends, although training changes the weights in the meantime.
    """
    half = dtype != torch.float32
    dtype = dtype if half else None
    return torch.autocast(device.type, dtype=dtype, enabled=half, cache_enabled=False)
