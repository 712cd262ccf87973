"""Blend three kinds of model with the weights that minimise the out-of-fold log loss.

    python examples/blend.py --train train.csv --test test.csv --out submission.csv

Without --train and --test it writes its own battles.
"""

import argparse
import time

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from arena_estimators import (
    BlendingClassifier,
    DavidsonClassifier,
    PairStyleFeatures,
    PairTfidfVectorizer,
    SwapSymmetricClassifier,
    load_arena,
    make_battles,
    make_submission,
    write_submission,
)


def make_blend(n_jobs=None):
    """Compose words, style, and boosted trees on style; each treats both responses alike."""
    words = PairTfidfVectorizer(min_df=3, sublinear_tf=True)
    trees = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.06, max_leaf_nodes=12)
    return BlendingClassifier(
        [
            ("words", make_pipeline(words, DavidsonClassifier(1e-3, tie_alpha=1e-2))),
            (
                "style",
                make_pipeline(
                    PairStyleFeatures(),
                    StandardScaler(with_mean=False),
                    DavidsonClassifier(1e-2, tie_alpha=1e-2),
                ),
            ),
            ("trees", SwapSymmetricClassifier(make_pipeline(PairStyleFeatures(), trees))),
        ],
        cv=3,
        n_jobs=n_jobs,
        verbose=True,
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", help="battles with winners (default: 1,500 made ones)")
    parser.add_argument("--test", help="battles to predict (default: 100 made ones)")
    parser.add_argument("--out", default="submission.csv", help="the file to write")
    parser.add_argument("--n-jobs", type=int, help="how many fits at a time")
    args = parser.parse_args(argv)
    train = load_arena(args.train) if args.train else make_battles(1500, random_state=0)
    test = load_arena(args.test) if args.test else make_battles(100, random_state=1)

    start = time.perf_counter()
    print(f"Fitting three members on {len(train.X):,} battles, on each fold and on all ...")
    model = make_blend(args.n_jobs).fit(train.X, train.y)
    print_blend(model, train.y)
    frame = make_submission(model, test.X, test.id)
    write_submission(frame, args.out)
    print(f"{len(frame)} predictions in {args.out} ({time.perf_counter() - start:.0f} s)")


def print_blend(model, y):
    """Print the out-of-fold log loss of each member and of the blend, weights and temperature."""
    print(f"\nclass prior  log loss {prior_log_loss(y):.4f}")
    for name, loss in model.oof_log_loss_.items():
        print(f"{name:<12} log loss {loss:.4f}", end="")
        if name in model.weights_:
            gain = model.leave_one_out_[name]
            print(f"  weight {model.weights_[name]:.2f}, gains {gain:.4f}", end="")
        print()
    print(f"temperature {model.temperature_:.2f}")


def prior_log_loss(y):
    """Give the log loss of the shares of the classes."""
    shares = np.unique(y, return_counts=True)[1] / len(y)
    return float(-(shares * np.log(shares)).sum())


if __name__ == "__main__":
    main()
