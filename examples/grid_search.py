"""Search the regularisation of the linear pipeline around its default; features are made once.

    python examples/grid_search.py --train train.csv --test test.csv --out submission.csv

Without --train and --test it makes up its own battles. Folds are grouped by prompt and the score is
the log loss, as in the competition.
"""

import argparse
import tempfile

from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from submit_files import parse, read_test, read_train, save, submit

from arena_estimators import CachedTransformer, PromptGroupKFold, make_arena_pipeline

N_TRAIN = 1500
CV = PromptGroupKFold(3, shuffle=True, random_state=0)
ALPHA, TIE_ALPHA = "davidsonclassifier__alpha", "davidsonclassifier__tie_alpha"


def make_grid(n_battles):
    """Give strengths around the default, which is smaller the more battles there are."""
    around = {ALPHA: [30, 300], TIE_ALPHA: [300, 3000]}
    return {
        name: ["auto", *(float(f"{strength / n_battles:.2g}") for strength in strengths)]
        for name, strengths in around.items()
    }


def search(train, cache, n_jobs=None):
    """Compare the points of the grid; the features of each fold are made once and kept."""
    linear = make_arena_pipeline("linear")
    features = CachedTransformer(linear[:-1], memory=cache)
    return GridSearchCV(
        make_pipeline(features, linear[-1]),
        make_grid(len(train.X)),
        cv=CV,
        scoring="neg_log_loss",
        n_jobs=n_jobs,
        verbose=2,
    ).fit(train.X, train.y)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", help="a folder to keep the features in (default: a new one)")
    parser.add_argument("--n-jobs", type=int, help="how many fits at a time")
    args = parse(parser, argv, N_TRAIN)
    train, test = read_train(args.train, N_TRAIN), read_test(args.test)

    prior = cross_val_score(DummyClassifier(), train.X, train.y, cv=CV, scoring="neg_log_loss")
    print(f"class prior: log loss {-prior.mean():.4f}")
    with tempfile.TemporaryDirectory() as folder:
        found = search(train, args.cache or folder, args.n_jobs)
        print_points(found)
        save(found.best_estimator_, args.model)
        submit(found, test, args.out)


def print_points(found):
    """Print the log loss of each point of the grid, and the best; "auto" is the default."""
    points = found.cv_results_
    for params, score in zip(points["params"], points["mean_test_score"], strict=True):
        print(
            f"alpha {params[ALPHA]!s:<7} tie_alpha {params[TIE_ALPHA]!s:<7} log loss {-score:.4f}"
        )
    print(f"best: {found.best_params_}, log loss {-found.best_score_:.4f}")


if __name__ == "__main__":
    main()
