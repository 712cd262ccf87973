"""Search the regularisation of the linear pipeline, making each feature matrix once.

    python examples/grid_search.py --train train.csv --test test.csv --out submission.csv

Without --train and --test it writes its own battles. Folds are grouped by prompt and the score is
the log loss, as the competition's.
"""

import argparse
import tempfile
import time

from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from arena_estimators import (
    CachedTransformer,
    PromptGroupKFold,
    load_arena,
    make_arena_pipeline,
    make_battles,
    make_submission,
    write_submission,
)

GRID = {
    "davidsonclassifier__alpha": [3e-3, 1e-2, 3e-2, 1e-1],
    "davidsonclassifier__tie_alpha": [1e-3, 1e-2, 1e-1],
}


def search(train, cache, n_jobs=None):
    """Compare the points of the grid; the features of each fold are made once and kept."""
    linear = make_arena_pipeline("linear")
    features = CachedTransformer(linear[:-1], memory=cache, bytes_limit="4G")
    return GridSearchCV(
        make_pipeline(features, linear[-1]),
        GRID,
        cv=PromptGroupKFold(3, shuffle=True, random_state=0),
        scoring="neg_log_loss",
        n_jobs=n_jobs,
        verbose=1,
    ).fit(train.X, train.y)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", help="battles with winners (default: 1,500 made ones)")
    parser.add_argument("--test", help="battles to predict (default: 100 made ones)")
    parser.add_argument("--out", default="submission.csv", help="the file to write")
    parser.add_argument("--cache", help="a folder to keep the features in (default: a new one)")
    parser.add_argument("--n-jobs", type=int, help="how many fits at a time")
    args = parser.parse_args(argv)
    train = load_arena(args.train) if args.train else make_battles(1500, random_state=0)
    test = load_arena(args.test) if args.test else make_battles(100, random_state=1)

    cv = PromptGroupKFold(3, shuffle=True, random_state=0)
    prior = cross_val_score(DummyClassifier(), train.X, train.y, cv=cv, scoring="neg_log_loss")
    print(f"class prior: log loss {-prior.mean():.4f}")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = search(train, args.cache or folder, args.n_jobs)
        frame = make_submission(found, test.X, test.id)
    points = found.cv_results_
    for params, score in zip(points["params"], points["mean_test_score"], strict=True):
        alpha, tie_alpha = (params[name] for name in GRID)
        print(f"alpha {alpha:<6g} tie_alpha {tie_alpha:<6g} log loss {-score:.4f}")
    print(f"best: {found.best_params_}, log loss {-found.best_score_:.4f}")
    write_submission(frame, args.out)
    print(f"{len(frame)} predictions in {args.out} ({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
