"""The whole network: an encoder, the pooling of its tokens, and the heads."""

import re

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from arena_estimators._encoder import _run
from arena_estimators._encoder._load import default_pooling, load_encoder, width_of
from arena_estimators._encoder._modes import own_modes
from arena_estimators.neural_network._compile import compile_for_training
from arena_estimators.neural_network._heads import CrossReader, PairHeads, SiameseReader

# bert.encoder.layer.3., gpt2 h.3., t5 block.3., llama layers.3.
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|block|blocks)\.(\d+)\.")
_EMBEDDING = re.compile(r"embed|^w[tp]e|relative_attention_bias")  # GPT-2's wte, MPNet's positions
_AFTER = re.compile(r"final_layer_norm|project_out")  # listed by OPT before the layers they follow
_RELATIVE, _THEIR_NORM = "encoder.rel_embeddings.weight", "encoder.LayerNorm."  # DeBERTa-v2's
READERS = {"siamese": SiameseReader, "cross": CrossReader}


class PairModule(nn.Module):
    """Encode each sequence of a batch once and give the logits of its battles."""

    def __init__(self, encoder, heads, pooling):
        super().__init__()
        self.encoder, self.heads, self.pooling = encoder, heads, pooling
        self._compiled = None

    def forward(self, inputs, rows, odd, even):
        """Give logits of shape (n_predictors, n_readings, n_battles, n_classes).

        Parameters
        ----------
        inputs : list of dict
            What `pad` or `pack` made; together they hold the batch's sequences.
        rows : Tensor of shape (n_battles, 2)
            The two sequences of each battle.
        odd, even : Tensor of shape (n_battles, n_columns)
            Style features.
        """
        compiled = self._compiled if self.training else None  # a validation's shapes all differ
        encoder = self.encoder if compiled is None else compiled
        pooled = torch.cat([_run.forward(encoder, i, pooling=self.pooling) for i in inputs])
        with torch.autocast(pooled.device.type, enabled=False):
            # Not pooled[rows], whose gradient a CPU's threads add up in another order each time.
            return self.heads(nn.functional.embedding(rows, pooled), odd, even)

    @property
    def n_readings(self):
        """How many times each battle is read."""
        return self.heads.n_readings

    def compile_encoder(self):
        """Run a compiled encoder in training, until `forget_compiled`."""
        self.__dict__["_compiled"] = compile_for_training(self.encoder)

    def forget_compiled(self):
        """Run the plain encoder again."""
        self.__dict__["_compiled"] = None


@own_modes()
def build_module(
    folder, *, architecture, pooling, attention, n_odd, n_even, n_classes, weights=None, heads=None
):
    """Load an encoder and put heads on it.

    Parameters
    ----------
    folder : str
        From `find_encoder`, or one that `unpack_network` made.
    architecture : {"siamese", "cross"}
    pooling : {"auto", "mean", "cls", "last", "max"}
    attention : {"auto", "packed", "sdpa", "eager"}
    n_odd, n_even : int
        Style columns.
    n_classes : int
    weights : dict of str to Tensor, optional
        The encoder's, by default those in the folder. The dict is emptied.
    heads : dict of str to Tensor, optional
        Weights for the heads; by default new ones are drawn. With them torch's random state is left
        alone, which another thread may depend on.

    Returns
    -------
    PairModule
        On the CPU, in eval mode.
    """
    encoder = load_encoder(folder, attention=attention, weights=weights)
    if pooling == "auto":
        pooling = default_pooling(encoder.config, folder)
    with torch.device("cpu" if heads is None else "meta"):
        reader, width = READERS[architecture], width_of(encoder.config)
        made = PairHeads(reader, width, n_odd, n_even, n_classes)
    if heads is not None:
        made.load_state_dict(heads, assign=True)
    return PairModule(encoder, made, pooling).eval()


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


def add_lora(encoder, rank, alpha):
    """Put low-rank adapters on every linear layer and fix all else.

    Returns
    -------
    LoraModel
        Its `merge_and_unload()` folds the adapters into the weights again.
    """
    from peft import LoraConfig
    from peft.tuners.lora import LoraLayer, LoraModel

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
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
