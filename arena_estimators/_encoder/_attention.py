"""Attention over sequences packed end to end, as a transformers attention function.

One function, registered under `NAME`, serves both kinds of input: packed, where the caller gives
cumulative lengths, and padded, where a mask is built and torch's own attention runs.
"""

import inspect

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from arena_estimators.exceptions import ArenaError

try:
    from torch.nn.attention.varlen import varlen_attn

    if "window_size" not in inspect.signature(varlen_attn).parameters:
        varlen_attn = None  # torch 2.10
except ImportError:  # torch < 2.10
    varlen_attn = None

NAME = "arena_packed"

# Families whose attention is plain softmax(QK) over absolute or rotary positions. The others add a
# bias per pair of positions (DeBERTa, T5, MPNet) or cap logits (Gemma 2).
_PACKING = frozenset(
    "bert roberta xlm-roberta camembert distilbert electra modernbert "
    "gpt2 qwen2 qwen3 llama mistral gemma".split()
)
_OFFSET_BY_PADDING = frozenset(
    "roberta xlm-roberta camembert mpnet longformer data2vec-text xlm-roberta-xl "
    "roberta-prelayernorm ibert xmod luke markuplm lilt".split()
)


def position_offset(config):
    """Give the position of a sequence's first token (RoBERTa counts from padding_idx + 1)."""
    return config.pad_token_id + 1 if config.model_type in _OFFSET_BY_PADDING else 0


def supports_packing(model, config):
    """Tell whether an encoder (or its class) gives the same results for packed and padded input."""
    replaceable = getattr(model, "_supports_attention_backend", False)
    return replaceable and config.model_type in _PACKING


def caps_logits(config):
    """Tell whether an encoder's attention caps its logits (Gemma 2); torch's own cannot.

    Some versions of transformers use torch's all the same, and drop the cap without a warning.
    """
    return getattr(config, "attn_logit_softcapping", None) is not None


def require(attention, model, config):
    """Refuse a way to attend that an encoder, or its class, does not have."""
    possible = {
        "packed": supports_packing(model, config),
        "sdpa": model._supports_sdpa and not caps_logits(config),
    }
    if not possible.get(attention, True):
        raise ArenaError(
            f"attention={attention!r} is not possible for the family {config.model_type!r}; "
            "pass attention='auto'."
        )


def can_pack(model, device, dtype):
    """Tell whether to pack: after `enable`, where torch's kernel runs (CUDA, half precision).

    In a model without `enable`, packed sequences would attend to each other.
    """
    config = model.config
    enabled = config._attn_implementation == NAME
    if torch.device(device).type != "cuda" or not enabled:
        return False
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    built = torch.backends.cuda.is_flash_attention_available()  # not on Windows
    known = built and _has_kernel(dtype, size)
    return known and torch.cuda.get_device_capability(device) >= (8, 0)


def enable(model, *, required=False):
    """Let a model take packed input beside padded input, where its family supports it."""
    if required:
        require("packed", model, model.config)
    if supports_packing(model, model.config):
        model.set_attn_implementation(NAME)


def packed_attention(module, query, key, value, attention_mask, scaling=None, **kwargs):
    """Attend within each sequence of a packed row; padded input goes to torch's attention.

    Neither drops attention weights at random: the packed kernel cannot, and a fit should not
    depend on which of the two a machine has.
    """
    kwargs.pop("dropout", None)
    ends = kwargs.get("cu_seq_lens_q")
    if ends is None:
        tensors = query, key, value, attention_mask
        slow = query.device.type == "cpu" and value.dtype == torch.bfloat16 and value.requires_grad
        attend = _attend_in_float32 if slow else sdpa_attention_forward
        return attend(module, *tensors, scaling=scaling, **kwargs)
    causal = kwargs.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    longest, window = kwargs["max_length_q"], kwargs.get("sliding_window")
    # A window as long as the longest sequence hides nothing, but keeps torch (from 2.14 on) from
    # choosing cuDNN's kernel on some GPUs: before cuDNN 9.25, that does not handle the sequences
    # without tokens that fill up a row of fixed shape.
    left = longest if window is None else window - 1
    # (1, heads, tokens, size) -> (tokens, heads, size); not by [0], whose gradient is a copy
    query, key, value = (tensor.squeeze(0).transpose(0, 1) for tensor in (query, key, value))
    shared = query.shape[1] // key.shape[1]  # how many heads read one key and value
    if shared > 1:
        key, value = (tensor.repeat_interleave(shared, dim=1) for tensor in (key, value))
    fast = query.is_cuda and _has_kernel(value.dtype, value.shape[-1])
    run = varlen_attn if fast else reference_varlen
    attended = run(
        query.to(value.dtype),
        key.to(value.dtype),
        value,
        ends,
        ends,
        longest,
        longest,
        scale=scaling,
        window_size=(left, 0 if causal else left),
    )
    return attended.unsqueeze(0), None


def _attend_in_float32(module, query, key, value, attention_mask, **kwargs):
    """Attend in float32: on a CPU torch's gradient in bfloat16 takes several times as long."""
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    tensors = query.float(), key.float(), value.float(), attention_mask
    with torch.autocast(query.device.type, enabled=False):
        attended, weights = sdpa_attention_forward(module, *tensors, **kwargs)
    return attended.to(value.dtype), weights


def reference_varlen(query, key, value, ends, _, max_q, max_k, *, scale, window_size):
    """Do what `torch.nn.attention.varlen.varlen_attn` does, one sequence after the other."""
    pieces = []
    bounds = ends.tolist()
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        if stop == start:
            continue
        q, k, v = (tensor[start:stop].transpose(0, 1) for tensor in (query, key, value))
        attended = torch.nn.functional.scaled_dot_product_attention(
            q[None],
            k[None],
            v[None],
            attn_mask=_window_mask(stop - start, window_size, query.device),
            scale=scale,
        )
        pieces.append(attended[0].transpose(0, 1))
    return torch.cat(pieces)


def _window_mask(length, window_size, device):
    left, right = window_size
    if min(left, right) >= length:
        return None
    place = torch.arange(length, device=device)
    ahead = place[None, :] - place[:, None]  # key position less query position
    return (ahead >= -left) & (ahead <= right)


def _has_kernel(dtype, size):
    """Tell whether torch's kernel takes heads of this type and size."""
    half = dtype in (torch.bfloat16, torch.float16)
    return varlen_attn is not None and half and size % 8 == 0 and size <= 256


def _mask(*args, attention_mask=None, **kwargs):
    """Build torch's mask for padded input; packed input has no mask and needs none."""
    if attention_mask is None:
        return None
    return sdpa_mask(*args, attention_mask=attention_mask, **kwargs)


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _mask)
