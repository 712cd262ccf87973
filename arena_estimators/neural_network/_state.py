"""A fitted network as plain bytes: weights, configuration, tokenizer and heads."""

import contextlib
import errno
import json
import os
import pathlib
import tempfile

import safetensors.torch

from arena_estimators._encoder._load import T5, load_tokenizer
from arena_estimators._encoder._modes import own_modes
from arena_estimators.exceptions import ArenaError
from arena_estimators.neural_network._module import build_module
from arena_estimators.neural_network._training import finish, make_net

_WEIGHTS = "model.safetensors"
_HEADS = "heads.safetensors"
_SHAPE = "pair_module.json"
_FULL = os.strerror(errno.ENOSPC)


def pack_network(net, tokenizer, shape):
    """Give the files that rebuild a net and its tokenizer, as bytes.

    Parameters
    ----------
    net : PairNet
        Fitted, on the CPU.
    tokenizer : PreTrainedTokenizer
    shape : dict
        The keyword arguments of `build_module`.

    Returns
    -------
    dict of str to bytes
        File name to content.
    """
    module = net.module_
    with _passing_folder() as folder:
        tokenizer.save_pretrained(folder)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(pathlib.Path(folder).rglob("*"))
            if path.is_file()
        }
    files["config.json"] = json.dumps(_config_of(module.encoder)).encode()
    files[_WEIGHTS] = _weights_of(module.encoder)
    files[_HEADS] = _weights_of(module.heads)
    files[_SHAPE] = json.dumps({**shape, "pooling": module.pooling}).encode()
    return files


@own_modes()
def unpack_network(files, history):
    """Rebuild the net, on the CPU, and the tokenizer."""
    files = files.copy()
    shape = json.loads(files.pop(_SHAPE))
    weights, heads = (safetensors.torch.load(files.pop(name)) for name in (_WEIGHTS, _HEADS))
    with _passing_folder() as folder:
        for name, content in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        module = build_module(folder, **shape, weights=weights, heads=heads)
        tokenizer = load_tokenizer(folder)
    net = make_net(module)
    net.initialize()
    finish(net)
    net.history.extend(history)
    return net, tokenizer


@contextlib.contextmanager
def _passing_folder():
    """Give a folder for a moment: transformers reads and writes tokenizers as files alone."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield folder
        except Exception as error:  # that of tokenizers is no OSError
            if _FULL not in str(error):
                raise
            raise ArenaError(
                f"The folder for temporary files, {tempfile.gettempdir()}, is full; a fitted "
                "BertPairClassifier's tokenizer is written and read by way of it. Make room there, "
                "or set the environment variable TMPDIR to a folder that has it."
            ) from error


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
