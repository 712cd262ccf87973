"""How fast is one fold from raw text to probabilities, beside a composition by hand?

By hand: one TfidfVectorizer over both responses, read once, signed and absolute differences of
words (1, 2), LogisticRegression. Ours is the whole "linear" pipeline, which reads the style of the
responses besides. Each run is a fresh process; the two take turns, and medians are compared.
"""

import statistics
import time

import numpy as np
from sklearn.metrics import log_loss

from arena_estimators import make_arena_pipeline
from benchmarks import _battles
from benchmarks._harness import data_folder, in_fresh_process, report

MODELS = {
    "by hand": _battles.differences,
    "linear": make_arena_pipeline,
    "linear, n_jobs=2": lambda: make_arena_pipeline("linear", n_jobs=2),
}


def one_fold(name, folder):
    """Fit and predict the first fold; return seconds without reading the file, and log loss."""
    X, y = _battles.read(folder)
    train, test = next(_battles.CV.split(X))
    start = time.perf_counter()
    proba = MODELS[name]().fit(X.iloc[train], y[train]).predict_proba(X.iloc[test])
    seconds = time.perf_counter() - start
    return seconds, float(log_loss(y[test], proba, labels=np.unique(y)))


def main(argv=None):
    folder = data_folder(argv)
    if folder is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return
    runs = {name: [] for name in MODELS}
    for _ in range(2):
        for name in MODELS:
            (seconds, loss), _, peak, _ = in_fresh_process(one_fold, name, folder)
            runs[name].append((seconds, loss, peak))
    by_hand = statistics.median(run[0] for run in runs["by hand"])
    rows = []
    for name, measured in runs.items():
        seconds, loss, peak = (statistics.median(values) for values in zip(*measured, strict=True))
        row = {"composition": name, "seconds": seconds, "times faster": by_hand / seconds}
        rows.append(row | {"log loss": f"{loss:.4f}", "peak, MiB": round(peak)})
    report("road", rows, "First fold of judge_unique, text to probabilities, median of 2.")


if __name__ == "__main__":
    main()
