"""From train.csv to submission.csv with the strongest pipeline that needs no GPU: "ensemble".

    python examples/submit_ensemble.py --train train.csv --test test.csv --out submission.csv

Without --train and --test it makes up its own battles. Every member is fitted on each fold, grouped
by prompt, and then on all battles; the folds give the log loss to expect, the weights and the
temperature. With --minilm the ensemble is averaged with a fine-tuned MiniLM, which wants a GPU or
some hours: both get the same weight and MiniLM is fitted only once, so the log loss of the average
is not measured. That fit can be stopped; the same command continues it from its checkpoint.
"""

import argparse
import pathlib

from blend import print_blend
from submit_files import check_complete, parse, read_test, read_train, save, submit

from arena_estimators import BlendingClassifier, make_arena_pipeline

MODEL = "models/ensemble.joblib"
N_TRAIN = 800  # two thirds of them, in both orders, are enough for the kernel's 1,000 battles


def beside_minilm(ensemble, checkpoints):
    """Compose the average of the blend and a fine-tuned encoder."""
    bert = make_arena_pipeline("bert", random_state=0)
    bert.set_params(verbose=True, checkpoint_dir=checkpoints)
    members = [("ensemble", ensemble), ("minilm", bert)]
    return BlendingClassifier(members, weights=[0.5, 0.5], temperature=1.0)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minilm", action="store_true", help="average it with MiniLM")
    parser.add_argument("--folds", type=int, default=3, help="folds of the blend (default: 3)")
    parser.add_argument("--n-jobs", type=int, help="threads or processes that a step may use")
    args = parse(parser, argv, N_TRAIN)
    train, test = read_train(args.train, N_TRAIN), read_test(args.test)

    model = ensemble = make_arena_pipeline("ensemble", n_jobs=args.n_jobs, random_state=0)
    ensemble.set_params(cv=args.folds, verbose=True)
    if args.minilm:
        model = beside_minilm(
            ensemble, pathlib.Path(args.model or MODEL).with_suffix(".checkpoints")
        )
    print(f"Fitting on {len(train.X):,} battles, on {args.folds} folds and on all ...", flush=True)
    model.fit(train.X, train.y)
    check_complete(model)
    save(model, args.model)
    if args.minilm:
        ensemble = model.named_estimators_["ensemble"]
        print("\nThe ensemble without MiniLM:", end="")
    print_blend(ensemble, train.y)
    submit(model, test, args.out)


if __name__ == "__main__":
    main()
