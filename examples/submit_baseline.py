"""From train.csv to submission.csv with the linear pipeline, on a CPU.

    python examples/submit_baseline.py --train train.csv --test test.csv --out submission.csv

Before it fits on all battles, it tells by cross-validation, grouped by prompt, what log loss to
expect, beside two rules to beat: the class prior, and the length of the responses alone.
"""

import argparse
import pathlib
import time

import joblib
import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tqdm import tqdm

from arena_estimators import (
    DavidsonClassifier,
    PromptGroupKFold,
    load_arena,
    make_arena_pipeline,
    make_submission,
    write_submission,
)
from arena_estimators.battles import texts


def length_gap(X):
    """Give the difference of the log lengths of the responses, an odd feature."""
    lengths = [np.log1p([len(text) for text in texts(X[c])]) for c in ("response_a", "response_b")]
    return pd.DataFrame({"length": lengths[0] - lengths[1]})


def cross_validate(models, X, y, n_splits=5):
    """Print the log loss of each model over folds that share no prompt."""
    losses = {name: [] for name in models}
    folds = PromptGroupKFold(n_splits, shuffle=True, random_state=0).split(X)
    for train, test in tqdm(folds, total=n_splits, desc="cross-validation", unit="fold"):
        for name, model in models.items():
            model.fit(X.iloc[train], y[train])
            proba = model.predict_proba(X.iloc[test])
            losses[name].append(log_loss(y[test], proba, labels=model.classes_))
    print(f"\nLog loss over {n_splits} folds grouped by prompt (lower is better)")
    for name, values in losses.items():
        print(f"  {name:<22} {np.mean(values):.4f}  (folds {min(values):.4f} to {max(values):.4f})")
    return {name: float(np.mean(values)) for name, values in losses.items()}


def run(train, test, out, model_path=None, n_jobs=None):
    """Cross-validate, fit on all battles, and write the submission and the model."""
    models = {
        "class prior": DummyClassifier(),
        "response length alone": make_pipeline(
            FunctionTransformer(length_gap), DavidsonClassifier()
        ),
        "linear": make_arena_pipeline("linear", n_jobs=n_jobs),
    }
    losses = cross_validate(models, train.X, train.y)
    start = time.perf_counter()
    print(f"\nFitting on all {len(train.X):,} battles ...", flush=True)
    model = models["linear"].fit(train.X, train.y)
    frame = make_submission(model, test.X, test.id)
    write_submission(frame, out)
    print(f"{len(frame):,} predictions in {out} ({time.perf_counter() - start:.0f} s)")
    if model_path:
        save(model, model_path)
    return losses


def save(model, path):
    """Save a fitted pipeline, in a folder that is made if need be."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, path)
    print(f"The fitted pipeline is in {path}: joblib.load reads it back.")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", default="data/train.csv", help="battles with winners")
    parser.add_argument("--test", default="data/test.csv", help="battles to predict")
    parser.add_argument("--out", default="submission.csv", help="the file to write")
    parser.add_argument("--model", help="also save the fitted pipeline here (joblib)")
    parser.add_argument("--n-jobs", type=int, help="processes that read the texts")
    args = parser.parse_args(argv)
    train, test = load_arena(args.train), load_arena(args.test)
    run(train, test, args.out, args.model, args.n_jobs)


if __name__ == "__main__":
    main()
