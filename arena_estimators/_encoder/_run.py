"""Run an encoder over sequences, padded or packed, and pool one vector a sequence."""

import contextlib
import hashlib
import traceback

import numpy as np
import torch
from tqdm.auto import tqdm

from arena_estimators._encoder import _attention
from arena_estimators._encoder._batches import batches
from arena_estimators._encoder._load import width_of
from arena_estimators._encoder._modes import computing_in, own_modes
from arena_estimators.exceptions import ArenaError

_CPU_TOKENS, _CUDA_TOKENS = 1024, 65536
# Texts of the memory errors for which torch has no class: those of drivers, cuBLAS and the CPU.
_RAN_OUT = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: ")


def pad(sequences, indices, *, pad_id=0):
    """Make padded tensors of some sequences.

    Parameters
    ----------
    sequences : Sequences
    indices : array-like of int
        Which of them, in which order.
    pad_id : int, default=0
        `model.config.pad_token_id`.

    Returns
    -------
    dict of str to Tensor
        `input_ids`, `attention_mask` and, where the tokenizer makes them, `token_type_ids`.
    """
    lengths, take = sequences.places(indices)
    mask = np.arange(lengths.max(initial=1)) < lengths[:, None]
    inputs = {"input_ids": np.full(mask.shape, pad_id), "attention_mask": mask.astype(np.int64)}
    inputs["input_ids"][mask] = sequences.ids[take]
    if sequences.types is not None:
        inputs["token_type_ids"] = np.zeros(mask.shape, dtype=np.int64)
        inputs["token_type_ids"][mask] = sequences.types[take]
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


def pack(sequences, indices, budget=None, *, max_sequences=None, max_length=None, pad_id=0):
    """Lay some sequences end to end in one row.

    Parameters
    ----------
    sequences : Sequences
    indices : array-like of int
    budget : int, optional
        Tokens of the row; the rest is filled with padding, so that every batch has one shape and
        torch.compile compiles once. By default the row is as long as its sequences.
    max_sequences : int, optional
        Number of sequences in the row, the padding's included, to keep that shape fixed too.
    max_length : int, optional
        Tokens of the longest sequence in any batch; by default, of the longest in this row.
    pad_id : int, default=0

    Returns
    -------
    dict
        Tensors `input_ids`, `position_ids` and, where the tokenizer makes them, `token_type_ids`,
        of shape (1, budget), and `cu_seqlens` of shape (max_sequences + 1,); and the int
        `max_length`. The sequences asked for come first.
    """
    lengths, take = sequences.places(indices)
    max_length = int(max_length or lengths.max(initial=1))
    total = int(lengths.sum())
    rest = (total if budget is None else budget) - total
    if rest < 0:
        raise ArenaError(f"{total} tokens do not fit into a budget of {budget}.")
    filler = [max_length] * (rest // max_length) + [rest % max_length] * (rest % max_length > 0)
    pieces = np.concatenate([lengths, np.array(filler, dtype=lengths.dtype)])
    empty = 0 if max_sequences is None else max_sequences - len(pieces)
    if empty < 0:
        raise ArenaError(f"{len(pieces)} sequences do not fit into {max_sequences}.")
    ends = np.cumsum(np.concatenate([[0], pieces, np.zeros(empty, dtype=pieces.dtype)]))
    ids = np.full((1, total + rest), pad_id, dtype=np.int64)
    ids[0, :total] = sequences.ids[take]
    positions = np.arange(total + rest) - np.repeat(ends[:-1], np.diff(ends))
    inputs = {"input_ids": ids, "position_ids": positions[None]}
    if sequences.types is not None:
        inputs["token_type_ids"] = np.zeros_like(ids)
        inputs["token_type_ids"][0, :total] = sequences.types[take]
    inputs["cu_seqlens"] = ends.astype(np.int32)
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    return {**tensors, "max_length": max_length}


def forward(model, inputs, *, pooling):
    """Run a model on what `pad` or `pack` made and pool one vector a sequence.

    Parameters
    ----------
    model : Module
        From `load_encoder`, in any mode, compiled or not.
    inputs : dict
        On the model's device.
    pooling : {"mean", "cls", "last", "max"}

    Returns
    -------
    Tensor of shape (n_sequences, hidden), float32
        For packed input as many rows as `cu_seqlens` has sequences; the first are those asked for.
    """
    arguments = {name: inputs[name] for name in ("input_ids", "attention_mask") if name in inputs}
    types = getattr(model.config, "type_vocab_size", None) or 0
    if types and "token_type_ids" in inputs:
        arguments["token_type_ids"] = inputs["token_type_ids"].clamp(max=types - 1)
    if "cu_seqlens" not in inputs:
        hidden = model(**arguments).last_hidden_state
        return _pool_padded(hidden, inputs["attention_mask"], pooling)
    ends = inputs["cu_seqlens"]
    hidden = model(
        **arguments,
        position_ids=inputs["position_ids"] + _attention.position_offset(model.config),
        cu_seq_lens_q=ends,
        cu_seq_lens_k=ends,
        max_length_q=inputs["max_length"],
        max_length_k=inputs["max_length"],
    ).last_hidden_state
    return _pool_packed(hidden.squeeze(0), ends.long(), pooling)


def _pool_padded(hidden, mask, pooling):
    if pooling == "cls":
        return hidden[:, 0].float()
    if pooling == "last":
        rows = torch.arange(len(hidden), device=hidden.device)
        return hidden[rows, mask.sum(1) - 1].float()
    real = mask.bool().unsqueeze(-1)
    if pooling == "max":
        return hidden.masked_fill(~real, -torch.inf).amax(1).float()
    summed = (hidden.float() * real).sum(1)
    return summed / mask.sum(1, keepdim=True)


def _pool_packed(hidden, ends, pooling):
    starts, stops = ends[:-1], ends[1:]
    if pooling == "cls":
        return hidden[starts.clamp(max=len(hidden) - 1)].float()
    if pooling == "last":
        return hidden[stops - 1].float()
    lengths = stops - starts
    if pooling == "max":
        place = torch.arange(len(hidden), device=hidden.device)
        segment = torch.searchsorted(stops, place, right=True)
        pooled = hidden.new_full((len(starts), hidden.shape[1]), -torch.inf)
        index = segment.unsqueeze(1).expand_as(hidden)
        # Not segment_reduce, whose gradient is wrong where several tokens have the maximum.
        pooled = pooled.scatter_reduce(0, index, hidden, "amax", include_self=True)
        return pooled.masked_fill((lengths == 0).unsqueeze(1), 0).float()
    # This adds in the order of the tokens on every device, as adding by index does not; `unsafe`
    # skips a check of the lengths, which would make the CPU wait for the GPU.
    return torch.segment_reduce(hidden.float(), "mean", lengths=lengths, initial=0.0, unsafe=True)


def resolve_device(device):
    """Give a torch device of this machine; "auto" is CUDA, then Apple's, then the CPU."""
    here = _devices()
    if device == "auto":
        return torch.device(here[-1].removesuffix(":0"))
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or not _is_here(found, here):
        raise ArenaError(
            f"device={str(device)!r} is no torch device of this machine, which has "
            f"{' and '.join(here)}. Pass one of these, or 'auto'."
        )
    return found


def _devices():
    """Name the devices of this machine, the best last."""
    apple = ["mps"] * torch.backends.mps.is_available()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ["cpu", *apple, *(f"cuda:{number}" for number in reversed(range(count)))]


def _is_here(device, here):
    if device.type in ("cpu", "mps"):
        return device.type in here
    if device.type == "cuda":
        return f"cuda:{device.index or 0}" in here
    try:  # a kind of device this library does not know
        return torch.empty(0, device=device).device.type not in ("meta", "cpu")
    except Exception:  # each kind has errors of its own
        return False


def resolve_precision(precision, device, *, training=False):
    """Give the type to compute in; the weights are float32 in any case."""
    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if _gpu_has_bf16(device) else torch.float16
    return torch.bfloat16 if training and _cpu_has_bf16(device) else torch.float32


def _gpu_has_bf16(device):
    """Tell whether a GPU has instructions for bfloat16; torch tells it of the current one only."""
    return bool(torch.version.hip) or torch.cuda.get_device_capability(device) >= (8, 0)


def _cpu_has_bf16(device):
    """Tell whether a device is a CPU with instructions for bfloat16, not one that emulates it."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older torch does not tell
    return device.type == "cpu" and capabilities.get("avx512_bf16", False)


@own_modes()
def encode(
    model,
    sequences,
    *,
    pooling="mean",
    device="cpu",
    batch_tokens=None,
    precision="fp32",
    packed="auto",
    progress=None,
):
    """Pool one vector for each sequence, without gradients, in eval mode.

    Batches are made of sequences of similar length in an order that only their content decides,
    so the result does not depend on the order they are given in.

    Parameters
    ----------
    model : Module
        From `load_encoder`; it is moved to `device` and left there.
    sequences : Sequences
    pooling : {"mean", "cls", "last", "max"}, default="mean"
    device : str or torch.device, default="cpu"
        "auto" takes the GPU if there is one.
    batch_tokens : int, optional
        Tokens of a batch, padding included; by default 65,536 on CUDA and 1,024 elsewhere, because
        a CPU's caches are small.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="fp32"
    packed : bool or "auto", default="auto"
        "auto" packs where torch's kernel for it runs: CUDA in half precision.
    progress : tqdm, optional
        An `encoding_bar` to move on.

    Returns
    -------
    ndarray of shape (len(sequences), hidden), float32

    Raises
    ------
    ArenaError
        If memory runs out, or if a vector is not finite, as with large activations in float16.
    """
    device = resolve_device(device)
    dtype = resolve_precision(precision, device)
    if packed == "auto":
        packed = _attention.can_pack(model, device, dtype)
    batch_tokens = batch_tokens or (_CUDA_TOKENS if device.type == "cuda" else _CPU_TOKENS)
    keys = digests(sequences)
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    grouped = batches(sequences.lengths[order], batch_tokens=batch_tokens, packed=packed)
    make, pad_id = (pack if packed else pad), model.config.pad_token_id or 0
    was_training = model.training
    model.to(device).eval()
    vectors = []  # on the device, so that it never waits for the next batch to be made
    advice = f"at batch_tokens={batch_tokens}. Halve batch_tokens, or take a smaller encoder."
    with explaining_memory(advice), torch.inference_mode(), computing_in(dtype, device):
        for batch in grouped:
            inputs = _moved(make(sequences, order[batch], pad_id=pad_id), device)
            vectors.append(forward(model, inputs, pooling=pooling))
            if progress is not None:
                progress.update(len(batch))
    model.train(was_training)
    if not vectors:
        return np.empty((0, width_of(model.config)), dtype=np.float32)
    pooled = torch.cat(vectors).cpu().numpy()
    if not np.isfinite(pooled).all():
        advice = "its weights are damaged" if dtype == torch.float32 else "pass precision='fp32'"
        raise ArenaError(f"The encoder's vectors are not finite in {dtype}: {advice}.")
    result = np.empty_like(pooled)
    result[order[np.concatenate(grouped)]] = pooled
    return result


def encoding_bar(n_texts, shown):
    """Make a progress bar of texts encoded."""
    return tqdm(total=n_texts, disable=not shown, unit="text", desc="encode")


def _moved(inputs, device):
    """Copy a batch to a device, to CUDA without waiting for it."""
    tensors = {name: value for name, value in inputs.items() if torch.is_tensor(value)}
    if device.type == "cuda":
        tensors = {name: value.pin_memory() for name, value in tensors.items()}
    return inputs | {name: send(value, device) for name, value in tensors.items()}


def send(tensor, device):
    """Copy a tensor to a device, to CUDA without waiting for it.

    Without waiting, Apple's devices would read memory that may be another tensor's by then.
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


@contextlib.contextmanager
def explaining_memory(advice):
    """Say what helps when a device runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        ran_out = isinstance(error, torch.OutOfMemoryError)
        if not ran_out and not any(said in str(error) for said in _RAN_OUT):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the activations
        raise ArenaError(f"The device ran out of memory {advice}") from error


def digests(sequences, context=""):
    """Give 16 bytes for each sequence: a digest of `context` and of the sequence's content."""
    start = hashlib.blake2b(context.encode(), digest_size=16)
    keys = []
    for i in range(len(sequences)):
        tokens = slice(sequences.offsets[i], sequences.offsets[i + 1])
        digest = start.copy()
        digest.update(sequences.ids[tokens].tobytes())
        if sequences.types is not None:
            digest.update(sequences.types[tokens].tobytes())
        keys.append(digest.digest())
    return keys
