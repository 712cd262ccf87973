"""How good are the predictions? Log loss on judge_unique, 5 folds grouped by prompt.

Each model runs all folds in a process of its own, so that seconds and peak memory are its own.
The interval is of the difference to "linear": a paired bootstrap over prompts, 95 %.
"""

import sys
import time

import numpy as np
from sklearn.pipeline import make_pipeline

from arena_estimators import (
    NLTKCleaner,
    make_arena_pipeline,
    prompt_groups,
    swap_inconsistency,
)
from benchmarks import _battles
from benchmarks._harness import data_folder, in_fresh_process, report

MODELS = {
    "class prior": _battles.prior,
    "response length alone": _battles.length,
    "joined TF-IDF + LogisticRegression": _battles.joined,
    "TF-IDF differences by hand + LogisticRegression": _battles.differences,
    "joined, cleaned": lambda: make_pipeline(NLTKCleaner(), _battles.joined()),
    "linear, cleaned": lambda: make_pipeline(NLTKCleaner(), make_arena_pipeline("linear")),
    "linear": make_arena_pipeline,
    "boosting": lambda: make_arena_pipeline("boosting", n_jobs=2, random_state=0),
}


def evaluate(name, folder):
    """Predict every battle out of fold; return the loss of each, seconds of each step."""
    X, y = _battles.read(folder)
    classes, codes = np.unique(y, return_inverse=True)
    losses = np.empty(len(y))
    fit = predict = 0.0
    for train, test in _battles.CV.split(X):
        start = time.perf_counter()
        model = MODELS[name]().fit(X.iloc[train], y[train])
        fitted = time.perf_counter()
        proba = model.predict_proba(X.iloc[test])
        predict += time.perf_counter() - fitted
        fit += fitted - start
        assert model.classes_.tolist() == classes.tolist()
        losses[test] = -np.log(proba[np.arange(len(test)), codes[test]])
    return losses, fit / 5, predict / 5, swap_inconsistency(model, X.iloc[test[:300]])


def interval(difference, groups, n_boot=2000, seed=0):
    """Bound the mean of paired differences by resampling prompts."""
    sums = np.bincount(groups, weights=difference)
    counts = np.bincount(groups)
    draws = np.random.default_rng(seed).integers(len(sums), size=(n_boot, len(sums)))
    return np.quantile(sums[draws].sum(1) / counts[draws].sum(1), [0.025, 0.975])


def main(argv=None):
    folder = data_folder(argv)
    if folder is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return
    results = {}
    for name in MODELS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        (losses, fit, predict, swaps), _, peak, _ = in_fresh_process(evaluate, name, folder)
        results[name] = losses, fit, predict, swaps, peak
    groups = prompt_groups(_battles.read(folder)[0])
    reference = results["linear"][0]
    rows = []
    for name, (losses, fit, predict, swaps, peak) in results.items():
        low, high = interval(losses - reference, groups)
        row = {"model": name, "log loss": f"{losses.mean():.4f}"}
        row["minus linear (95 %)"] = "" if name == "linear" else f"{low:+.4f} to {high:+.4f}"
        row |= {"fit, s a fold": fit, "predict, s a fold": predict, "peak, MiB": round(peak)}
        rows.append(row | {"swap inconsistency": swaps})
    report("quality", rows, f"{len(reference):,} battles, {groups.max() + 1} prompts.")


if __name__ == "__main__":
    main()
