"""Load a tokenizer and an encoder of any supported family from a folder."""

import contextlib
import inspect
import json
import pathlib
import threading

import torch
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from transformers import AutoConfig, AutoTokenizer
from transformers.models.auto import modeling_auto
from transformers.utils import is_protobuf_available, is_sentencepiece_available, logging

from arena_estimators._encoder import _attention
from arena_estimators._encoder._modes import own_modes
from arena_estimators.exceptions import ArenaError, MissingExtraError, ResourceNotFoundError

_SILENCE = threading.Lock()
# With trust_remote_code=None transformers might stop in the middle of a fit to ask the user.
_LOCAL = {"local_files_only": True, "trust_remote_code": False}
T5 = ("t5", "mt5", "umt5")  # of these only the encoder is read
# These let padding into their results.
_LEAKY = tuple("canine convbert cpmant doge fnet funnel nystromformer reformer yoso".split())
# pooling: its name in newer files of sentence-transformers, and its flag in older ones
_SAID_POOLING = {
    "cls": ("cls", "pooling_mode_cls_token"),
    "last": ("lasttoken", "pooling_mode_lasttoken"),
    "max": ("max", "pooling_mode_max_tokens"),
    "mean": ("mean", "pooling_mode_mean_tokens"),
}


def load_tokenizer(folder):
    """Load the tokenizer of a folder and give it a padding token if it has none.

    Raises
    ------
    ResourceNotFoundError
        If the folder holds no tokenizer; transformers would make up one without a vocabulary.
    MissingExtraError
        If it is a SentencePiece file, as DeBERTa-v3's, and what reads those is not installed.
    ArenaError
        If the tokenizer knows more tokens than the encoder of the folder.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
    except Exception as error:  # the libraries behind it have errors of their own
        file, why = _sentencepiece_file(folder), (str(error).splitlines() or [""])[0]
        if file and not (is_sentencepiece_available() and is_protobuf_available()):
            raise MissingExtraError(
                f"Reading the tokenizer in {str(folder)!r}, {file}, needs two packages: pip "
                "install sentencepiece protobuf"
            ) from error
        if isinstance(error, ImportError):  # its message names the package to install
            raise
        if file and "tiktoken" in why:  # which transformers tries last
            why = f"{file} is damaged"
        raise _no_tokenizer(folder, f" ({why})") from error
    if not _has_vocabulary(folder, tokenizer):
        raise _no_tokenizer(folder)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.bos_token
    _check_vocabulary(folder, tokenizer)
    return tokenizer


def load_config(folder):
    """Load the configuration of a folder, set for reading whole texts in one go.

    Raises
    ------
    ArenaError
        If the folder holds no model of a kind that can be read.
    """
    with explained(folder):
        config = AutoConfig.from_pretrained(folder, **_LOCAL)
    if config.is_encoder_decoder and config.model_type not in T5:
        raise ArenaError(
            f"{folder!r} holds an encoder-decoder of the family {config.model_type!r}; of that "
            f"kind only {', '.join(T5)} can be read. Use an encoder or a decoder."
        )
    if config.model_type in _LEAKY:
        raise ArenaError(
            f"{folder!r} holds an encoder of the family {config.model_type!r}, which lets padding "
            "into its results: predictions would depend on the batch. Take another encoder."
        )
    quantised = getattr(config, "quantization_config", None)
    if quantised:
        raise ArenaError(
            f"{folder!r} holds quantised weights ({quantised.get('quant_method', 'in few bits')}), "
            "which can be neither trained nor merged with adapters without loss. Use the "
            "unquantised encoder; with lora_rank=16 its matrices take two bytes a weight on a GPU."
        )
    has_width = hasattr(config, "hidden_size") or hasattr(config, "d_model")
    if not (has_width and hasattr(config, "pad_token_id")):
        raise ArenaError(
            f"{folder!r} holds a model of the family {config.model_type!r}, which does not read "
            "text alone. Take an encoder or a decoder of text, or save the part that is one."
        )
    if config.model_type == "big_bird":  # sparse attention sees padding; a short text turns it off
        config.attention_type = "original_full"
    if config.model_type == "rwkv":  # else it divides its weights again after each save and load
        config.rescale_every = 0
    config.use_cache = False
    config._attn_implementation = None  # a folder may ask for kernels to be fetched from the hub
    return config


@own_modes()
def load_encoder(folder, *, attention="auto", weights=None):
    """Load the encoder of a folder in float32, in eval mode on the CPU.

    Parameters
    ----------
    folder : str
    attention : {"auto", "packed", "sdpa", "eager"}, default="auto"
        "packed" lets the model take packed input as well as padded input. "auto" does so where the
        family supports it, and otherwise uses "sdpa" or, where there is none, "eager".
    weights : dict of str to Tensor, optional
        Taken instead of those of the folder, which then needs none. The dict is emptied.

    Returns
    -------
    torch.nn.Module
        The bare encoder without head, and without pooler where the family allows it; its forward
        gives `last_hidden_state`.

    Raises
    ------
    ArenaError
        If the folder holds no model of a kind that can be read, or not all of its weights.
    """
    config = load_config(folder)
    if attention == "auto" and _attention.caps_logits(config):
        attention = "eager"
    options = {"attn_implementation": attention} if attention in ("sdpa", "eager") else {}
    if "add_pooling_layer" in inspect.signature(class_of(config)).parameters:
        options["add_pooling_layer"] = False  # other families compute theirs in any case
    with _quiet(), explained(folder):
        model, info = class_of(config).from_pretrained(
            folder if weights is None else None,
            config=config,
            state_dict=weights,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **_LOCAL,
            **options,
        )
    unlike = [*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])]
    unlike = [key for key in unlike if "pooler" not in key]
    if unlike:
        others = sorted(info["unexpected_keys"])
        held = f" They hold {others[0]!r}, ..., which it lacks." if others else ""
        raise ArenaError(
            f"The weights in {folder!r} lack {len(unlike)} of the encoder's tensors, or have them "
            f"in another size ({unlike[0]!r}, ...): they belong to another kind of model, or to "
            f"another config.json.{held}"
        )
    if weights is not None:
        weights.clear()
    # Loaded weights may be mapped from the file, so that overwriting it would change them; given
    # ones may begin at any address in memory, which can change how products round.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    if model.config.pad_token_id in (None, -1):  # older Llamas say -1, which has no embedding
        model.config.pad_token_id = load_tokenizer(folder).pad_token_id
    if attention in ("auto", "packed"):
        _attention.enable(model, required=attention == "packed")
    return model.eval()


def class_of(config):
    """Give the class of a family's encoder, without loading it."""
    mappings = (modeling_auto.MODEL_MAPPING, modeling_auto.MODEL_FOR_TEXT_ENCODING_MAPPING)
    kind = mappings[config.model_type in T5][type(config)]
    return kind[0] if isinstance(kind, tuple) else kind


def is_decoder(config):
    """Tell whether a family reads from left to right only, so that the last token sees all."""
    causal = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    kind = config.model_type
    return kind in causal and kind not in masked and not config.is_encoder_decoder


def default_pooling(config, folder):
    """Give the pooling an encoder was made for: what its folder says, else its family's.

    Sentence encoders say it in `1_Pooling/config.json`. A decoder's last token has seen all
    others; for the other families the mean is the safe choice.
    """
    said = pathlib.Path(folder, "1_Pooling", "config.json")
    if said.is_file():
        with explained(said):
            modes = json.loads(said.read_text(encoding="utf-8"))
            names = modes.get("pooling_mode") or []
            names = [names] if isinstance(names, str) else names
            for pooling, (name, flag) in _SAID_POOLING.items():
                if name in names or modes.get(flag):
                    return pooling
    return "last" if is_decoder(config) else "mean"


def width_of(config):
    """Give the length of an encoder's vectors."""
    names = ("word_embed_proj_dim", "hidden_size", "d_model")  # the first is OPT's
    return next(filter(None, (getattr(config, name, None) for name in names)))


def longest_input(config):
    """Give the largest number of tokens a family can read, or None where nothing limits it."""
    relative = config.model_type in T5 or not getattr(config, "position_biased_input", True)
    longest = getattr(config, "max_position_embeddings", None)
    if relative or longest is None or longest <= 0:  # XLNet says -1
        return None
    return longest - _attention.position_offset(config)


def _has_vocabulary(folder, tokenizer):
    """Tell whether a tokenizer was read from files; those of bytes or characters need none."""
    wanted = set(tokenizer.vocab_files_names.values())
    found = {path.name for path in pathlib.Path(folder).iterdir()}
    other = any(name.endswith((".model", ".tiktoken")) for name in found)
    return not wanted or other or not found.isdisjoint({*wanted, "tokenizer.json", "tekken.json"})


def _sentencepiece_file(folder):
    """Name the SentencePiece file that is a folder's only tokenizer, or give None."""
    if pathlib.Path(folder, "tokenizer.json").is_file():
        return None
    for path in sorted(pathlib.Path(folder).glob("*.model")):
        with path.open("rb") as file:
            if file.read(1) == b"\n":  # protobuf's mark of the first field; tiktoken's are text
                return path.name
    return None


def _no_tokenizer(folder, why=""):
    return ResourceNotFoundError(
        f"The folder {str(folder)!r} has no tokenizer that can be read{why}. Save the encoder's "
        "there with `tokenizer.save_pretrained(folder)`."
    )


def _check_vocabulary(folder, tokenizer):
    """Refuse tokens without an embedding, unless no text can make them (Gemma 3's images)."""
    size = getattr(load_config(folder), "vocab_size", None)
    if size is None or len(tokenizer) <= size:
        return
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    used = {tokenizer.pad_token_id, *tokenizer("a")["input_ids"]}
    used |= set(tokenizer.get_vocab().values()) - special
    beyond = [number for number in used if number is not None and number >= size]
    if beyond:
        raise ArenaError(
            f"The tokenizer in {str(folder)!r} has {len(tokenizer)} tokens, such as "
            f"{tokenizer.convert_ids_to_tokens(min(beyond))!r}, but the encoder has only {size} "
            "embeddings. Save the tokenizer that belongs to the encoder, or train the encoder "
            "after `model.resize_token_embeddings(len(tokenizer))`."
        )


@contextlib.contextmanager
def explained(path):
    """Turn a library's error in reading files into one that names them and says what to do."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # the libraries have errors of their own
        if "trust_remote_code" in str(error):
            raise ArenaError(
                f"The encoder in {str(path)!r} needs code of its own, which is not run. Take one "
                "of a family that transformers knows."
            ) from error
        raise ArenaError(
            f"The encoder in {str(path)!r} cannot be read ({type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}). Its files may be cut short, from another "
            "model, or too new for the transformers installed here. Save or download it again."
        ) from error


@contextlib.contextmanager
def _quiet():
    """Silence progress bars and reports of unused weights, those of heads this library drops.

    These settings are shared by all threads, so threads load one after the other.
    """
    with _SILENCE:
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        hub_bars = disable_progress_bars if are_progress_bars_disabled() else enable_progress_bars
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
            hub_bars()  # transformers switches the hub's own bars too; back to how they were
