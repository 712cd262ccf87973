"""A fitted network as plain bytes: weights, configuration, tokenizer and heads."""

import contextlib
import json
import pathlib
import tempfile

import safetensors.torch
from transformers.utils import logging

from arena_estimators._encoder._load import load_tokenizer
from arena_estimators.neural_network._module import build_module
from arena_estimators.neural_network._training import finish, make_net

_HEADS = "heads.safetensors"
_SHAPE = "pair_module.json"


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
    with tempfile.TemporaryDirectory() as folder:
        with _without_bar():
            module.encoder.save_pretrained(folder)
        _mark_encoder_of_t5(pathlib.Path(folder, "config.json"))
        tokenizer.save_pretrained(folder)
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(pathlib.Path(folder).rglob("*"))
            if path.is_file()
        }
    heads = {name: value.contiguous() for name, value in module.heads.state_dict().items()}
    files[_HEADS] = safetensors.torch.save(heads)
    files[_SHAPE] = json.dumps({**shape, "pooling": module.pooling}).encode()
    return files


def unpack_network(files, history):
    """Rebuild the net, on the CPU, and the tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        module = build_module(folder, **json.loads(files[_SHAPE]))
        tokenizer = load_tokenizer(folder)
    module.heads.load_state_dict(safetensors.torch.load(files[_HEADS]))
    net = make_net(module)
    net.initialize()
    finish(net)
    net.history.extend(history)
    return net, tokenizer


def _mark_encoder_of_t5(path):
    """Say of T5's encoder that it is half of a pair; saving forgets it, and loading needs it."""
    config = json.loads(path.read_text())
    if config["model_type"] in ("t5", "mt5", "umt5"):
        path.write_text(json.dumps({**config, "is_encoder_decoder": True}))


@contextlib.contextmanager
def _without_bar():
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
