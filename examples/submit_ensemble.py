"""From train.csv to submission.csv with the strongest pipeline that needs no GPU: "ensemble".

    python examples/submit_ensemble.py --train train.csv --test test.csv --out submission.csv

Without --train and --test it writes its own battles. Every member is fitted on each fold, grouped
by prompt, and then on all battles; the folds give the log loss to expect, the weights and the
temperature. With --minilm a fine-tuned MiniLM is a member too, which wants a GPU.
"""

import argparse
import time

from blend import print_blend
from submit_baseline import save
from submit_bert import project

from arena_estimators import (
    load_arena,
    make_arena_pipeline,
    make_battles,
    make_submission,
    write_submission,
)


def make_ensemble(n_jobs=None, minilm=False):
    """Compose the blend, with the fine-tuned encoder or without."""
    model = make_arena_pipeline("ensemble", n_jobs=n_jobs, random_state=0)
    if minilm:
        bert = make_arena_pipeline("bert", random_state=0)
        model.set_params(estimators=[*model.estimators, ("minilm", bert)])
    return model.set_params(verbose=True)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", help="battles with winners (default: 300 made ones)")
    parser.add_argument("--test", help="battles to predict (default: 100 made ones)")
    parser.add_argument("--out", default="submission.csv", help="the file to write")
    parser.add_argument("--model", help="also save the fitted pipeline here (joblib)")
    parser.add_argument("--minilm", action="store_true", help="add a fine-tuned MiniLM")
    parser.add_argument("--folds", type=int, default=3, help="folds of the blend (default: 3)")
    parser.add_argument("--n-jobs", type=int, help="threads and processes of a step")
    args = parser.parse_args(argv)
    train = load_arena(args.train) if args.train else make_battles(300, random_state=0)
    test = load_arena(args.test) if args.test else make_battles(100, random_state=1)

    start = time.perf_counter()
    model = make_ensemble(args.n_jobs, args.minilm).set_params(cv=args.folds)
    members = ", ".join(name for name, _ in model.estimators)
    print(f"Fitting {members} on {len(train.X):,} battles: on {args.folds} folds, and on all ...")
    model.fit(train.X, train.y)
    print(f"Fitted in {time.perf_counter() - start:.0f} s.")
    print_blend(model, train.y)
    project(model, test.X)
    frame = make_submission(model, test.X, test.id)
    write_submission(frame, args.out)
    print(f"{len(frame):,} predictions in {args.out} ({time.perf_counter() - start:.0f} s)")
    if args.model:
        save(model, args.model)


if __name__ == "__main__":
    main()
