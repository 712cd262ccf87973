"""Where an encoder's weights are while it computes, and in which type."""

import contextlib
import copy
import gc
import itertools
import threading

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from arena_estimators._encoder._run import explaining_memory

# Layers that do nothing but multiply by their weight, which autocast casts each time.
_PRODUCTS = (nn.Linear, Conv1D)
_TURN = threading.RLock()


@contextlib.contextmanager
def visiting(model, device, dtype):
    """Give a model to predict with: itself, or a copy on a device that is gone in the end.

    In half precision the copy has the matrices in that type. The vectors are those of autocast over
    float32, to the bit; a GPU holds half of the bytes, and a batch does not cast them anew. On a
    GPU threads take turns, so that it need not hold several copies.

    Parameters
    ----------
    model : Module
        From `load_encoder`, on the CPU. It is left alone: other threads may read it.
    device : torch.device
    dtype : torch.dtype
        From `resolve_precision`.
    """
    if device.type == "cpu" and dtype == torch.float32:
        yield model
        return
    with contextlib.nullcontext() if device.type == "cpu" else _TURN:
        guest = None
        try:
            with explaining_memory("for the weights. Take a smaller encoder, or device='cpu'."):
                guest = _copy(model, device, dtype)
            yield guest
        finally:
            if guest is not None:
                guest.to("meta")  # whoever still knows it, such as a traceback, holds no memory
            free(device)


@contextlib.contextmanager
def placing_fixed(model, device, dtype):
    """Have the matrices that a training does not change on a device, in the type it computes in.

    As for `visiting`, the numbers are the same. In the end the model has its own matrices again.
    """
    fixed = [part for part in _products(model) if not part.weight.requires_grad]
    own = [part.weight for part in fixed]
    try:
        for part in fixed:
            part.weight = _moved(part.weight, device, dtype)
        yield
    finally:
        for part, weight in zip(fixed, own, strict=True):
            part.weight = weight


def free(device):
    """Give the device's memory back, cuBLAS's workspaces included."""
    if device.type not in ("cuda", "mps"):
        return
    gc.collect()
    if device.type == "mps":
        torch.mps.empty_cache()
        return
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if clear is not None:
        clear()
    torch.cuda.empty_cache()


def _copy(model, device, dtype):
    """Copy a model, but for what of its weights is already there, which both then share."""
    half = {id(part.weight) for part in _products(model)}
    copied = {}
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        copied[id(tensor)] = _moved(tensor, device, dtype if id(tensor) in half else tensor.dtype)
    return copy.deepcopy(model, copied)


def _products(model):
    """Give the layers whose weights may be in the type that is computed in."""
    return [part for part in model.modules() if type(part) in _PRODUCTS]


def _moved(tensor, device, dtype):
    moved = tensor.detach().to(device, dtype)
    return nn.Parameter(moved, requires_grad=False) if isinstance(tensor, nn.Parameter) else moved
