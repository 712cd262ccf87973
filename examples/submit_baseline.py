"""From train.csv to submission.csv with one of the library's pipelines, by default the linear one.

    python examples/submit_baseline.py --train train.csv --test test.csv --out submission.csv
    python examples/submit_baseline.py --kind svm

Without --train and --test it makes up its own battles. Before it fits on all battles, it shows by
cross-validation, grouped by prompt, what log loss to expect, next to two baselines to beat: the
class prior, and the length of the responses alone.
"""

import argparse

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from submit_files import check_complete, parse, read_test, read_train, save, submit
from tqdm import tqdm

from arena_estimators import DavidsonClassifier, PromptGroupKFold, make_arena_pipeline
from arena_estimators.battles import texts

KINDS = ["linear", "boosting", "forest", "kernel", "svm", "embedding", "bert", "ensemble"]
N_TRAIN = 1500
CV = PromptGroupKFold(5, shuffle=True, random_state=0)


def length_gap(X):
    """Give the difference of the log lengths of the responses, an odd feature."""
    lengths = [np.log1p([len(text) for text in texts(X[c])]) for c in ("response_a", "response_b")]
    return pd.DataFrame({"length": lengths[0] - lengths[1]})


def cross_validate(models, X, y, cv=CV):
    """Print the log loss of each model over folds that share no prompt."""
    losses = {name: [] for name in models}
    with tqdm(total=cv.n_splits * len(models), desc="cross-validation", unit="fit") as bar:
        for train, test in cv.split(X):
            for name, model in models.items():
                bar.set_postfix_str(name)
                check_complete(model.fit(X.iloc[train], y[train]))
                proba = model.predict_proba(X.iloc[test])
                losses[name].append(log_loss(y[test], proba, labels=model.classes_))
                bar.update()
    print(f"\nLog loss over {cv.n_splits} folds grouped by prompt (lower is better)")
    for name, values in losses.items():
        print(f"  {name:<22} {np.mean(values):.4f}  (folds {min(values):.4f} to {max(values):.4f})")
    return {name: float(np.mean(values)) for name, values in losses.items()}


def run(train, test, out, model_path=None, n_jobs=None, kind="linear"):
    """Cross-validate, fit on all battles, and write the model and the submission."""
    models = {
        "class prior": DummyClassifier(),
        "response length alone": make_pipeline(
            FunctionTransformer(length_gap), DavidsonClassifier()
        ),
        kind: make_arena_pipeline(kind, n_jobs=n_jobs, random_state=0),
    }
    losses = cross_validate(models, train.X, train.y)
    print(f"\nFitting on all {len(train.X):,} battles ...", flush=True)
    model = models[kind].fit(train.X, train.y)
    check_complete(model)
    save(model, model_path)
    submit(model, test, out)
    return losses


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, default="linear", help="(default: linear)")
    parser.add_argument("--n-jobs", type=int, help="threads or processes that a step may use")
    args = parse(parser, argv, N_TRAIN)
    train, test = read_train(args.train, N_TRAIN), read_test(args.test)
    run(train, test, args.out, args.model, args.n_jobs, args.kind)


if __name__ == "__main__":
    main()
