"""Blend three kinds of model with the weights that minimise the out-of-fold log loss.

    python examples/blend.py --train train.csv --test test.csv --out submission.csv

Without --train and --test it makes up its own battles.
"""

import argparse

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from submit_files import parse, read_test, read_train, save, submit

from arena_estimators import (
    BlendingClassifier,
    DavidsonClassifier,
    PairStyleFeatures,
    PairTfidfVectorizer,
    SwapSymmetricClassifier,
)

N_TRAIN = 1500


def make_blend(n_jobs=None):
    """Compose words, style, and boosted trees on style; each treats both responses alike."""
    words = PairTfidfVectorizer(min_df=3, sublinear_tf=True)
    # Its own early stopping would hold out rows whose exchanged copies it learns from.
    trees = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.06, max_leaf_nodes=12, early_stopping=False
    )
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
    parser.add_argument("--n-jobs", type=int, help="how many fits at a time")
    args = parse(parser, argv, N_TRAIN)
    train, test = read_train(args.train, N_TRAIN), read_test(args.test)

    print(f"Fitting three members on {len(train.X):,} battles ...", flush=True)
    model = make_blend(args.n_jobs).fit(train.X, train.y)
    print_blend(model, train.y)
    save(model, args.model)
    submit(model, test, args.out)


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
