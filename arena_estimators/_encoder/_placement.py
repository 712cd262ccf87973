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
_FEW = 16  # for fewer sequences a CPU is faster casting weights in each batch than copying them
_TURN = threading.RLock()


@contextlib.contextmanager
def on_device(model, device, dtype, n_sequences):
    """Give a model to predict with: `model` itself, or a copy on `device`, freed at the end.

    In half precision the copy's matrices are of that type. The vectors equal those of autocast over
    float32 to the bit, but on a GPU the matrices take half the memory, and no batch casts them
    anew. On a GPU threads take turns, so that it need not hold several copies.

    Parameters
    ----------
    model : Module
        From `load_encoder`, on the CPU. It is left alone: other threads may read it.
    device : torch.device
    dtype : torch.dtype
        From `resolve_precision`.
    n_sequences : int
        How many are to be read.
    """
    on_cpu = device.type == "cpu"
    if on_cpu and (dtype == torch.float32 or n_sequences < _FEW):
        yield model
        return
    other = "precision='fp32'" if on_cpu else "device='cpu'"
    with contextlib.nullcontext() if on_cpu else _TURN:
        copies = {}
        try:
            with explaining_memory(f"for the weights. Take a smaller encoder, or {other}."):
                copied = _copy(model, copies, _weights_on(model, device, dtype))
            yield copied
        finally:
            for module in copies.values():  # so that a reference kept to one keeps no memory
                module._parameters.clear()
                module._buffers.clear()
            free(device)


@contextlib.contextmanager
def frozen_on_device(model, device, dtype):
    """Put the matrices that training does not change on a device, in the type it computes in.

    As with `on_device`, results stay the same. Afterwards the model has its own matrices back.
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


def _weights_on(model, device, dtype):
    """Give a model's weights on a device, matrices in `dtype`, keyed by the originals' `id`."""
    half = {id(part.weight) for part in _products(model)}
    tensors = itertools.chain(model.parameters(), model.buffers())
    moved = {id(t): _moved(t, device, dtype if id(t) in half else t.dtype) for t in tensors}
    return moved | {id(None): None}


def _copy(module, copies, weights):
    """Copy a module and its submodules with all their attributes, but with these `weights`."""
    if id(module) not in copies:
        copied = copies[id(module)] = copy.copy(module)
        for kind in ("_parameters", "_buffers"):
            own = vars(module)[kind]
            vars(copied)[kind] = {name: weights[id(tensor)] for name, tensor in own.items()}
        copied._modules = {
            name: child if child is None else _copy(child, copies, weights)
            for name, child in module._modules.items()
        }
    return copies[id(module)]


def _products(model):
    """Give the layers whose weights may be in the type that is computed in."""
    return [part for part in model.modules() if type(part) in _PRODUCTS]


def _moved(tensor, device, dtype):
    moved = tensor.detach().to(device, dtype)
    return nn.Parameter(moved, requires_grad=False) if isinstance(tensor, nn.Parameter) else moved
