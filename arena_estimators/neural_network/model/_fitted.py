"""A fitted network: what it needs to predict, and that as files."""

import dataclasses
import json
import pathlib

import numpy as np
import safetensors.torch

from arena_estimators._encoder._load import T5, load_tokenizer, longest_input
from arena_estimators._encoder._modes import own_modes
from arena_estimators._files import temporary_folder
from arena_estimators._probability import weighted_sum
from arena_estimators.exceptions import ArenaError
from arena_estimators.neural_network.model import _calibration
from arena_estimators.neural_network.model._module import PairModule, build_module
from arena_estimators.neural_network.model._prediction import logits_of, pooled_vectors
from arena_estimators.neural_network.model._processor import PairProcessor

_WEIGHTS = "model.safetensors"
_HEADS = "heads.safetensors"
_SHAPE = "pair_module.json"


@dataclasses.dataclass(eq=False, repr=False)
class FittedPair:
    """A trained network with all that it needs to predict. It knows nothing of its training.

    Attributes
    ----------
    processor : PairProcessor
        With `processor.tokenizer`.
    module : PairModule
        On the CPU, in eval mode; `module.encoder` is a model of transformers.
    attention : {"auto", "packed", "sdpa"}
        What the encoder was loaded for.
    weights : ndarray of shape (3,) or, without style, (1,)
        How much the logits from text, from both, and from style count; they sum to 1.
    temperature : float
        What logits are divided by.
    """

    processor: PairProcessor
    module: PairModule
    attention: str
    weights: np.ndarray
    temperature: float

    def predict_proba(self, X, options):
        """Give the probabilities of the classes.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles, checked.
        options : PredictionOptions

        Returns
        -------
        ndarray of shape (n_battles, n_classes), float64
        """
        data, vectors = self._encode(X, options)
        pooled = weighted_sum(logits_of(self.module, vectors, data), self.weights)
        return _calibration.probabilities(pooled, self.temperature)

    def encode(self, X, options):
        """Give the pooled vectors of each battle, of shape (n_battles, 2, width), float32."""
        data, vectors = self._encode(X, options)
        return vectors[data.rows]

    def _encode(self, X, options):
        check_length(options.max_length, self.module.encoder.config)
        data = self.processor.transform(X, options)
        return data, pooled_vectors(self.module, data.sequences, options)

    def to_files(self):
        """Give the network and its tokenizer as files that transformers and safetensors can read.

        Returns
        -------
        dict of str to bytes
            File name to content.
        """
        with temporary_folder() as folder:
            self.processor.tokenizer.save_pretrained(folder)
            files = {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in sorted(pathlib.Path(folder).rglob("*"))
                if path.is_file()
            }
        heads = self.module.heads
        shape = {
            "architecture": self.processor.architecture,
            "pooling": self.module.pooling,
            "attention": self.attention,
            "n_odd": heads.n_odd,
            "n_even": heads.n_even,
            "n_classes": heads.n_classes,
        }
        files["config.json"] = json.dumps(_config_of(self.module.encoder)).encode()
        files[_WEIGHTS] = _weights_of(self.module.encoder)
        files[_HEADS] = _weights_of(heads)
        files[_SHAPE] = json.dumps(shape).encode()
        return files

    def __getstate__(self):
        return {
            "files": self.to_files(),
            "style": self.processor.style,
            "weights": self.weights,
            "temperature": self.temperature,
        }

    def __setstate__(self, state):
        self.module, tokenizer, shape = _read_files(state["files"])
        self.attention = shape["attention"]
        self.processor = PairProcessor(tokenizer, shape["architecture"], state["style"])
        self.weights, self.temperature = state["weights"], state["temperature"]


def check_length(max_length, config):
    """Refuse sequences longer than an encoder of this configuration can read."""
    longest = longest_input(config)
    if longest is not None and max_length > longest:
        raise ArenaError(
            f"max_length={max_length}, but this encoder reads at most {longest} tokens. Pass "
            f"max_length={longest} or fit another encoder."
        )


@own_modes()
def _read_files(files):
    """Give the module, on the CPU, the tokenizer, and what was said of the module's shape."""
    files = files.copy()
    shape = json.loads(files.pop(_SHAPE))
    weights, heads = (safetensors.torch.load(files.pop(name)) for name in (_WEIGHTS, _HEADS))
    with temporary_folder() as folder:
        for name, content in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        module = build_module(folder, **shape, weights=weights, heads=heads)
        return module, load_tokenizer(folder), shape


def _weights_of(module):
    """Give safetensors of a module; of tensors that share their memory, the first."""
    seen, kept = set(), {}
    for name, value in module.state_dict().items():
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            kept[name] = value.contiguous()
    return safetensors.torch.save(kept, metadata={"format": "pt"})


def _config_of(encoder):
    config = encoder.config.to_dict()
    if config["model_type"] in T5:
        config["is_encoder_decoder"] = True  # the encoder alone forgets it, and loading needs it
    return config
