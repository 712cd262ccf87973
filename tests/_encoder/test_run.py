from unittest.mock import Mock

import numpy as np
import pytest
import torch
from tiny_encoders import FAMILIES, POOLINGS

from arena_estimators._encoder import _run
from arena_estimators._encoder._load import load_encoder
from arena_estimators._encoder._run import (
    digests,
    encode,
    encoding_bar,
    forward,
    pack,
    pad,
    resolve_device,
    send,
)
from arena_estimators._encoder._tokenise import Sequences


@pytest.fixture
def bert(tiny):
    return load_encoder(tiny("bert"))


def test_pad(sequences):
    inputs = pad(sequences, [3, 0], pad_id=9)
    assert inputs["input_ids"].tolist() == [[*_ids(sequences, 3), 9, 9], _ids(sequences, 0)]
    assert inputs["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert set(inputs) == {"input_ids", "attention_mask"}


def test_pack(sequences):
    inputs = pack(sequences, [3, 0])
    assert inputs["input_ids"].tolist() == [[*_ids(sequences, 3), *_ids(sequences, 0)]]
    assert inputs["position_ids"].tolist() == [[0, 0, 1, 2]]
    assert inputs["cu_seqlens"].tolist() == [0, 1, 4]
    assert inputs["cu_seqlens"].dtype == torch.int32
    assert inputs["max_length"] == 3


def test_pack_to_a_fixed_shape(sequences):
    inputs = pack(sequences, [3, 0], 11, max_sequences=7, max_length=4, pad_id=9)
    assert inputs["input_ids"].shape == inputs["position_ids"].shape == (1, 11)
    assert inputs["input_ids"][0, 4:].tolist() == [9] * 7
    assert inputs["cu_seqlens"].tolist() == [0, 1, 4, 8, 11, 11, 11, 11]
    assert inputs["position_ids"].tolist() == [[0, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2]]
    assert inputs["max_length"] == 4


def test_a_sequence_without_tokens():
    empty = Sequences(np.empty(0, dtype=np.int32), np.array([0, 0]), None)
    assert pad(empty, [0])["attention_mask"].tolist() == [[0]]
    assert pack(empty, [0])["max_length"] == 1


def test_pack_refuses_what_does_not_fit(sequences):
    with pytest.raises(ValueError, match="44 tokens do not fit into a budget of 40"):
        pack(sequences, [0, 1, 3], 40)
    with pytest.raises(ValueError, match="3 sequences do not fit into 2"):
        pack(sequences, [0, 1, 3], max_sequences=2)


def test_token_types_are_packed_and_padded_too(sequences):
    sequences.types = (sequences.ids % 2).astype(np.uint8)
    for make in (pad, pack):
        inputs = make(sequences, [0, 2])
        mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).bool()
        expected = inputs["input_ids"][mask] % 2
        assert inputs["token_type_ids"][mask].tolist() == expected.tolist()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("make", [pad, pack])
def test_pooling(sequences, make, pooling):
    """A model whose hidden state is the token id pools to what numpy computes."""
    pooled = forward(_Echo(), make(sequences, range(9)), pooling=pooling)
    reduce = {"mean": np.mean, "cls": lambda v: v[0], "last": lambda v: v[-1], "max": np.max}
    expected = [reduce[pooling](_ids(sequences, i)) for i in range(9)]
    np.testing.assert_allclose(pooled[:, 0].numpy(), expected, rtol=1e-6)
    assert pooled.dtype == torch.float32


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_of_a_fixed_shape(sequences, pooling):
    inputs = pack(sequences, [3, 0], 50, max_sequences=30, max_length=20)
    pooled = forward(_Echo(), inputs, pooling=pooling)
    assert pooled.shape == (30, 2)
    assert torch.isfinite(pooled).all()
    exact = forward(_Echo(), pack(sequences, [3, 0]), pooling=pooling)
    torch.testing.assert_close(pooled[:2], exact)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_vector_does_not_depend_on_its_company(tiny, sequences, family):
    model = load_encoder(tiny(family))
    for pooling in POOLINGS:
        together = encode(model, sequences, pooling=pooling, batch_tokens=10_000)
        alone = encode(model, sequences, pooling=pooling, batch_tokens=1)
        assert together.shape == (9, 32)
        assert together.dtype == np.float32
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)
        assert together.std(axis=0).min() > 1e-3


def test_order_changes_no_bit(bert, sequences):
    order = np.array([4, 8, 1, 0, 3, 2, 7, 6, 5])
    expected = encode(bert, sequences, batch_tokens=100)
    np.testing.assert_array_equal(
        encode(bert, sequences.take(order), batch_tokens=100), expected[order]
    )


def test_encode_leaves_the_model_as_it_was(bert, sequences):
    bert.train()
    first, second = (encode(bert, sequences) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert bert.training
    assert all(parameter.grad is None for parameter in bert.parameters())


def test_no_sequences(bert, sequences):
    assert encode(bert, sequences.take([])).shape == (0, 32)


def test_half_precision_is_close(bert, sequences):
    half = encode(bert, sequences, precision="bf16")
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, encode(bert, sequences), atol=0.1)


def test_single_precision_is_used_amid_the_callers_autocast(bert, sequences):
    expected = encode(bert, sequences)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(encode(bert, sequences), expected)


def test_progress(bert, sequences, capsys):
    with encoding_bar(9, True) as bar:
        encode(bert, sequences, progress=bar)
    assert "9/9" in capsys.readouterr().err
    with encoding_bar(9, False) as bar:
        encode(bert, sequences, progress=bar)
    encode(bert, sequences)
    assert capsys.readouterr().err == ""


def test_digests_tell_content_apart(sequences):
    keys = digests(sequences)
    assert len(set(keys)) == len(sequences)
    assert digests(sequences.take([2, 2, 5])) == [keys[2], keys[2], keys[5]]
    assert set(digests(sequences, "other")).isdisjoint(keys)
    sequences.types = np.zeros_like(sequences.ids, dtype=np.uint8)
    assert set(digests(sequences)).isdisjoint(keys)


def test_resolve_device():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")


def _ids(sequences, i):
    return sequences.ids[sequences.offsets[i] : sequences.offsets[i + 1]].tolist()


class _Echo(torch.nn.Module):
    """A model whose hidden states are the token ids."""

    class config:
        model_type = "echo"

    def forward(self, input_ids, **kwargs):
        hidden = torch.stack([input_ids, -input_ids], dim=-1).float()
        return type("Output", (), {"last_hidden_state": hidden})


def test_take(sequences):
    some = sequences.take([5, 0])
    assert isinstance(some, Sequences)
    assert some.lengths.tolist() == [64, 3]
    assert some.ids[64:].tolist() == _ids(sequences, 0)


def test_sequences_taken_keep_their_token_types(sequences):
    sequences.types = (sequences.ids % 2).astype(np.uint8)
    some = sequences.take([5, 0])
    np.testing.assert_array_equal(some.types, some.ids % 2)


def test_token_types_an_encoder_does_not_know_are_the_last_it_knows(tiny, sequences):
    model = load_encoder(tiny("roberta"))  # of one type
    expected = encode(model, sequences)
    sequences.types = (np.arange(len(sequences.ids)) % 2).astype(np.uint8)
    for packed in (False, True):
        given = encode(model, sequences, packed=packed)
        np.testing.assert_allclose(given, expected, atol=1e-5)


def test_half_precision_is_used(tiny, sequences):
    model = load_encoder(tiny("bert"))
    full, half = (encode(model, sequences, precision=p) for p in ("fp32", "bf16"))
    assert np.abs(half - full).max() > 1e-5


def test_a_batch_keeps_to_the_budget_and_holds_similar_lengths(tiny, sequences, monkeypatch):
    model, shapes = load_encoder(tiny("bert")), []

    def spy(model, inputs, **options):
        shapes.append(inputs["input_ids"].shape)
        return forward(model, inputs, **options)

    monkeypatch.setattr(_run, "forward", spy)
    encode(model, sequences, batch_tokens=80)
    assert len(shapes) > 2
    assert max(n_sequences * longest for n_sequences, longest in shapes) <= 80
    longest = [longest for _, longest in shapes]
    assert longest == sorted(longest, reverse=True)


def test_auto_takes_the_gpu_and_any_may_be_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize(("device", "waits"), [("cuda", False), ("mps", True), ("cpu", True)])
def test_only_cuda_copies_without_waiting(device, waits):
    """On Apple's devices the copy would read memory that is another tensor's by then."""
    tensor = Mock()
    send(tensor, torch.device(device))
    tensor.to.assert_called_once_with(torch.device(device), non_blocking=not waits)
