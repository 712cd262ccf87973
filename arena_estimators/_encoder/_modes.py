"""Compute as asked for, whatever modes of torch the caller is in."""

import contextlib

import torch


@contextlib.contextmanager
def own_modes():
    """Leave out what the caller set for all of torch: no gradients, autocast, a default device."""
    elsewhere = torch.empty(0).device.type != "cpu"
    with (
        torch.device("cpu") if elsewhere else contextlib.nullcontext(),  # it slows each call down
        torch.inference_mode(False),  # has gradients, too
        torch.autocast("cpu", enabled=False),
    ):
        yield


def computing_in(dtype, device):
    """Compute in a type on float32 weights, and in no other that the caller asked for.

    Nothing that was cast is kept: torch would keep it until the outermost autocast ends, that of
    `own_modes`, while a training changes the weights.
    """
    half = dtype != torch.float32
    dtype = dtype if half else None
    return torch.autocast(device.type, dtype=dtype, enabled=half, cache_enabled=False)
