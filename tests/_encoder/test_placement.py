import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tiny_encoders import FAMILIES

from arena_estimators._encoder import _placement
from arena_estimators._encoder._load import load_encoder
from arena_estimators._encoder._placement import placing_fixed, visiting
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
    """Give the weights that are multiplied by, of layers and of nothing else."""
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
    with visiting(model, CPU, dtype) as guest:
        for packed in (False, True):
            options = {"precision": precision, "packed": packed}
            expected = encode(model, sequences, **options)
            np.testing.assert_array_equal(encode(guest, sequences, **options), expected)
        assert {weight.dtype for weight in _matrices(guest)} == {dtype}
        assert guest.config._attn_implementation == model.config._attn_implementation
        assert guest.training == model.training
    _assert_same_bits(model, bits)


def test_what_is_not_cast_is_shared_on_a_cpu_and_nothing_is_held_after_the_visit(tiny):
    model = load_encoder(tiny("bert"))
    with visiting(model, CPU, torch.bfloat16) as guest:
        shared = [p.data_ptr() for p in guest.parameters() if p.dtype == torch.float32]
        assert set(shared) < {p.data_ptr() for p in model.parameters()}
        assert len(shared) + len(_matrices(guest)) == len(list(model.parameters()))
    assert all(tensor.is_meta for tensor in guest.state_dict().values())
    assert not any(tensor.is_meta for tensor in model.state_dict().values())


def test_a_visit_that_fails_holds_nothing_either(tiny, monkeypatch):
    model, freed = load_encoder(tiny("bert")), []
    monkeypatch.setattr(_placement, "free", freed.append)
    with pytest.raises(KeyboardInterrupt), visiting(model, CPU, torch.bfloat16) as guest:
        raise KeyboardInterrupt
    assert all(tensor.is_meta for tensor in guest.state_dict().values())
    assert freed == [CPU]


def test_there_is_nothing_to_copy_in_float32_on_a_cpu(tiny):
    model = load_encoder(tiny("bert"))
    with visiting(model, CPU, torch.float32) as guest:
        assert guest is model


def test_weights_that_do_not_fit_are_told_of(tiny, monkeypatch):
    def fail(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = load_encoder(tiny("bert"))
    monkeypatch.setattr(_placement, "_moved", fail)
    with (
        pytest.raises(ArenaError, match="for the weights. Take a smaller encoder"),
        visiting(model, CPU, torch.bfloat16),
    ):
        pass


def test_threads_take_turns_on_a_gpu_and_a_cpu_serves_them_at_once(monkeypatch):
    """So that a GPU holds one copy at a time."""
    events, met = [], threading.Barrier(2)
    monkeypatch.setattr(_placement, "_copy", lambda *args: torch.nn.Module())
    monkeypatch.setattr(_placement, "free", lambda device: events.append("leaves"))

    def visit(device):
        with visiting(None, torch.device(device), torch.bfloat16):
            events.append("computes")
            with contextlib.suppress(threading.BrokenBarrierError):
                met.wait(timeout=0.2 if device == "cuda" else None)

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
        placing_fixed(model, CPU, torch.bfloat16),
    ):
        kinds = {weight.dtype: weight.requires_grad for weight in _matrices(model)}
        assert kinds == {torch.float32: True, torch.bfloat16: False}
        assert {weight.dtype for weight in _matrices(upper)} == {torch.float32}
        if error is not None:
            raise error
    _assert_same_bits(model, bits)
    assert all(parameter is own[name] for name, parameter in model.named_parameters())
