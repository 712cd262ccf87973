"""Which of an encoder's weights are trained, and how."""

import re

from torch import nn
from transformers.pytorch_utils import Conv1D

# bert.encoder.layer.3., gpt2 h.3., t5 block.3., llama layers.3.
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|block|blocks)\.(\d+)\.")
_EMBEDDING = re.compile(r"embed|^w[tp]e|relative_attention_bias")  # GPT-2's wte, MPNet's positions
_AFTER = re.compile(r"final_layer_norm|project_out")  # listed by OPT before the layers they follow
_RELATIVE, _THEIR_NORM = "encoder.rel_embeddings.weight", "encoder.LayerNorm."  # DeBERTa-v2's


def prepare(encoder, plan):
    """Fix what is not trained, put adapters in and dropout out, as a plan says.

    Parameters
    ----------
    encoder : PreTrainedModel
    plan : TrainingPlan

    Returns
    -------
    LoraModel or None
        Its `merge_and_unload()` folds the adapters into the weights again.
    """
    disable_dropout(encoder)
    freeze(encoder, plan.freeze)
    lora = add_lora(encoder, plan.lora_rank) if plan.lora_rank else None
    if plan.gradient_checkpointing:
        enable_checkpointing(encoder)
    return lora


def depths(encoder):
    """Give for each parameter of an encoder the layer it belongs to; embeddings are in layer 0.

    So are position tables that lie outside the layers and that all layers read.

    Returns
    -------
    dict of str to int
        Parameters after the last layer count as part of it.
    """
    found = {name: _LAYER.search(name) for name, _ in encoder.named_parameters()}
    layers = {name: int(match.group(1)) + 1 for name, match in found.items() if match}
    last = max(layers.values(), default=1)
    deep, seen = {}, not layers  # ALBERT's and XLM's have no number: all are one layer
    for name in found:
        seen = seen or name in layers
        norm = _RELATIVE in found and name.startswith(_THEIR_NORM)  # in others, after the layers
        before = norm or _EMBEDDING.search(name) or not (seen or _AFTER.search(name))
        deep[name] = layers.get(name, 0 if before else last)
    return deep


def freeze(encoder, what):
    """Fix nothing (None), "embeddings", "encoder", or embeddings and this many lowest layers."""
    if what is None:
        return
    depth_of = depths(encoder)
    upto = {"embeddings": 0, "encoder": max(depth_of.values())}.get(what, what)
    for name, parameter in encoder.named_parameters():
        learns = bool(depth_of[name] > upto)  # not NumPy's bool (a grid's), which torch refuses
        parameter.requires_grad_(learns)


def disable_dropout(encoder):
    """Turn off an encoder's dropout: a fit is too short to gain from it."""
    for part in encoder.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        for name, value in list(vars(part).items()):
            if "drop" in name and isinstance(value, float):  # many attentions keep a mere number
                setattr(part, name, 0.0)


def add_lora(encoder, rank):
    """Put low-rank adapters on every linear layer and fix all else."""
    from peft import LoraConfig
    from peft.tuners.lora import LoraLayer, LoraModel

    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        lora_dropout=0.0,
        fan_in_fan_out=any(isinstance(part, Conv1D) for part in encoder.modules()),  # GPT-2's
    )
    lora = LoraModel(encoder, {"default": config}, "default")
    for part in lora.modules():
        if isinstance(part, LoraLayer):
            part.cast_input_dtype_enabled = False  # autocast would only cast it back
    return lora


def enable_checkpointing(encoder):
    """Make an encoder recompute its activations in the backward pass to save memory."""
    if hasattr(encoder, "activation_checkpointing_enable"):
        encoder.activation_checkpointing_enable({"use_reentrant": False})
    else:  # transformers < 5.20 or so
        encoder.gradient_checkpointing_enable({"use_reentrant": False})


def disable_checkpointing(encoder):
    """Keep activations again."""
    if hasattr(encoder, "activation_checkpointing_disable"):
        encoder.activation_checkpointing_disable()
    else:
        encoder.gradient_checkpointing_disable()
