"""What makes training fast on a device, repeatable, and tidy afterwards."""

import contextlib
import threading
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from arena_estimators.exceptions import ArenaError, warn
from arena_estimators.neural_network.model._prediction import MOST_TOKENS

_KEPT_TOKENS = 4096  # whose activations a CPU keeps for a gradient
_STEPS, _BATTLES = 200, 8  # that an epoch, and a step, should have at least
_SMALL = 1024  # an embedding of so many rows or fewer is a product on a GPU, and dense on a CPU
_RANDOMNESS = threading.RLock()


def tokens_of_batch(batch_tokens, lengths, batches_a_step):
    """Give the tokens of a batch; with few battles, "auto" takes fewer, to get enough steps.

    `lengths` are the tokens of each battle.
    """
    if batch_tokens != "auto":
        return batch_tokens
    step = max(lengths.sum() / _STEPS, lengths.mean() * _BATTLES)
    step += (batches_a_step - 1) * lengths.mean() / 2  # each further one ends half a battle short
    return max(1, min(MOST_TOKENS, int(step / batches_a_step)))


def tokens_kept(batch_tokens, device):
    """Give how many tokens' activations to keep for gradients; on a CPU fewer, to save memory."""
    return min(batch_tokens, _KEPT_TOKENS) if device.type == "cpu" else batch_tokens


@contextlib.contextmanager
def own_randomness(device):
    """Restore torch's random state afterwards; threads share it, so they take turns."""
    devices = [device] if device.type == "cuda" else []
    with _RANDOMNESS, torch.random.fork_rng(devices=devices):
        yield


def seed_torch(seed, device):
    """Seed what a fit on a device draws from, and no other GPU, whose numbers nobody restores."""
    if device.type not in ("cpu", "cuda"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextlib.contextmanager
def repeatable(device, wanted):
    """Make a GPU add up in the same order each time; a CPU does so anyway."""
    if device.type != "cuda" or not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(_cublas_is_repeatable(device))
        torch.utils.deterministic.fill_uninitialized_memory = False
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise ArenaError(
            "This encoder has an operation whose result on a GPU is not the same each time "
            f"({str(error).splitlines()[0][:120]}). Pass random_state=None to train it anyway."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warn)
        torch.utils.deterministic.fill_uninitialized_memory = fill


def _cublas_is_repeatable(device):
    """Try a product; cuBLAS may have been used before this module could set it up."""
    torch.use_deterministic_algorithms(True)
    square = torch.ones(2, 2, device=device)
    try:
        square @ square
    except RuntimeError:
        warn(
            "The GPU was used before BertPairClassifier was imported, so that two fits with the "
            "same random_state may differ slightly. Set CUBLAS_WORKSPACE_CONFIG=:4096:8 in the "
            "environment, or import it first."
        )
        return False
    return True


@contextlib.contextmanager
def fast_layers(encoder, device, dtype):
    """Replace what a GPU does slowly; the weights stay as they are.

    With autocast, layer norms return float32, and so all that is added to their results is float32
    too; here they return the type that the next product takes and use float32 only inside. The
    gradient of a small embedding (token types, positions) adds thousands of rows into a few; here
    it is a product.
    """
    changed = []
    for module in encoder.modules():
        faster = None if device.type == "cpu" else _faster(module, dtype)
        if faster is not None:
            changed.append(module)
            module.forward = faster
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _faster(module, dtype):
    """Give a faster `forward` for a module, or None if there is none.

    It is a partial, no closure, so that a callback can copy or pickle the module together with it.
    """
    if type(module) is nn.LayerNorm and dtype == torch.bfloat16:
        return partial(_norm_in, module, dtype)
    small = type(module) is nn.Embedding and module.num_embeddings <= _SMALL
    if small and module.weight.requires_grad:
        return partial(_look_up_by_product, module, dtype)
    return None


def _norm_in(module, dtype, hidden):
    with torch.autocast(hidden.device.type, enabled=False):
        weight = None if module.weight is None else module.weight.to(dtype)
        bias = None if module.bias is None else module.bias.to(dtype)
        shape = module.normalized_shape
        return functional.layer_norm(hidden.to(dtype), shape, weight, bias, module.eps)


def _look_up_by_product(module, dtype, ids):
    rows = torch.arange(module.num_embeddings, device=ids.device)
    one_hot = (ids.unsqueeze(-1) == rows).to(dtype)
    with torch.autocast(ids.device.type, enabled=False):
        return one_hot @ module.weight.to(dtype)


@contextlib.contextmanager
def sparse_embeddings(encoder, device):
    """Limit a vocabulary's gradient, on a CPU, to the words that were read, until `make_dense`.

    Otherwise zeros would be written for all other words, several times per step.
    """
    embeddings = [module for module in encoder.modules() if isinstance(module, nn.Embedding)]
    large = [module for module in embeddings if module.num_embeddings > _SMALL]
    vocabularies = large if device.type == "cpu" else []
    hooks = [module.register_forward_pre_hook(_choose) for module in vocabularies]
    try:
        yield
    finally:
        for module, hook in zip(vocabularies, hooks, strict=True):
            hook.remove()
            module.sparse = False


def _choose(module, _):
    """Make the gradient sparse unless a callback has hooked it; few functions take sparse ones."""
    weight = module.weight
    module.sparse = not (weight._backward_hooks or weight._post_accumulate_grad_hooks)


def make_dense(parameters):
    """Make sparse gradients dense; sparse ones added to them later only change their own rows."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()
