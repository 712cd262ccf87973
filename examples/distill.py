"""Teach a small model what a blend knows, also about battles nobody voted on.

    python examples/distill.py --train train.csv --unlabelled more.csv --test test.csv

Without files it writes its own battles. The student alone, and the student taught by the blend,
are compared on battles that neither has seen.
"""

import argparse
import time

from blend import make_blend, prior_log_loss
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from arena_estimators import (
    DavidsonClassifier,
    DistillingClassifier,
    PairStyleFeatures,
    load_arena,
    make_battles,
    make_submission,
    prompt_groups,
    write_submission,
)


def make_student():
    """Compose a model of style alone, which is small and fast."""
    scaler = StandardScaler(with_mean=False)
    return make_pipeline(PairStyleFeatures(), scaler, DavidsonClassifier(1e-2, tie_alpha=1e-2))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", help="battles with winners (default: 600 made ones)")
    parser.add_argument("--unlabelled", help="battles without (default: 600 made ones)")
    parser.add_argument("--test", help="battles to predict (default: 100 made ones)")
    parser.add_argument("--out", default="submission.csv", help="the file to write")
    args = parser.parse_args(argv)
    train = load_arena(args.train) if args.train else make_battles(600, random_state=0)
    others = None if args.train else make_battles(600, random_state=2).X
    if args.unlabelled:
        others = load_arena(args.unlabelled).X
    test = load_arena(args.test) if args.test else make_battles(100, random_state=1)

    start = time.perf_counter()
    split = GroupShuffleSplit(1, test_size=0.25, random_state=0)
    known, unseen = next(split.split(train.X, train.y, prompt_groups(train.X)))
    X, y = train.X.iloc[known], train.y[known]
    teacher = make_blend().set_params(verbose=False, cv=2)
    print(f"Fitting teachers on {len(X):,} battles ...", flush=True)
    models = {
        "student alone": make_student().fit(X, y),
        "student of itself": DistillingClassifier(make_student(), hard_weight=0.5).fit(X, y),
        "student of the blend": DistillingClassifier(
            make_student(), teacher, hard_weight=0.5, cv=2, verbose=True
        ).fit(X, y, X_unlabelled=others),
    }
    models["the blend"] = teacher.fit(X, y)
    print(f"\n{'class prior':<22} log loss {prior_log_loss(train.y):.4f}")
    for name, model in models.items():
        loss = log_loss(train.y[unseen], model.predict_proba(train.X.iloc[unseen]))
        print(f"{name:<22} log loss {loss:.4f}")
    frame = make_submission(models["student of the blend"], test.X, test.id)
    write_submission(frame, args.out)
    print(f"{len(frame)} predictions in {args.out} ({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
