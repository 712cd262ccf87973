"""Seven families of encoders in BertPairClassifier: each tried offline, and the real one's command.

    python examples/families.py                        # all of them, one after the other
    python examples/families.py --family roberta

For each family it makes a tiny model with random weights and a tokenizer, on the spot, and
fine-tunes it on made battles. That shows that every stage works, from packing to pooling. It
does not show how good the family is: a tiny model that has read nothing may not even beat the class
prior, and its log loss says so. The command that is printed trains the real one.
"""

import argparse
import importlib.util
import tempfile
import time
import warnings

import tokenizers
import torch
import transformers
from blend import prior_log_loss
from sklearn.metrics import log_loss
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from arena_estimators import BertPairClassifier, make_battles
from arena_estimators.battles import texts
from arena_estimators.exceptions import ArenaWarning

_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 514,
}
_DEBERTA = {
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 16,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}
_MODERN = {"num_hidden_layers": 3, "local_attention": 16, "global_attn_every_n_layers": 2}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512}
_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}

# Family: configuration and sizes of the tiny model, what stands before and after a text, settings
# of the classifier, and the real model with the options that examples/submit_bert.py takes.
FAMILIES = {
    "bert": (
        ("BertConfig", _BERT),
        ("[CLS]", "[SEP]"),
        {},
        "--encoder google-bert/bert-base-uncased --learning-rate 2e-5",
    ),
    "roberta": (
        ("RobertaConfig", {**_BERT, "type_vocab_size": 1}),
        ("<s>", "</s>"),
        {},
        "--encoder FacebookAI/roberta-base --learning-rate 2e-5",
    ),
    "gpt2": (
        ("GPT2Config", _GPT2),
        (None, None),
        {},
        "--encoder openai-community/gpt2 --learning-rate 5e-5 --max-length 768",
    ),
    "t5": (
        ("T5Config", _T5),
        (None, "</s>"),
        {},
        "--encoder google-t5/t5-base --learning-rate 1e-4 --batch-tokens 8192 --accumulate 2",
    ),
    "deberta-v3": (
        ("DebertaV2Config", {**_BERT, **_DEBERTA}),
        ("[CLS]", "[SEP]"),
        {},
        "--encoder microsoft/deberta-v3-base --learning-rate 2e-5 "
        "--batch-tokens 8192 --accumulate 2",
    ),
    "modernbert": (
        ("ModernBertConfig", {**_BERT, **_MODERN}),
        ("[CLS]", "[SEP]"),
        {},
        "--encoder answerdotai/ModernBERT-base --learning-rate 5e-5 --max-length 1024",
    ),
    "lora-decoder": (
        ("Qwen2Config", {**_BERT, "num_key_value_heads": 1}),
        (None, None),
        {"lora_rank": 8},
        "--encoder Qwen/Qwen2.5-0.5B --lora-rank 16 --learning-rate 2e-4 --max-length 1024 "
        "--batch-tokens 8192 --accumulate 2",
    ),
}
NEEDS = {
    "deberta-v3": "pip install sentencepiece protobuf",
    "lora-decoder": "pip install peft",
}
SETTINGS = {"max_length": 96, "batch_tokens": 4096, "n_epochs": 2, "learning_rate": 1e-3}


def make_tokenizer(corpus, before, after):
    """Train a tokenizer of bytes that writes what a family expects before and after a text."""
    end = after or "<|endoftext|>"
    specials = list(dict.fromkeys(["[PAD]", before or end, end]))
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(corpus, trainer)
    template = " ".join(part for part in (before, "$A", after) if part)
    if template != "$A":
        ids = [(token, core.token_to_id(token)) for token in (before, after) if token]
        core.post_processor = processors.TemplateProcessing(template, special_tokens=ids)
    names = {"pad_token": "[PAD]", "bos_token": before or end, "eos_token": end}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, model_input_names=["input_ids", "attention_mask"], **names
    )


def save_tiny_model(family, corpus, folder):
    """Save a tiny model of a family, with random weights, and its tokenizer to a folder."""
    (config, sizes), (before, after), _, _ = FAMILIES[family]
    tokenizer = make_tokenizer(corpus, before, after)
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "eos_token_id")}
    ids |= {"bos_token_id": tokenizer.bos_token_id, "vocab_size": len(tokenizer)}
    if config == "ModernBertConfig":
        ids |= {"cls_token_id": tokenizer.bos_token_id, "sep_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(getattr(transformers, config)(**sizes, **ids))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run(family, train, test):
    """Fine-tune a tiny model, print its log loss, and the command for the real model."""
    print(f"\n{family}", flush=True)
    if family != "lora-decoder" or importlib.util.find_spec("peft"):
        start = time.perf_counter()
        loss, prior = log_loss_of_tiny_model(family, train, test), prior_log_loss(train.y)
        verdict = "better" if loss < prior else "no better"
        print(
            f"  tiny model, random weights: log loss {loss:.4f}, {verdict} than the class prior's"
        )
        print(f"  {prior:.4f} ({time.perf_counter() - start:.0f} s). Its encoder has read nothing;")
        print("  what the model knows, its heads have learnt from the style of the responses.")
    print("  The real one:")
    if family in NEEDS:
        print(f"  {NEEDS[family]}")
    files = f"--train train.csv --test test.csv --model models/{family}.joblib"
    print(f"  python examples/submit_bert.py {files} {FAMILIES[family][3]}")


def log_loss_of_tiny_model(family, train, test):
    """Fine-tune a tiny model of a family and judge it."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ArenaWarning)  # that it is no better is printed
        save_tiny_model(family, texts(train.X["response_a"]), folder)
        model = BertPairClassifier(folder, random_state=0, **SETTINGS, **FAMILIES[family][2])
        return log_loss(test.y, model.fit(train.X, train.y).predict_proba(test.X))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=list(FAMILIES), help="only this one")
    parser.add_argument("--battles", type=int, default=300, help="to train on (default: 300)")
    args = parser.parse_args(argv)
    transformers.utils.logging.disable_progress_bar()
    train = make_battles(args.battles, random_state=0)
    test = make_battles(200, random_state=1)
    for family in [args.family] if args.family else FAMILIES:
        run(family, train, test)


if __name__ == "__main__":
    main()
