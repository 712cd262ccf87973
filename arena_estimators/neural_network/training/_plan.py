"""What a training is told, decided once, before it begins."""

import dataclasses
import importlib.util
from numbers import Integral
from typing import Any

from skorch.callbacks import BatchScoring, Callback, EpochScoring, LRScheduler

from arena_estimators._encoder import _attention
from arena_estimators._encoder._load import class_of, load_config
from arena_estimators._encoder._run import resolve_device
from arena_estimators.exceptions import ArenaError, MissingExtraError
from arena_estimators.neural_network.model._fitted import check_length
from arena_estimators.neural_network.model._workers import refuse_parallel_jobs


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """All that a training reads beside its battles and its seed.

    Each is the parameter of that name of BertPairClassifier or of its TrainingOptions, but for
    `encoder`, the folder that was found for it.
    """

    encoder: str
    architecture: str
    pooling: str
    attention: str
    n_epochs: int
    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    warmup: float
    schedule: str
    label_smoothing: float
    max_grad_norm: float | None
    batch_tokens: int | str
    accumulate: int
    lora_rank: int | None
    freeze: str | int | None
    gradient_checkpointing: bool
    precision: str
    compile: bool | str
    validation_fraction: float
    patience: int | None
    temperature: float | str
    device: str
    checkpoint_dir: Any
    callbacks: list | None
    random_state: Any
    verbose: int

    @classmethod
    def from_parameters(cls, parameters):
        """Take what a training reads from a dict of parameters, which may hold more."""
        return cls(**{field.name: parameters[field.name] for field in dataclasses.fields(cls)})

    def check(self, max_length):
        """Refuse, before a text is read, what cannot work on this machine or with this encoder.

        Raises
        ------
        ArenaError
            If parameters contradict each other or the encoder, or if there is no such device.
        MissingExtraError
            If adapters are asked for and peft is not installed.
        """
        config = load_config(self.encoder)
        check_length(max_length, config)
        _attention.require(self.attention, class_of(config), config)
        if self.gradient_checkpointing and not class_of(config).supports_gradient_checkpointing:
            raise ArenaError(
                f"gradient_checkpointing=True: the family {config.model_type!r} cannot do it."
            )
        n_layers = getattr(config, "num_hidden_layers", None)
        if isinstance(self.freeze, Integral) and n_layers is not None and self.freeze > n_layers:
            raise ArenaError(
                f"freeze={self.freeze}, but this encoder has {n_layers} layers. Pass at most that "
                "many, or freeze='encoder' for all."
            )
        self._check_callbacks()
        if self.lora_rank and self.freeze is not None:
            raise ArenaError(
                f"lora_rank={self.lora_rank} already fixes the encoder's own weights; pass "
                "freeze=None."
            )
        if self.lora_rank and importlib.util.find_spec("peft") is None:
            raise MissingExtraError("lora_rank needs peft: pip install peft")
        refuse_parallel_jobs(resolve_device(self.device))

    def _check_callbacks(self):
        """Refuse what is no callback, and skorch's that would have no effect or would fail."""
        if len(self.find_callbacks(Callback)) < len(self.callbacks or []):
            raise ArenaError(
                f"callbacks must hold skorch callbacks, or pairs of a name and one; got "
                f"{self.callbacks}."
            )
        if self.find_callbacks(LRScheduler) and (self.schedule != "constant" or self.warmup):
            raise ArenaError(
                f"callbacks: the rates that LRScheduler sets are set anew at every step by schedule"
                f"={self.schedule!r} and warmup={self.warmup}. Pass schedule='constant' and "
                "warmup=0."
            )
        for kind in self.find_callbacks((EpochScoring, BatchScoring)):
            raise ArenaError(
                f"callbacks: {kind.__name__} scores predictions, which an optimizer step does not "
                "make. The validation's log loss is in the history as 'valid_loss'; other scores "
                "are computed after `fit`, for example by cross_validate."
            )
        if any(getattr(one, "f_pickle", None) for one in self._callbacks_without_names()):
            raise ArenaError(
                "callbacks: f_pickle pickles the net during its training, when much of it "
                "cannot be pickled. Pass f_pickle=None: f_params keeps the weights, checkpoint_dir "
                "the state of the training, and the fitted estimator can be pickled."
            )

    def find_callbacks(self, kinds):
        """Give the classes of those callbacks (named or not, classes or not) that are `kinds`."""
        found = self._callbacks_without_names()
        classes = [one if isinstance(one, type) else type(one) for one in found]
        return [kind for kind in classes if issubclass(kind, kinds)]

    def _callbacks_without_names(self):
        callbacks = self.callbacks or []
        return [c[1] if isinstance(c, tuple) and len(c) == 2 else c for c in callbacks]
