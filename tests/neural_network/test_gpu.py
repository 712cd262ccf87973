"""What only a GPU can show."""

import pickle

import numpy as np
import pytest
import torch
from bert_pairs import NoDropout
from marks import needs_compiler, needs_cuda, needs_kernel

from arena_estimators import BertPairClassifier, swap, swap_proba
from arena_estimators._encoder._attention import can_pack
from arena_estimators.neural_network.training import _compile

pytestmark = [pytest.mark.gpu, needs_cuda]

COMPILED = pytest.param({"compile": True}, marks=needs_compiler)


@pytest.fixture(scope="module")
def fitted(tiny, learnable):
    X, y = learnable
    model = BertPairClassifier(
        tiny(), max_length=64, batch_tokens=2048, n_epochs=3, learning_rate=1e-3, random_state=0
    )
    return model.fit(X, y)


@needs_kernel
def test_packed_and_padded_predictions_agree(fitted, learnable):
    X, _ = learnable
    assert can_pack(fitted.network_.module.encoder, "cuda", torch.bfloat16)
    read = {}
    for name, parameters in {
        "packed": {},
        "padded": {"attention": "sdpa"},
        "exact": {"device": "cpu", "precision": "fp32"},
    }.items():
        before = fitted.get_params()
        read[name] = fitted.set_params(**parameters).encode(X)
        fitted.set_params(**before)
    noise = np.abs(read["padded"] - read["exact"]).mean()
    assert np.abs(read["packed"] - read["exact"]).mean() <= 1.5 * noise + 1e-3


# The first loss is that of the class shares, whatever the encoder does; only later ones tell.
@needs_kernel
@pytest.mark.parametrize("other", [{"attention": "sdpa"}, COMPILED])
def test_ways_of_training_agree(small, learnable, capsys, other):
    whole = {"batch_tokens": 16384, "n_epochs": 10, "warmup": 0.0, "validation_fraction": 0.0}
    whole |= {"head_learning_rate": 3e-3, "style_features": False}
    whole |= {"precision": "bf16", "verbose": 1, "callbacks": [NoDropout()]}
    curves, said = [], []
    for given in ({}, other):
        curves.append(small(**whole, **given).fit(*learnable).loss_curve_)
        said.append(capsys.readouterr().out)
    assert "packed" in said[0] and "compiled" not in said[0]
    assert ("compiled" if "compile" in other else "padded") in said[1]
    assert curves[0][-1] < curves[0][0] - 0.05
    np.testing.assert_allclose(*curves, atol=0.01)


@pytest.mark.parametrize(
    "given",
    [{}, {"attention": "sdpa"}, {"architecture": "cross", "max_length": 96}, COMPILED],
)
def test_a_seed_gives_the_same_weights(small, learnable, given):
    first, second = (small(precision="auto", **given).fit(*learnable) for _ in range(2))
    np.testing.assert_array_equal(first.loss_curve_, second.loss_curve_)
    others = second.network_.module.state_dict()
    for name, value in first.network_.module.state_dict().items():
        assert torch.equal(value, others[name]), name


@needs_kernel
@needs_compiler
def test_a_training_is_compiled_once(small, learnable, monkeypatch):
    compile_graph, compiled = _compile._inductor_after_merging, []

    def count(graph_module, inputs):
        compiled.append(graph_module)
        return compile_graph(graph_module, inputs)

    monkeypatch.setattr(_compile, "_inductor_after_merging", count)
    model = small(precision="bf16", compile=True).fit(*learnable)
    assert len(model.loss_curve_) > 2
    assert len(compiled) == 1


@pytest.mark.parametrize("given", [COMPILED, {"lora_rank": 2}])
def test_a_fit_leaves_nothing_on_the_device(small, learnable, given):
    small(precision="bf16", **given).fit(*learnable)
    assert torch.cuda.memory_allocated() < 2**20


def test_swaps_exactly_and_frees_the_device(fitted, learnable):
    X, _ = learnable
    proba = fitted.predict_proba(X)
    np.testing.assert_array_equal(fitted.predict_proba(swap(X)), swap_proba(proba))
    assert torch.cuda.memory_allocated() < 2**20
    assert next(fitted.network_.module.parameters()).device.type == "cpu"


def test_pickles_move_between_devices(fitted, learnable):
    X, _ = learnable
    expected = fitted.predict_proba(X)
    on_cpu = pickle.loads(pickle.dumps(fitted)).set_params(device="cpu")
    np.testing.assert_allclose(on_cpu.predict_proba(X), expected, atol=0.03)
    back = pickle.loads(pickle.dumps(on_cpu)).set_params(device="cuda")
    np.testing.assert_array_equal(back.predict_proba(X), expected)


def test_a_model_fitted_without_a_gpu_predicts_on_one(small, learnable):
    X, _ = learnable
    model = small(device="cpu").fit(*learnable)
    expected = model.predict_proba(X)
    loaded = pickle.loads(pickle.dumps(model)).set_params(device="cuda")
    np.testing.assert_allclose(loaded.predict_proba(X), expected, atol=1e-3)  # small is in fp32
