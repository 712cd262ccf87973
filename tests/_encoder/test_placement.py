import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tiny_encoders import FAMILIES

from arena_estimators._encoder import _placement
from arena_estimators._encoder._load import load_encoder
from arena_estimators._encoder._placement import frozen_on_device, on_device
from arena_estimators._encoder._run import encode, resolve_precision
from arena_estimators.exceptions import ArenaError

CPU = torch.device("cpu")


def _bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _assert_same_bits(model, bits):
    assert {name for name, _ in model.named_parameters()} <= set(bits)
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == bits[name].dtype and torch.equal(tensor, bits[name]), name


def _matrices(model):
    """Give the weight matrices of linear layers, and nothing else."""
    return [
        part.weight
        for part in model.modules()
        if type(part).__name__ in ("Linear", "Conv1D") and part.weight.ndim == 2
    ]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_visit_gives_what_casting_for_each_batch_gives(tiny, sequences, family, precision):
    model = load_encoder(tiny(family))
    bits, dtype = _bits(model), resolve_precision(precision, CPU)
    with on_device(model, CPU, dtype, 99) as placed:
        for packed in (False, True):
            options = {"precision": precision, "packed": packed}
            expected = encode(model, sequences, **options)
            np.testing.assert_array_equal(encode(placed, sequences, **options), expected)
        assert {weight.dtype for weight in _matrices(placed)} == {dtype}
        assert placed.config._attn_implementation == model.config._attn_implementation
        assert placed.training == model.training
    _assert_same_bits(model, bits)


def test_what_is_not_cast_is_shared_on_a_cpu_and_nothing_is_held_after_the_visit(tiny):
    model = load_encoder(tiny("bert"))
    with on_device(model, CPU, torch.bfloat16, 99) as placed:
        shared = [p.data_ptr() for p in placed.parameters() if p.dtype == torch.float32]
        assert set(shared) < {p.data_ptr() for p in model.parameters()}
        assert len(shared) + len(_matrices(placed)) == len(list(model.parameters()))
    assert not placed.state_dict() and not list(placed.buffers())
    assert model.state_dict() and list(model.buffers())


def test_a_visit_that_fails_holds_nothing_either(tiny, monkeypatch):
    model, freed = load_encoder(tiny("bert")), []
    monkeypatch.setattr(_placement, "free", freed.append)
    with pytest.raises(KeyboardInterrupt), on_device(model, CPU, torch.bfloat16, 99) as placed:
        raise KeyboardInterrupt
    assert not placed.state_dict() and not list(placed.buffers())
    assert freed == [CPU]


def test_what_is_attached_to_an_encoder_is_attached_to_its_guest(tiny, sequences):
    """A hook may hold what cannot be copied, and must not be a copy that nobody looks at."""

    class Hook:
        def __init__(self):
            self.lock, self.shapes = threading.Lock(), []

        def __call__(self, module, inputs, output):
            self.shapes.append(output.shape)

    model, hook = load_encoder(tiny("bert")), Hook()
    model.embeddings.register_forward_hook(hook)
    model.kept = torch.ones(2, requires_grad=True) * 2  # which torch does not copy deeply
    with on_device(model, CPU, torch.bfloat16, 99) as placed:
        encode(placed, sequences, precision="bf16")
        assert placed.kept is model.kept
    assert sum(len(shape) and shape[0] for shape in hook.shapes) == len(sequences)


def test_layers_and_weights_in_several_places_are_copied_once(tiny):
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3, bias=False)
            self.again = self.first
            self.register_module("none", None)
            self.other.weight = self.first.weight

    with on_device(Two(), CPU, torch.bfloat16, 99) as placed:
        assert placed.again is placed.first and placed.other.weight is placed.first.weight
        assert placed.none is None and placed.other.bias is None


@pytest.mark.parametrize(("dtype", "n_sequences"), [(torch.float32, 99), (torch.bfloat16, 2)])
def test_a_cpu_copies_nothing_in_float32_or_for_a_few_sequences(tiny, dtype, n_sequences):
    model = load_encoder(tiny("bert"))
    with on_device(model, CPU, dtype, n_sequences) as placed:
        assert placed is model


@pytest.mark.parametrize(
    ("device", "other"), [("cpu", "precision='fp32'"), ("cuda", "device='cpu'")]
)
def test_weights_that_do_not_fit_are_told_of(tiny, monkeypatch, device, other):
    def fail(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model, freed = load_encoder(tiny("bert")), []
    monkeypatch.setattr(_placement, "_moved", fail)
    monkeypatch.setattr(_placement, "free", freed.append)
    with (
        pytest.raises(ArenaError, match=f"for the weights. Take a smaller encoder, or {other}"),
        on_device(model, torch.device(device), torch.bfloat16, 99),
    ):
        pass
    assert freed == [torch.device(device)]


def test_threads_take_turns_on_a_gpu_and_a_cpu_serves_them_at_once(monkeypatch):
    """So that a GPU holds one copy at a time."""
    events, met = [], threading.Barrier(2)
    monkeypatch.setattr(_placement, "free", lambda device: events.append("leaves"))

    def visit(device):
        with on_device(torch.nn.Module(), torch.device(device), torch.bfloat16, 99):
            events.append("computes")
            with contextlib.suppress(threading.BrokenBarrierError):
                met.wait(timeout=0.2 if device == "cuda" else 60)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(visit, ["cpu", "cpu"]))  # they wait for each other
        assert events == ["computes", "computes", "leaves", "leaves"]
        events.clear()
        list(threads.map(visit, ["cuda", "cuda"]))
    assert events == ["computes", "leaves"] * 2


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_a_training_has_its_fixed_matrices_back_in_the_end(tiny, error):
    model = load_encoder(tiny("bert"))
    upper = model.encoder.layer[1]
    model.requires_grad_(False)
    upper.requires_grad_(True)
    bits, own = _bits(model), dict(model.named_parameters())
    with (
        contextlib.nullcontext() if error is None else pytest.raises(error),
        frozen_on_device(model, CPU, torch.bfloat16),
    ):
        kinds = {weight.dtype: weight.requires_grad for weight in _matrices(model)}
        assert kinds == {torch.float32: True, torch.bfloat16: False}
        assert {weight.dtype for weight in _matrices(upper)} == {torch.float32}
        if error is not None:
            raise error
    _assert_same_bits(model, bits)
    assert all(parameter is own[name] for name, parameter in model.named_parameters())
