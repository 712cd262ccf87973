"""Encoding texts of mixed length: by token budget, packed, and padded in the order given.

    python -m benchmarks.bench_encode --data FOLDER [--battles 300] [--rounds 3]

The encoder is all-MiniLM-L6-v2 with its real weights, on the CPU in fp32; the battles are a sample
of judge_unique, each text at most 512 tokens with its prompt. The ways take turns, so that noise
of the machine meets them alike. The ratio is the median over the rounds, of processor time as
well, which others on the machine do not change.
"""

import argparse
import os
import pathlib
import time

import numpy as np
import torch

from arena_estimators._encoder._find import DEFAULT_ENCODER, find_encoder
from arena_estimators._encoder._load import load_encoder, load_tokenizer
from arena_estimators._encoder._run import encode, forward, pad
from arena_estimators._encoder._texts import clear_cache
from arena_estimators._encoder._tokenise import tokenise
from benchmarks import _battles
from benchmarks._harness import report


def padded_in_given_order(model, sequences, batch_size=32):
    """Encode as most scripts do: so many texts at a time, padded to the longest of them."""
    vectors = []
    with torch.inference_mode():
        for start in range(0, len(sequences), batch_size):
            places = np.arange(start, min(start + batch_size, len(sequences)))
            vectors.append(forward(model, pad(sequences, places), pooling="mean"))
    return torch.cat(vectors).numpy()


def compare(model, sequences, rounds):
    """Time the ways in turn; give one row each."""
    ways = {
        "padded, 32 in the order given": lambda: padded_in_given_order(model, sequences),
        "by token budget": lambda: encode(model, sequences, packed=False),
        "by token budget, packed": lambda: encode(model, sequences, packed=True),
    }
    wall, processor, vectors = ({name: [] for name in ways} for _ in range(3))
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter(), time.process_time()
            vectors[name] = way()
            wall[name].append(time.perf_counter() - start[0])
            processor[name].append(time.process_time() - start[1])
    slow = next(iter(ways))
    tokens = int(sequences.lengths.sum())
    return [
        {
            "way": name,
            "seconds": float(np.median(wall[name])),
            "texts/s": len(sequences) / float(np.median(wall[name])),
            "tokens/s": tokens / float(np.median(wall[name])),
            "ratio": _ratio(wall[slow], wall[name]),
            "ratio of processor time": _ratio(processor[slow], processor[name]),
            "largest difference": float(np.abs(vectors[name] - vectors[slow]).max()),
        }
        for name in ways
    ]


def _ratio(slow, fast):
    return float(np.median(np.divide(slow, fast)))


def tokenising(X, tokenizer):
    """Time tokenising new battles and the same battles again; give one row each."""
    clear_cache()
    rows = []
    for name in ("tokenise, new texts", "tokenise, known texts"):
        start = time.perf_counter()
        made = tokenise(X, tokenizer)
        seconds = time.perf_counter() - start
        tokens = int(made.sequences.lengths.sum())
        rows.append({"way": name, "seconds": seconds, "texts/s": len(made.sequences) / seconds})
        rows[-1]["tokens/s"] = tokens / seconds
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ARENA_DATA"))
    parser.add_argument("--battles", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(argv)
    if not args.data:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return
    X, _ = _battles.read(pathlib.Path(args.data))
    X = X.sample(args.battles, random_state=0)
    folder = find_encoder(DEFAULT_ENCODER)
    tokenizer, model = load_tokenizer(folder), load_encoder(folder)
    rows = tokenising(X, tokenizer)
    sequences = tokenise(X, tokenizer).sequences
    rows += compare(model, sequences, args.rounds)
    lengths = np.percentile(sequences.lengths, [5, 50, 95]).astype(int).tolist()
    note = (
        f"{args.battles} battles, tokens a text at 5/50/95 %: {lengths}; "
        f"{torch.get_num_threads()} threads, {args.rounds} rounds in turn."
    )
    report("bench_encode", rows, note)


if __name__ == "__main__":
    main()
