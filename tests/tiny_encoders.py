"""Tiny encoders of every supported family, made on the spot: random weights, real architecture."""

import functools

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

_CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "Prompt:\nWhat is two plus two?\n\nResponse:\nFour, of course!",
    "Response A:\nI think it is five ...\n\nResponse B:\n**Bold** words and 1, 2, 3 lists…",
    "Say something nice about the weather, please; tell me why you like it.",
    "good bad better worse answer question hello world yes no maybe sorry thanks help",
]
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_BERT = {**_SIZES, "intermediate_size": 64, "max_position_embeddings": 514}
_LLAMA = {**_BERT, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512}
_DEBERTA = {
    **_BERT,
    "relative_attention": True,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
}
_DEBERTA |= {"pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "share_att_key": True}

# family: configuration, its sizes, kind of tokenizer, special tokens as (before, after)
_FAMILIES = {
    "bert": ("BertConfig", _BERT, "wordpiece", ("[CLS]", "[SEP]")),
    "roberta": ("RobertaConfig", {**_BERT, "type_vocab_size": 1}, "bytes", ("<s>", "</s>")),
    "distilbert": (
        "DistilBertConfig",
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 512},
        "wordpiece",
        ("[CLS]", "[SEP]"),
    ),
    "electra": ("ElectraConfig", {**_BERT, "embedding_size": 16}, "wordpiece", ("[CLS]", "[SEP]")),
    "mpnet": ("MPNetConfig", _BERT, "wordpiece", ("<s>", "</s>")),
    "deberta-v2": (
        "DebertaV2Config",
        {**_DEBERTA, "type_vocab_size": 0},
        "unigram",
        ("[CLS]", "[SEP]"),
    ),
    "modernbert": (
        "ModernBertConfig",
        {**_BERT, "num_hidden_layers": 3, "local_attention": 16, "global_attn_every_n_layers": 2},
        "bytes",
        ("[CLS]", "[SEP]"),
    ),
    "gpt2": ("GPT2Config", _GPT2, "bytes", (None, None)),
    "qwen2": ("Qwen2Config", _LLAMA, "bytes", (None, None)),
    "llama": ("LlamaConfig", _LLAMA, "unigram", ("<s>", None)),
    "gemma": ("GemmaConfig", _LLAMA, "unigram", ("<bos>", None)),
    "t5": (
        "T5Config",
        {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
        "unigram",
        (None, "</s>"),
    ),
}
POOLINGS = ("mean", "cls", "last", "max")
FAMILIES = tuple(_FAMILIES)
_WITHOUT_PADDING = ("gpt2", "qwen2", "llama")  # as those families ship


def make_tiny_encoder(family, folder, *, seed=0):
    """Save a tiny model and tokenizer of a family to `folder`; give the folder as text."""
    config_name, sizes, kind, (before, after) = _FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    end = after or "<|endoftext|>"
    specials = list(dict.fromkeys([before or end, end, "[UNK]", "[MASK]"]))
    if family == "llama":  # as in the real one, its number is 0
        specials.insert(0, specials.pop(specials.index("[UNK]")))
    if family not in _WITHOUT_PADDING:
        specials.insert(1, "[PAD]")
    core = tokenizers.Tokenizer.from_str(_core(kind, tuple(specials)))
    template = " ".join(part for part in (before, "$A", after) if part)
    if template != "$A":
        pairs = [(name, core.token_to_id(name)) for name in (before, after) if name]
        core.post_processor = processors.TemplateProcessing(template, special_tokens=pairs)
    names = {"unk_token": "[UNK]", "eos_token": end, "mask_token": "[MASK]"}
    names |= {"bos_token": before or end, "model_max_length": 512}
    if "[PAD]" in specials:
        names["pad_token"] = "[PAD]"
    if before == "[CLS]":
        names |= {"cls_token": before, "sep_token": after}
    inputs = ["input_ids", "attention_mask"]
    if family in ("bert", "electra", "deberta-v2"):
        inputs.insert(1, "token_type_ids")
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, model_input_names=inputs, **names
    )
    fast.save_pretrained(folder)
    ids = {"vocab_size": core.get_vocab_size(), "pad_token_id": fast.pad_token_id}
    ids |= {"bos_token_id": fast.bos_token_id, "eos_token_id": fast.eos_token_id}
    if before == "[CLS]":
        ids |= {"cls_token_id": fast.cls_token_id, "sep_token_id": fast.sep_token_id}
    config = getattr(transformers, config_name)(**sizes, **ids)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModel.from_config(config)
    _make_lively(model)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    transformers.utils.logging.enable_progress_bar()
    return str(folder)


def _make_lively(model):
    """Enlarge the weights, so that attention and position matter to the output."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)


@functools.cache
def _core(kind, specials):
    """Make a tokenizer, as JSON, that is the same in every process: few trainers give that."""
    if kind == "bytes":
        core = tokenizers.Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=list(specials),
            initial_alphabet=alphabet,
            show_progress=False,
        )
        core.train_from_iterator(_CORPUS, trainer)
        return core.to_str()
    if kind == "wordpiece":
        normalizer = normalizers.BertNormalizer(lowercase=True)
        pre_tokenizer, decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    else:
        normalizer = normalizers.NFKC()
        pre_tokenizer, decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    texts = [normalizer.normalize_str(text) for text in _CORPUS]
    words = {word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(text)}
    characters = sorted(set("".join(words)))
    if kind == "wordpiece":
        pieces = [*specials, *characters, *(f"##{c}" for c in characters), *sorted(words)]
        numbers = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
        core = tokenizers.Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    else:  # a word costs less than its characters
        scores = dict.fromkeys(specials, 0.0) | dict.fromkeys(characters, -4.0)
        scores |= dict.fromkeys(sorted(words), -5.0)
        core = tokenizers.Tokenizer(models.Unigram(list(scores.items()), specials.index("[UNK]")))
    core.normalizer, core.pre_tokenizer, core.decoder = normalizer, pre_tokenizer, decoder
    core.add_special_tokens(list(specials))
    return core.to_str()
