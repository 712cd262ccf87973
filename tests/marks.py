"""Marks of tests that need what not every machine has."""

import pytest
import torch

from arena_estimators.neural_network._compile import can_compile

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
needs_compiler = pytest.mark.skipif(
    not can_compile(), reason="Triton, a C compiler or Python.h is missing"
)
