"""What only a GPU can show."""

import pickle

import numpy as np
import pytest
import torch

from arena_estimators import BertPairClassifier, swap, swap_proba

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.fixture(scope="module")
def fitted(tiny, learnable):
    X, y = learnable
    model = BertPairClassifier(
        tiny(), max_length=64, batch_tokens=2048, n_epochs=3, learning_rate=1e-3, random_state=0
    )
    return model.fit(X, y)


def test_packed_and_padded_agree(fitted, learnable):
    X, y = learnable
    padded = BertPairClassifier(**(fitted.get_params() | {"attention": "sdpa"}))
    padded.fit(X, y)
    packed_proba = fitted.predict_proba(X)
    np.testing.assert_allclose(padded.loss_curve_[0], fitted.loss_curve_[0], atol=0.05)
    fitted.set_params(attention="sdpa")
    np.testing.assert_allclose(fitted.predict_proba(X), packed_proba, atol=0.02)
    fitted.set_params(attention="auto")


def test_swaps_exactly_and_frees_the_device(fitted, learnable):
    X, _ = learnable
    proba = fitted.predict_proba(X)
    np.testing.assert_array_equal(fitted.predict_proba(swap(X)), swap_proba(proba))
    assert torch.cuda.memory_allocated() < 2**20
    assert next(fitted.net_.module_.parameters()).device.type == "cpu"


def test_pickles_move_between_devices(fitted, learnable):
    X, _ = learnable
    expected = fitted.predict_proba(X)
    on_cpu = pickle.loads(pickle.dumps(fitted)).set_params(device="cpu")
    np.testing.assert_allclose(on_cpu.predict_proba(X), expected, atol=0.03)
    back = pickle.loads(pickle.dumps(on_cpu)).set_params(device="cuda")
    np.testing.assert_array_equal(back.predict_proba(X), expected)


def test_compiled_training_agrees(fitted, learnable):
    X, y = learnable
    compiled = BertPairClassifier(**(fitted.get_params() | {"compile": True})).fit(X, y)
    np.testing.assert_allclose(compiled.loss_curve_[0], fitted.loss_curve_[0], atol=0.05)
