"""What BertPairClassifier's parameters may be, each alone and together."""

import importlib.util
import os
from numbers import Integral, Real

from skorch.callbacks import BatchScoring, Callback, EpochScoring, LRScheduler

from arena_estimators._encoder import _attention
from arena_estimators._encoder._layout import TRUNCATIONS
from arena_estimators._encoder._load import class_of, load_config, longest_input
from arena_estimators._validation import Interval, StrOptions
from arena_estimators.exceptions import ArenaError, MissingExtraError

_POSITIVE = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")

CONSTRAINTS = {
    "encoder": [str, os.PathLike],
    "architecture": [StrOptions({"siamese", "cross"})],
    "pooling": [StrOptions({"auto", "mean", "cls", "last", "max"})],
    "style_features": ["boolean"],
    "max_length": [_COUNT],
    "prompt_share": [Interval(Real, 0, 1, closed="neither")],
    "truncation": [StrOptions(set(TRUNCATIONS))],
    "n_epochs": [_COUNT],
    "learning_rate": [_POSITIVE],
    "head_learning_rate": [_POSITIVE],
    "layer_decay": [Interval(Real, 0, 1, closed="right")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "warmup": [Interval(Real, 0, 1, closed="both")],
    "schedule": [StrOptions({"linear", "cosine", "constant"})],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    "max_grad_norm": [_POSITIVE, None],
    "batch_tokens": [_COUNT, StrOptions({"auto"})],
    "accumulate": [_COUNT],
    "lora_rank": [_COUNT, None],
    "lora_alpha": [_POSITIVE, None],
    "freeze": [StrOptions({"embeddings", "encoder"}), _COUNT, None],
    "gradient_checkpointing": ["boolean"],
    "precision": [StrOptions({"auto", "fp32", "bf16", "fp16"})],
    "compile": ["boolean", StrOptions({"auto"})],
    "attention": [StrOptions({"auto", "packed", "sdpa", "eager"})],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "patience": [_COUNT, None],
    "temperature": [_POSITIVE, StrOptions({"fit"})],
    "predict_order": [StrOptions({"average", "uncertain", "given"})],
    "device": [str],
    "checkpoint_dir": [str, os.PathLike, None],
    "callbacks": [list, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def check_together(p, folder):
    """Refuse parameters that contradict each other or the encoder.

    Parameters
    ----------
    p : BertPairClassifier
    folder : str
        The encoder's.
    """
    for name, allowed in CONSTRAINTS.items():
        if _COUNT in allowed and getattr(p, name) is True:  # which scikit-learn takes for 1
            raise ArenaError(f"{name}=True: expected {', '.join(map(str, allowed))}.")
    config = load_config(folder)
    check_length(p.max_length, config)
    _attention.require(p.attention, class_of(config), config)
    if p.gradient_checkpointing and not class_of(config).supports_gradient_checkpointing:
        raise ArenaError(
            f"gradient_checkpointing=True: the family {config.model_type!r} cannot do it."
        )
    n_layers = getattr(config, "num_hidden_layers", None)
    if isinstance(p.freeze, Integral) and n_layers is not None and p.freeze > n_layers:
        raise ArenaError(
            f"freeze={p.freeze}, but this encoder has {n_layers} layers. Pass at most that many, "
            "or freeze='encoder' for all."
        )
    _check_callbacks(p)
    if p.lora_rank and p.freeze is not None:
        raise ArenaError(
            f"lora_rank={p.lora_rank} already fixes the encoder's own weights; pass freeze=None."
        )
    if p.lora_rank and importlib.util.find_spec("peft") is None:
        raise MissingExtraError("lora_rank needs peft: pip install peft")


def check_length(max_length, config):
    """Refuse sequences longer than an encoder of this configuration can read."""
    longest = longest_input(config)
    if longest is not None and max_length > longest:
        raise ArenaError(
            f"max_length={max_length}, but this encoder reads at most {longest} tokens. Pass "
            f"max_length={longest} or fit another encoder."
        )


def _check_callbacks(p):
    """Refuse what is no callback, and skorch's that would have no effect or fail in training."""
    if len(find_callbacks(p.callbacks, Callback)) < len(p.callbacks or []):
        raise ArenaError(
            f"callbacks must hold skorch callbacks, or pairs of a name and one; got {p.callbacks}."
        )
    if find_callbacks(p.callbacks, LRScheduler) and (p.schedule != "constant" or p.warmup):
        raise ArenaError(
            f"callbacks: the rates that LRScheduler sets are set anew at every step by schedule="
            f"{p.schedule!r} and warmup={p.warmup}. Pass schedule='constant' and warmup=0."
        )
    for kind in find_callbacks(p.callbacks, (EpochScoring, BatchScoring)):
        raise ArenaError(
            f"callbacks: {kind.__name__} scores predictions, which an optimizer step does not "
            "make. The validation's log loss is in the history as 'valid_loss'; other scores "
            "are computed after `fit`, for example by cross_validate."
        )
    if any(getattr(callback, "f_pickle", None) for callback in _without_names(p.callbacks)):
        raise ArenaError(
            "callbacks: f_pickle pickles the net during its training, when much of it "
            "cannot be pickled. Pass f_pickle=None: f_params keeps the weights, checkpoint_dir "
            "the state of the training, and the fitted estimator can be pickled."
        )


def find_callbacks(callbacks, kinds):
    """Give the classes of those callbacks (named or not, instances or classes) that are `kinds`."""
    classes = [c if isinstance(c, type) else type(c) for c in _without_names(callbacks)]
    return [kind for kind in classes if issubclass(kind, kinds)]


def _without_names(callbacks):
    return [c[1] if isinstance(c, tuple) and len(c) == 2 else c for c in callbacks or []]
