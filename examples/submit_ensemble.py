"""From train.csv to submission.csv with the strongest pipeline that needs no GPU: "ensemble".

    python examples/submit_ensemble.py --train train.csv --test test.csv --out submission.csv

Without --train and --test it writes its own battles. Every member is fitted on each fold, grouped
by prompt, and then on all battles; the folds give the log loss to expect, the weights and the
temperature. With --minilm a fine-tuned MiniLM is a member too, which wants a GPU.
"""

import argparse

from blend import print_blend
from submit_bert import project
from submit_files import parse, read_test, read_train, save, step, submit

from arena_estimators import make_arena_pipeline

N_TRAIN = 800  # half of them, in both orders, are enough for the kernel's 1,000 battles


def make_ensemble(n_jobs=None, minilm=False):
    """Compose the blend, with the fine-tuned encoder or without."""
    model = make_arena_pipeline("ensemble", n_jobs=n_jobs, random_state=0)
    if minilm:
        bert = make_arena_pipeline("bert", random_state=0)
        model.set_params(estimators=[*model.estimators, ("minilm", bert)])
    return model.set_params(verbose=True)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minilm", action="store_true", help="add a fine-tuned MiniLM")
    parser.add_argument("--folds", type=int, default=3, help="folds of the blend (default: 3)")
    parser.add_argument("--n-jobs", type=int, help="threads and processes of a step")
    args = parse(parser, argv, N_TRAIN, model=True)
    train, test = read_train(args.train, N_TRAIN), read_test(args.test)

    model = make_ensemble(args.n_jobs, args.minilm).set_params(cv=args.folds)
    members = ", ".join(name for name, _ in model.estimators)
    what = f"{members} on {len(train.X):,} battles: on {args.folds} folds, and on all"
    with step(f"Fitting {what}"):
        model.fit(train.X, train.y)
    if args.model:
        save(model, args.model)
    print_blend(model, train.y)
    project(model, test.X)
    submit(model, test, args.out)


if __name__ == "__main__":
    main()
