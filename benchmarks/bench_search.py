"""How much faster is a grid search that keeps its features? The same 12 points, three ways.

The three searches run one after the other in one process. Other work on the machine shifts their
wall seconds; the ratios that count are those of CPU seconds, of the one thread that works.
"""

import tempfile
import time

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from arena_estimators import CachedTransformer, PromptGroupKFold, make_arena_pipeline
from benchmarks import _battles
from benchmarks._harness import data_folder, report

N_BATTLES = 1500
GRID = {  # around "auto", which is 0.1 and 1 for the 1,000 battles of a fold
    "davidsonclassifier__alpha": [3e-2, 1e-1, 3e-1, 1.0],
    "davidsonclassifier__tie_alpha": [3e-1, 1.0, 3.0],
}


def plain(folder):
    return make_arena_pipeline("linear")


def memory(folder):
    return make_arena_pipeline("linear").set_params(memory=folder)


def cached(folder):
    linear = make_arena_pipeline("linear")
    return make_pipeline(CachedTransformer(linear[:-1], memory=folder), linear[-1])


WAYS = {"nothing kept": plain, "Pipeline(memory=...)": memory, "CachedTransformer": cached}


def measure(make, X, y):
    """Search, and give the search, its wall seconds and its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        start, cpu = time.perf_counter(), time.process_time()
        cv = PromptGroupKFold(3, shuffle=True, random_state=0)
        search = GridSearchCV(make(folder), GRID, cv=cv, scoring="neg_log_loss", refit=False)
        search.fit(X, y)
        return search, time.perf_counter() - start, time.process_time() - cpu


def main(argv=None):
    folder = data_folder(argv)
    if folder is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return
    X, y = _battles.some(*_battles.read(folder), N_BATTLES)
    runs = {name: measure(make, X, y) for name, make in WAYS.items()}
    first, wall, cpu = runs["nothing kept"]
    scores = first.cv_results_["mean_test_score"]
    rows = [
        {
            "kept": name,
            "wall s": run[1],
            "CPU s": run[2],
            "times faster (wall)": wall / run[1],
            "times faster (CPU)": cpu / run[2],
            "same scores": bool(np.array_equal(run[0].cv_results_["mean_test_score"], scores)),
            "best log loss": -float(run[0].best_score_),
        }
        for name, run in runs.items()
    ]
    note = f"judge_unique, {len(X)} battles, 3 folds, 12 points of alpha and tie_alpha."
    report("search", rows, note)


if __name__ == "__main__":
    main()
