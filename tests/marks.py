"""Marks of tests that need what not every machine has."""

import pytest
import torch

from arena_estimators._encoder import _attention
from arena_estimators.neural_network.training._compile import can_compile

_CUDA = torch.cuda.is_available()
needs_cuda = pytest.mark.skipif(not _CUDA, reason="there is no CUDA device")
# Facts of the machine, not what `can_pack` says, which is tested.
needs_kernel = pytest.mark.skipif(
    not _CUDA
    or torch.cuda.get_device_capability() < (8, 0)
    or _attention.varlen_attn is None
    or not torch.backends.cuda.is_flash_attention_available(),
    reason="packing needs an A100 or newer, and a torch 2.11 or newer that has Flash attention",
)
needs_compiler = pytest.mark.skipif(
    not can_compile(), reason="Triton, a C compiler or Python.h is missing"
)
