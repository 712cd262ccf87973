"""BertPairClassifier: how good on judge_unique, how fast beside what people use?

    python -m benchmarks.bench_bert --data FOLDER --only quality train predict

`quality` fits the default (and each `--vary "name=value ..."`) on the first of five folds grouped
by prompt, with several seeds; it needs a GPU. `train` trains a network of BERT-base's size with
random weights (on a CPU: the encoder itself) on whole battles of 512 tokens, beside transformers'
Trainer at its defaults and at its best setting. `predict` encodes battles of mixed length, as a
siamese network and as a CrossEncoder reads them, beside padded batches in the order given. No
network is needed; `--encoder` is a folder or the default's name.
"""

import argparse
import ast
import functools
import gc
import pathlib
import tempfile
import time

import numpy as np
import pandas as pd
import torch

from arena_estimators import BertPairClassifier, load_arena
from arena_estimators._encoder._find import find_encoder
from benchmarks import _battles, _rows
from benchmarks._bert_speed import (
    GPU,
    SIZE,
    encode_in_given_order,
    forget_peak_memory,
    matmul_rate,
    peak_mib,
    random_bert_base,
    train_ours,
    train_with_trainer,
)
from benchmarks._harness import add_data, report

PARTS = ("quality", "train", "predict")


def first_fold(folder):
    """Read judge_unique and give the training and the test part of its first fold."""
    X, y = _battles.read(folder)
    train, test = next(_battles.CV.split(X))
    return X.iloc[train], y[train], X.iloc[test], y[test]


def quality(folder, encoder, variants, seeds):
    """Fit each variant with each seed."""
    X, y, X_test, y_test = first_fold(folder)
    rows = []
    for name, parameters in variants.items():
        losses, fits, predicts, temperatures, probas = [], [], [], [], []
        for seed in range(seeds):
            model = BertPairClassifier(encoder, random_state=seed).set_params(**parameters)
            start = time.perf_counter()
            model.fit(X, y)
            fitted = time.perf_counter()
            proba = model.predict_proba(X_test)
            predicts.append(time.perf_counter() - fitted)
            fits.append(fitted - start)
            losses.append(_rows.losses_of(proba, model.classes_, y_test).mean())
            temperatures.append(model.network_.temperature)
            probas.append(proba)
        averaged = _rows.losses_of(np.mean(probas, axis=0), model.classes_, y_test)
        rows.append(
            {
                "model": name,
                "log loss": float(np.mean(losses)),
                "of each seed": " ".join(f"{loss:.4f}" for loss in losses),
                "seeds averaged": float(averaged.mean()),
                "temperature": float(np.mean(temperatures)),
                "fit s": float(np.median(fits)),
                "predict s": float(np.median(predicts)),
            }
        )
        print(rows[-1], flush=True)
        report(
            "bench_bert_quality", rows, f"{len(X)} battles, tested on {len(y_test)}; {_device()}."
        )
    return rows


def train_speed(folder, encoder, n_battles, profile):
    """Train on whole battles: ours, the Trainer at its defaults, at its best."""
    X, y, *_ = first_fold(folder)
    X, y = X.iloc[:n_battles], y[:n_battles]
    rate = matmul_rate(torch.bfloat16)
    shared = {"batch_tokens": 65536, "compile": True} if GPU else {"batch_tokens": 16384}
    variants = [{}, {"random_state": 0}, {"compile": False}] if GPU else [{}, {"precision": "fp32"}]
    with tempfile.TemporaryDirectory() as home:
        random = pathlib.Path(home) / "bert"
        bert = random_bert_base(encoder, random) if GPU else find_encoder(encoder)
        if profile and GPU:
            train_ours(bert, X[: n_battles // 2], y[: n_battles // 2], profile=True, **shared)
        ways = {}
        for parameters in variants:
            written = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
            run = functools.partial(train_ours, bert, X, y, **shared | parameters)
            ways[f"BertPairClassifier({written})"] = run
        for name, best in {"Trainer, best setting": True, "Trainer, defaults": False}.items():
            ways[name] = functools.partial(train_with_trainer, bert, X, y, best=best, home=home)
        rows = []
        for name, run in ways.items():
            gc.collect()
            if GPU:
                torch.cuda.empty_cache()
            forget_peak_memory()
            found = run()
            rows.append(
                {
                    "training": name,
                    "pairs/s": found["pairs"] / found["seconds"],
                    "tokens/s": found["tokens"] / found["seconds"],
                    "share of matrix rate": found["flops"] / found["seconds"] / rate,
                    "peak GiB": peak_mib() / 1024,
                }
            )
            print(rows[-1], flush=True)
    note = (
        "A pair is one battle read in one order, 512 tokens at most; steady steps, without the "
        f"first ones and compiling. A bf16 product of {SIZE}^3 runs at {rate / 1e12:.2g} TFLOP/s "
        "here, which all rows are compared with; tokens are real ones, without padding. "
        "The Trainer's network has dropout, as its configuration says; ours learns without. "
        f"{'BERT-base' if GPU else encoder}; {_device()}."
    )
    report("bench_bert_train", rows, note)
    return rows


def predict_speed(folder, encoder, n_texts, rounds=3):
    """Encode battles of mixed length, sorted and by budget, and in the order given."""
    names = ("judge_unique", "pandalm_human", "hh_harmless_human")
    files = [folder / f"{name}.parquet" for name in names]
    X = pd.concat([load_arena(file, non_text="json").X for file in files])
    X = X.sample(n_texts // 2, random_state=0)
    rows = []
    for layout, read in {"siamese": "each response", "cross": "both at once"}.items():
        found = encode_in_given_order(encoder, X, layout, rounds=rounds)
        rows += [{"reads": read, **row} for row in found]
    note = (
        f"{len(X)} battles of mixed length; memory is the GPU's, or all of the process. "
        f"{_device()}."
    )
    report("bench_bert_predict", rows, note)
    return rows


def _device():
    if GPU:
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def _variant(text):
    """Read "n_epochs=2 truncation=tail" as parameters."""
    pairs = (part.split("=", 1) for part in text.split())
    return text, {name: _literal(value) for name, value in pairs}


def _literal(value):
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data(parser)
    encoder = BertPairClassifier().encoder
    parser.add_argument("--encoder", default=encoder, help="a folder (default: MiniLM)")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure"
    )
    parser.add_argument(
        "--vary",
        action="append",
        type=_variant,
        default=[],
        metavar="PARAMETERS",
        help="other settings to judge, as in 'n_epochs=2 truncation=tail'; may be repeated",
    )
    parser.add_argument("--seeds", type=int, default=3, help="fits of each setting (default: 3)")
    parser.add_argument("--profile", action="store_true", help="say what a GPU does in training")
    args = parser.parse_args(argv)
    if not args.data:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return
    folder = args.data
    if not GPU and "quality" in args.only:
        print("No GPU: only speed is measured.")
    if "quality" in args.only and GPU:
        quality(folder, args.encoder, {"defaults": {}, **dict(args.vary)}, args.seeds)
    if "train" in args.only:
        train_speed(folder, args.encoder, n_battles=4000 if GPU else 200, profile=args.profile)
    if "predict" in args.only:
        predict_speed(folder, args.encoder, n_texts=4000 if GPU else 300)


if __name__ == "__main__":
    main()
