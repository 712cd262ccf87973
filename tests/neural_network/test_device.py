import contextlib
import copy
import pickle

import numpy as np
import pytest
import torch
from tiny_encoders import FAMILIES
from torch._dynamo.testing import CompileCounter

from arena_estimators._encoder import _attention, _run
from arena_estimators._encoder._batches import batches
from arena_estimators._encoder._load import load_encoder, load_tokenizer
from arena_estimators._encoder._modes import computing_in
from arena_estimators._encoder._tokenise import tokenise
from arena_estimators.neural_network.model._prediction import tokens_at_once
from arena_estimators.neural_network.training import _device
from arena_estimators.neural_network.training._device import (
    fast_layers,
    make_dense,
    repeatable,
    seed_torch,
    sparse_embeddings,
    tokens_kept,
    tokens_of_batch,
)


def is_changed(module):
    return "forward" in vars(module) or getattr(module, "sparse", False)


@pytest.fixture
def pooled(tiny, learnable):
    """Give a function that runs a family's encoder and its backward pass."""
    X, _ = learnable

    def run(family, dtype, *, changed, kind="cuda"):
        encoder = load_encoder(tiny(family))
        sequences = tokenise(X[:8], load_tokenizer(tiny(family)), max_length=64).sequences
        inputs = _run.pad(sequences, np.arange(16), pad_id=encoder.config.pad_token_id)
        half = torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32)
        fast = words = contextlib.nullcontext()
        if changed:
            device = torch.device(kind)
            fast, words = fast_layers(encoder, device, dtype), sparse_embeddings(encoder, device)
        with half, fast, words:
            vectors = _run.forward(encoder, inputs, pooling="mean")
            (vectors**2).sum().backward()
            make_dense(encoder.parameters())
            assert any(map(is_changed, encoder.modules())) == changed
        assert not any(map(is_changed, encoder.modules()))
        gradients = {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}
        return vectors.detach(), gradients

    return run


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "deberta-v2", "electra"])
def test_products_of_one_hot_rows_are_look_ups(pooled, family):
    plain, expected = pooled(family, torch.float32, changed=False)
    vectors, gradients = pooled(family, torch.float32, changed=True)
    torch.testing.assert_close(vectors, plain)
    assert set(gradients) == set(expected)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_cpu_every_familys_gradient_is_the_usual_one(pooled, monkeypatch, family, dtype):
    monkeypatch.setattr(_device, "_SMALL", 8)
    plain, expected = pooled(family, dtype, changed=False)
    vectors, gradients = pooled(family, dtype, changed=True, kind="cpu")
    assert torch.equal(vectors, plain)
    assert set(gradients) == set(expected)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rows", [_device._SMALL, _device._SMALL + 1])
def test_the_gradient_of_a_vocabulary_is_written_out_once(rows):
    """Those of later parts change only the rows of their own tokens."""
    part = torch.nn.Embedding(rows, 4, padding_idx=0)
    before, layouts = None, []
    with sparse_embeddings(torch.nn.Sequential(part), torch.device("cpu")):
        for ids in ([[3, 0, 3], [0, 1, 1]], [[3, 2, rows - 1]]):
            (part(torch.tensor(ids)) * torch.arange(4.0)).sum().backward()
            layouts.append(part.weight.grad.layout)
            make_dense(part.parameters())
            before = before or part.weight.grad.data_ptr()
    assert (layouts[0] == torch.sparse_coo) == (rows > _device._SMALL)
    assert layouts[1] == torch.strided and part.weight.grad.data_ptr() == before
    times = torch.zeros(rows).index_add_(
        0, torch.tensor([3, 1, 2, rows - 1]), torch.tensor([3.0, 2, 1, 1])
    )
    assert torch.equal(part.weight.grad, times[:, None] * torch.arange(4.0))


@pytest.mark.parametrize("family", ["bert", "modernbert", "gpt2"])
def test_what_a_gpu_is_spared_is_compiled_into_one_graph(tiny, learnable, monkeypatch, family):
    """In training: in half precision, with a backward pass after each batch."""

    def kernel(query, key, value, *arguments, **options):
        return query + key + value

    monkeypatch.setattr(_attention, "reference_varlen", kernel)
    torch._dynamo.reset()
    counter, encoder = CompileCounter(), load_encoder(tiny(family)).train()
    compiled = torch.compile(encoder, backend=counter, dynamic=False)
    sequences = tokenise(learnable[0][:8], load_tokenizer(tiny(family)), max_length=64).sequences
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    with fast_layers(encoder, cuda, torch.bfloat16), computing_in(torch.bfloat16, cpu):
        for some in ([0, 1, 2], [3], [8, 4, 7, 6]):
            inputs = _run.pack(sequences, some, 256, max_sequences=16, max_length=64)
            _run.forward(compiled, inputs, pooling="mean").sum().backward()
    assert counter.frame_count == 1


def test_half_precision_norms_stay_close(pooled):
    exact, gradients = pooled("bert", torch.float32, changed=False)
    usual, _ = pooled("bert", torch.bfloat16, changed=False)
    vectors, found = pooled("bert", torch.bfloat16, changed=True)
    error, usual_error = (vectors - exact).abs().mean(), (usual - exact).abs().mean()
    assert error < 3 * usual_error
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        close = torch.nn.functional.cosine_similarity(gradient.ravel(), gradients[name].ravel(), 0)
        assert close > 0.9 or gradients[name].abs().max() < 1e-3


def test_a_cpu_is_left_as_it_is():
    with repeatable(torch.device("cpu"), True):
        assert not torch.are_deterministic_algorithms_enabled()


def test_a_fit_on_one_gpu_leaves_the_random_state_of_others_alone(monkeypatch):
    """Only the state of the fit's own GPU is put back after it."""
    entered, seeded = [], []

    class Current:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            entered.append(self.device)

        def __exit__(self, *error):
            entered.append(None)

    monkeypatch.setattr(torch.cuda, "device", Current)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: seeded.append((seed, entered[-1])))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("seeded all"))
    second = torch.device("cuda", 1)
    with torch.random.fork_rng(devices=[]):
        seed_torch(3, second)
        assert torch.initial_seed() == 3
    assert seeded == [(3, second)] and entered == [second, None]


def test_all_of_apples_devices_are_seeded(monkeypatch):
    """torch has no function that seeds a single one."""
    seeded = []
    monkeypatch.setattr(torch, "manual_seed", seeded.append)
    seed_torch(3, torch.device("mps"))
    assert seeded == [3]


@pytest.mark.parametrize(("kind", "at_once", "kept"), [("cpu", 2048, 4096), ("cuda", 16384, 16384)])
def test_only_a_cpu_computes_a_step_in_small_parts(kind, at_once, kept):
    device = torch.device(kind)
    assert (tokens_at_once(16384, device), tokens_kept(16384, device)) == (at_once, kept)
    assert tokens_at_once(512, device) == tokens_kept(512, device) == 512
    assert tokens_at_once("auto", device) == at_once


@pytest.mark.parametrize(
    ("n_battles", "batches_a_step", "tokens"),
    [
        (100_000, 1, 16384),
        (100_000, 4, 16384),
        (5_000, 1, 5_000),  # two hundred steps
        (5_000, 4, 1_325),  # each batch but one has room for half a battle more
        (400, 1, 1_600),  # eight battles each
        (400, 2, 850),
        (1, 1000, 101),
    ],
)
def test_few_battles_make_smaller_batches(n_battles, batches_a_step, tokens):
    lengths = np.tile([150, 250], n_battles)[:n_battles]
    lengths[-1] += 200 * n_battles - lengths.sum()
    assert tokens_of_batch("auto", lengths, batches_a_step) == tokens
    assert tokens_of_batch(300, lengths, batches_a_step) == 300


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("batches_a_step", [2, 3, 4])
def test_few_battles_make_as_many_steps_of_several_batches(packed, batches_a_step):
    lengths = 2 * np.minimum(64, np.random.default_rng(0).integers(40, 200, 400))  # most are cut
    plan = {"shuffle": True, "random_state": 0, "packed": packed}

    def count_steps(size):
        dealt = batches(lengths, batch_tokens=tokens_of_batch("auto", lengths, size), **plan)
        return -(-len(dealt) // size)

    assert count_steps(batches_a_step) == pytest.approx(count_steps(1), rel=0.15)


@pytest.mark.parametrize(
    ("part", "dtype", "changes"),
    [
        (torch.nn.LayerNorm(4), torch.bfloat16, True),
        (torch.nn.LayerNorm(4), torch.float16, False),
        (torch.nn.LayerNorm(4), torch.float32, False),
        (torch.nn.Embedding(1024, 2), torch.float32, True),
        (torch.nn.Embedding(1025, 2), torch.float32, False),
        (torch.nn.Embedding(1024, 2).requires_grad_(False), torch.float32, False),
        (torch.nn.Dropout(0.1), torch.float32, False),
    ],
    ids=str,
)
def test_what_a_gpu_is_spared(part, dtype, changes):
    with fast_layers(torch.nn.Sequential(part), torch.device("cuda"), dtype):
        assert ("forward" in vars(part)) == changes


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))])
def test_a_copy_that_is_made_meanwhile_reads_its_own_weights(copy_of):
    parts = torch.nn.Sequential(torch.nn.Embedding(8, 4), torch.nn.LayerNorm(4))
    with fast_layers(parts, torch.device("cuda"), torch.bfloat16), torch.no_grad():
        expected, copied = parts(torch.arange(3)), copy_of(parts)
        for parameter in parts.parameters():
            parameter.zero_()
        assert expected.dtype == torch.bfloat16 and expected.any()
        assert torch.equal(copied(torch.arange(3)), expected)


@pytest.mark.parametrize("given", [{}, {"bias": False}, {"elementwise_affine": False}], ids=str)
def test_a_norm_in_half_precision_keeps_its_settings(given):
    norm = torch.nn.LayerNorm(8, eps=0.5, **given)
    hidden = torch.linspace(-1, 1, 24).reshape(3, 8)
    expected = norm(hidden)
    with fast_layers(torch.nn.Sequential(norm), torch.device("cuda"), torch.bfloat16):
        found = norm(hidden)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("wanted", [False, True])
def test_a_gpu_is_repeatable_only_where_asked_and_as_it_was_afterwards(monkeypatch, wanted):
    monkeypatch.setattr(_device, "_cublas_is_repeatable", lambda device: True)

    def look():
        fills = torch.utils.deterministic.fill_uninitialized_memory
        return torch.are_deterministic_algorithms_enabled(), fills

    assert look() == (False, True)
    with repeatable(torch.device("cuda"), wanted):
        assert look() == (wanted, not wanted)
    assert look() == (False, True)
