"""From train.csv to submission.csv with the strongest pipeline that needs no GPU: "ensemble".

    python examples/submit_ensemble.py --train train.csv --test test.csv --out submission.csv

Without --train and --test it writes its own battles. Every member is fitted on each fold, grouped
by prompt, and then on all battles; the folds give the log loss to expect, the weights and the
temperature. With --minilm the ensemble is averaged with a fine-tuned MiniLM, which wants a GPU or
some hours, and is fitted once: the weights of both are given, not learned.
"""

import argparse

from blend import print_blend
from submit_bert import project
from submit_files import at_least, n_jobs, parse, read_test, read_train, save, step, submit

from arena_estimators import BlendingClassifier, make_arena_pipeline

N_TRAIN = 800  # half of them, in both orders, are enough for the kernel's 1,000 battles


def make_ensemble(n_jobs=None, folds=3, minilm=False):
    """Compose the blend, or the equal blend of it and a fine-tuned encoder."""
    ensemble = make_arena_pipeline("ensemble", n_jobs=n_jobs, random_state=0)
    ensemble.set_params(cv=folds, verbose=True)
    if not minilm:
        return ensemble
    bert = make_arena_pipeline("bert", random_state=0).set_params(verbose=True)
    members = [("ensemble", ensemble), ("minilm", bert)]
    return BlendingClassifier(members, weights=[0.5, 0.5], temperature=1.0, verbose=True)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minilm", action="store_true", help="average it with MiniLM")
    parser.add_argument(
        "--folds", type=at_least(2), default=3, help="folds of the blend (default: 3)"
    )
    parser.add_argument("--n-jobs", type=n_jobs, help="threads and processes of a step")
    args = parse(parser, argv, N_TRAIN, model=True)
    train, test = read_train(args.train, N_TRAIN), read_test(args.test)

    model = make_ensemble(args.n_jobs, args.folds, args.minilm)
    ensemble = dict(model.estimators).get("ensemble", model)
    members = ", ".join(name for name, _ in ensemble.estimators)
    and_minilm = ", and MiniLM" if args.minilm else ""
    folds = f"on {args.folds} folds, and on all{and_minilm}"
    with step(f"Fitting {members} on {len(train.X):,} battles: {folds}"):
        model.fit(train.X, train.y)
    if args.model:
        save(model, args.model)
    print_blend(model.named_estimators_.get("ensemble", model), train.y)
    project(model, test.X)
    submit(model, test, args.out)


if __name__ == "__main__":
    main()
