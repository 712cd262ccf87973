"""Teach a small model what a blend knows, also about battles nobody voted on.

    python examples/distill.py --train train.csv --unlabelled more.csv --test test.csv

Without --train and --test it makes up its own battles. The student alone, and the student taught by
the blend, are compared on battles that neither has seen.
"""

import argparse

from blend import make_blend, prior_log_loss
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from submit_files import parse, read_test, read_train, save, submit

from arena_estimators import (
    DavidsonClassifier,
    DistillingClassifier,
    PairStyleFeatures,
    PromptGroupShuffleSplit,
    load_arena,
    make_battles,
)

N_TRAIN = N_UNLABELLED = 600
HELD_OUT = PromptGroupShuffleSplit(random_state=0)


def make_student():
    """Compose a model of style alone, which is small and fast."""
    scaler = StandardScaler(with_mean=False)
    return make_pipeline(PairStyleFeatures(), scaler, DavidsonClassifier(1e-2, tie_alpha=1e-2))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unlabelled", help="more battles, without winners")
    args = parse(parser, argv, N_TRAIN)
    if args.unlabelled and not args.train:
        parser.error("--unlabelled needs --train and --test too")
    train, test = read_train(args.train, N_TRAIN), read_test(args.test)
    others = read_unlabelled(args)

    models, unseen = fit_models(train, others)
    print(f"\n{'class prior':<22} log loss {prior_log_loss(train.y):.4f}")
    for name, model in models.items():
        proba = model.predict_proba(train.X.iloc[unseen])
        loss = log_loss(train.y[unseen], proba, labels=model.classes_)
        print(f"{name:<22} log loss {loss:.4f}")
    student = models["student of the blend"]
    save(student, args.model)
    submit(student, test, args.out)


def read_unlabelled(args):
    """Load the battles without winners, if there are any; made battles get made ones."""
    if args.unlabelled:
        return load_arena(args.unlabelled).X
    return None if args.train else make_battles(N_UNLABELLED, random_state=2).X


def fit_models(train, others):
    """Fit students and teacher on three quarters of the battles; also give the unseen rows."""
    known, unseen = next(HELD_OUT.split(train.X))
    X, y = train.X.iloc[known], train.y[known]
    teacher = make_blend().set_params(verbose=False, cv=2)
    print(f"Fitting students and their teacher on {len(X):,} battles ...", flush=True)
    models = {
        "student alone": make_student().fit(X, y),
        "student of itself": DistillingClassifier(make_student(), hard_weight=0.5).fit(X, y),
        "student of the blend": DistillingClassifier(
            make_student(), teacher, hard_weight=0.5, cv=2, verbose=True
        ).fit(X, y, X_unlabelled=others),
        "the blend": teacher.fit(X, y),
    }
    return models, unseen


if __name__ == "__main__":
    main()
