import numpy as np
import pytest
import torch
from tiny_encoders import FAMILIES

from arena_estimators._encoder._load import load_encoder, load_tokenizer
from arena_estimators._encoder._run import forward, pad
from arena_estimators._encoder._tokenise import tokenise
from arena_estimators.neural_network.model import _module
from arena_estimators.neural_network.model._module import PairModule
from arena_estimators.neural_network.training._trainable import add_lora, disable_dropout


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_gradients_of_responses_that_meet_many_others_are_the_same_each_time(
    monkeypatch, two_threads
):
    """On a CPU of several cores; torch adds in the order in which its threads happen to come."""
    rng = np.random.default_rng(0)
    vectors = torch.from_numpy(rng.normal(size=(5, 384))).float().requires_grad_()
    rows = torch.from_numpy(rng.integers(5, size=(4000, 2)))
    by = torch.from_numpy(rng.normal(size=(4000, 2, 384))).float()
    monkeypatch.setattr(_module._run, "forward", lambda *args, **kwargs: vectors)
    module = PairModule(None, lambda pooled, odd, even: pooled * by, "mean")
    gradients = set()
    for _ in range(20):
        vectors.grad = None
        module([None], rows, None, None).sum().backward()
        gradients.add(vectors.grad.numpy().tobytes())
    assert len(gradients) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_without_dropout_an_encoder_gives_in_training_what_it_gives_later(tiny, learnable, family):
    X, _ = learnable
    encoder = load_encoder(tiny(family))
    disable_dropout(encoder)
    sequences = tokenise(X[:4], load_tokenizer(tiny(family)), max_length=64).sequences
    inputs = pad(sequences, range(8), pad_id=encoder.config.pad_token_id)
    later = forward(encoder, inputs, pooling="mean")
    assert torch.equal(forward(encoder.train(), inputs, pooling="mean"), later)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_adapters_read_what_their_layer_reads(tiny, family):
    """In half precision peft would cast it to float32, only for autocast to cast it back."""
    from peft.tuners.lora import LoraLayer

    encoder = load_encoder(tiny(family))
    given = {}

    def note(module, arguments):
        given[module] = arguments[0].dtype

    lora = add_lora(encoder, 2)
    layers = [part for part in lora.modules() if isinstance(part, LoraLayer)]
    for layer in layers:
        layer.register_forward_pre_hook(note)
        layer.lora_A["default"].register_forward_pre_hook(note)
    ids = torch.arange(8)[None]
    with torch.autocast("cpu", torch.bfloat16):
        encoder(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert torch.bfloat16 in given.values()
    for layer in layers:
        assert given[layer.lora_A["default"]] == given[layer]
