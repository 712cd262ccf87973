import numpy as np
import pytest
import tiny_encoders
import torch
from transformers import AlbertConfig, AutoModel, OPTConfig, XLMConfig, XLMRobertaXLConfig

from arena_estimators.neural_network.model._module import build_module
from arena_estimators.neural_network.training._optimizer import (
    make_optimizer,
    parameter_groups,
    rate_at,
)
from arena_estimators.neural_network.training._trainable import depths, freeze

SHAPE = {"architecture": "siamese", "pooling": "auto", "attention": "auto"}
SHAPE |= {"n_odd": 3, "n_even": 2, "n_classes": 3}
RATES = {"learning_rate": 1.0, "head_learning_rate": 7.0, "weight_decay": 0.1}
FAMILIES = ("bert", "distilbert", "gpt2", "llama", "modernbert", "t5", "deberta-v2")


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_found_in_every_family(tiny, family):
    encoder = build_module(tiny(family), **SHAPE).encoder
    of = depths(encoder)
    last = 3 if family == "modernbert" else 2
    assert set(of.values()) == set(range(last + 1))
    embeddings = encoder.get_input_embeddings().weight
    names = {name for name, parameter in encoder.named_parameters() if parameter is embeddings}
    assert {of[name] for name in names} == {0}


@pytest.mark.parametrize("family", tiny_encoders.FAMILIES)
def test_frozen_layers_give_what_they_gave(tiny, family):
    """Even where they read position tables that all layers share, whose names tell no layer."""
    encoder = build_module(tiny(family), **SHAPE).encoder
    freeze(encoder, 1)
    tokens = torch.arange(10, 40).reshape(1, -1)

    def read():
        with torch.inference_mode():
            return encoder(tokens, output_hidden_states=True).hidden_states

    before = read()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.rand(parameter.shape, generator=generator))
    after = read()
    assert torch.equal(before[1], after[1])
    assert not torch.equal(before[-1], after[-1])


def test_a_norm_after_all_layers_belongs_to_the_last():
    """Its name is also that of DeBERTa-v2's norm of positions, which is before all layers."""
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    encoder = AutoModel.from_config(XLMRobertaXLConfig(**sizes, vocab_size=99, num_hidden_layers=2))
    of = depths(encoder)
    assert of["encoder.LayerNorm.weight"] == of["encoder.LayerNorm.bias"] == 2


def test_what_is_listed_before_the_layers_but_follows_them_belongs_to_the_last():
    sizes = {"hidden_size": 32, "ffn_dim": 64, "word_embed_proj_dim": 16, "num_hidden_layers": 2}
    encoder = AutoModel.from_config(OPTConfig(**sizes, num_attention_heads=2, vocab_size=99))
    of = depths(encoder)
    assert of["decoder.project_in.weight"] == of["decoder.embed_tokens.weight"] == 0
    assert of["decoder.project_out.weight"] == 2
    encoder = AutoModel.from_config(OPTConfig(hidden_size=32, num_attention_heads=2, vocab_size=99))
    assert depths(encoder)["decoder.final_layer_norm.weight"] == 12


@pytest.mark.parametrize("kind", [AlbertConfig, XLMConfig])
def test_layers_without_a_number_are_one(kind):
    encoder = AutoModel.from_config(kind(hidden_size=32, num_attention_heads=2, n_layers=2))
    freeze(encoder, "embeddings")
    of = depths(encoder)
    assert set(of.values()) == {0, 1}
    assert {of[name] for name, p in encoder.named_parameters() if p.requires_grad} == {1}


def test_heads_have_a_rate_of_their_own_and_vectors_do_not_decay(tiny):
    module = build_module(tiny(), **SHAPE)
    rate, decay = {}, {}
    for group in parameter_groups(module, **RATES):
        for parameter in group["params"]:
            rate[parameter], decay[parameter] = group["lr"], group["weight_decay"]
    named = dict(module.named_parameters())
    assert set(rate) == set(named.values())
    assert {rate[p] for name, p in named.items() if name.startswith("encoder.")} == {1.0}
    assert {rate[p] for name, p in named.items() if name.startswith("heads.")} == {7.0}
    assert {decay[p] for p in named.values() if p.ndim > 1} == {0.1}
    assert {decay[p] for p in named.values() if p.ndim == 1} == {0.0}


@pytest.mark.parametrize(
    ("what", "fixed"), [(None, 0), ("embeddings", 1), (1, 2), (np.int64(2), 3), ("encoder", 3)]
)
def test_freeze_fixes_the_lowest_layers(tiny, what, fixed):
    module = build_module(tiny(), **SHAPE)
    encoder = module.encoder
    freeze(encoder, what)
    of = depths(encoder)
    still = {of[name] for name, p in encoder.named_parameters() if not p.requires_grad}
    learning = {of[name] for name, p in encoder.named_parameters() if p.requires_grad}
    assert still == set(range(fixed))
    assert learning == set(range(fixed, 3))
    grouped = [p for group in parameter_groups(module, **RATES) for p in group["params"]]
    assert set(grouped) == {p for p in module.parameters() if p.requires_grad}


@pytest.mark.parametrize(("kind", "fused"), [("cpu", True), ("cuda", True), ("mps", False)])
def test_a_step_is_one_kernel_where_a_device_surely_has_it(tiny, kind, fused):
    module = build_module(tiny(), **SHAPE)
    assert make_optimizer(module, torch.device(kind), **RATES).defaults["fused"] == fused


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_rates_rise_then_fall(schedule):
    rates = [rate_at(step, 100, warmup=0.1, schedule=schedule) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    falling = rates[10:]
    assert falling == sorted(falling, reverse=True)
    assert (falling[-1] == 1.0) == (schedule == "constant")
    assert all(rate > 0 for rate in rates)


def test_no_warm_up_starts_at_the_top():
    assert rate_at(0, 10, warmup=0, schedule="linear") == 1.0
    assert rate_at(0, 1, warmup=1.0, schedule="linear") == 1.0


def test_a_warm_up_is_rounded_up_to_whole_steps():
    rates = [rate_at(step, 15, warmup=0.1, schedule="constant") for step in range(3)]
    assert rates == pytest.approx([0.5, 1.0, 1.0])
    assert rate_at(0, 100, warmup=0.07, schedule="constant") == pytest.approx(1 / 7)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("linear", [0.75, 0.5, 0.25]), ("cosine", [(2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4])],
)
def test_after_the_warm_up_rates_fall_to_nothing(schedule, expected):
    rates = [rate_at(step, 50, warmup=0.2, schedule=schedule) for step in (20, 30, 40)]
    assert rates == pytest.approx(expected)
