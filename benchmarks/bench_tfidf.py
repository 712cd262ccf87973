"""How fast is PairTfidfVectorizer, and how much memory does it need?

Beside it stand two compositions of scikit-learn's TfidfVectorizer by hand, which give the same
matrix: the usual one (fit on all responses, transform a, transform b, subtract), which analyses
every text twice, and the best one (fit_transform on all responses, slice the rows, subtract), which
analyses it once. Ratios are to the best one. Every way runs in fresh processes, in turns with the
others; the table has medians.

The floor for words is the row "re.findall": what finding the tokens takes with the regular
expression alone, before any is counted. PairTfidfVectorizer finds them another way, by the edges of
runs of word characters in the UTF-8 bytes. On two cores shared with other work, in seconds of
processor time: the floor 2.4, fit_transform 3.0 in all, the best composition 21.4.
"""

import functools
import json
import re
import time

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from arena_estimators import PairTfidfVectorizer
from benchmarks import _harness

COLUMNS = ["prompt", "response_a", "response_b"]
ROUNDS = 3
SETTINGS = {  # name: (number of battles, parameters)
    "word (1, 2)": (None, {"ngram_range": (1, 2)}),
    "char_wb (3, 5)": (4000, {"analyzer": "char_wb", "ngram_range": (3, 5)}),
}


def load(path):
    """Give the battles, their turns joined."""
    cells = pd.read_parquet(path, columns=COLUMNS).map(json.loads)
    return cells.map(lambda turns: "\n\n".join(turn for turn in turns if turn))


def measured(function):
    """Let a function return its seconds, its seconds of processor time, and the MiB it added."""

    @functools.wraps(function)
    def wrapper(*arguments):
        _harness.forget_peak()  # the one that reading the arguments made
        before = _harness.peak_memory()
        cpu, start = time.process_time(), time.perf_counter()
        result = function(*arguments)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak = _harness.peak_memory()
        del result
        return seconds, cpu, peak - before

    return wrapper


@measured
def find_tokens(X, params):
    find = re.compile(TfidfVectorizer().token_pattern).findall
    return sum(len(find(text.lower())) for name in COLUMNS[1:] for text in X[name])


@measured
def fit_usual(X, params):
    vectorizer = TfidfVectorizer(dtype=np.float32, **params)
    vectorizer.fit(pd.concat([X.response_a, X.response_b]))
    return vectorizer.transform(X.response_a) - vectorizer.transform(X.response_b)


@measured
def fit_best(X, params):
    vectorizer = TfidfVectorizer(dtype=np.float32, **params)
    rows = vectorizer.fit_transform(pd.concat([X.response_a, X.response_b]))
    return rows[: len(X)] - rows[len(X) :]


@measured
def fit_ours(X, params, n_jobs):
    return PairTfidfVectorizer(n_jobs=n_jobs, **params).fit_transform(X)


@measured
def transform_by_hand(X, vectorizer):
    return vectorizer.transform(X.response_a) - vectorizer.transform(X.response_b)


@measured
def transform_ours(X, vectorizer):
    return vectorizer.transform(X)


def ways(X, params):
    """Name the calls to measure: (task, way), function, arguments; the yardsticks first."""
    by_hand = TfidfVectorizer(dtype=np.float32, **params)
    by_hand.fit(pd.concat([X.response_a, X.response_b]))
    ours = PairTfidfVectorizer(**params).fit(X)
    two = PairTfidfVectorizer(n_jobs=2, **params).fit(X)
    yield ("fit_transform", "by hand, best"), fit_best, (X, params)
    yield ("fit_transform", "by hand, usual"), fit_usual, (X, params)
    yield ("fit_transform", "ours, n_jobs=1"), fit_ours, (X, params, 1)
    yield ("fit_transform", "ours, n_jobs=2"), fit_ours, (X, params, 2)
    yield ("transform", "by hand"), transform_by_hand, (X, by_hand)
    yield ("transform", "ours, n_jobs=1"), transform_ours, (X, ours)
    yield ("transform", "ours, n_jobs=2"), transform_ours, (X, two)
    if params.get("analyzer", "word") == "word":
        yield ("floor", "re.findall"), find_tokens, (X, params)


def measure(name, X, params):
    """Measure all ways in turns; give one row each."""
    calls, samples = list(ways(X, params)), {}
    for _ in range(ROUNDS):
        for key, function, arguments in calls:
            numbers, *_ = _harness.in_fresh_process(function, *arguments)
            samples.setdefault(key, []).append(numbers)
    medians = {key: np.median(numbers, axis=0).tolist() for key, numbers in samples.items()}
    for (task, way), (seconds, cpu, peak) in medians.items():
        yardstick = "by hand" if task == "transform" else "by hand, best"
        reference = medians["transform" if task == "transform" else "fit_transform", yardstick]
        yield {
            "n-grams": name,
            "battles": len(X),
            "task": task,
            "way": way,
            "seconds": seconds,
            "times faster": reference[0] / seconds,
            "CPU seconds": cpu,
            "times less CPU": reference[1] / cpu,
            "memory added (MiB)": peak,
        }


def main(argv=None):
    folder = _harness.data_folder(argv)
    if folder is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return
    X = load(folder / "judge_unique.parquet")
    rows = []
    for name, (n_battles, params) in SETTINGS.items():
        rows += measure(name, X[:n_battles], params)
    n_characters = int(sum(X[name].str.len().sum() for name in COLUMNS[1:]))
    note = f"judge_unique: {2 * len(X)} responses, {n_characters / 1e6:.1f} million characters."
    _harness.report("tfidf", rows, f"{note} Medians of {ROUNDS} fresh processes each.")


if __name__ == "__main__":
    main()
