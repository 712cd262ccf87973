"""What the scripts share: their options, the battles they read, and the files they write."""

import os
import pathlib

import joblib

from arena_estimators import load_arena, make_battles, make_submission, write_submission

N_TEST = 100
OUT, MADE_OUT = "submission.csv", "made_submission.csv"


def parse(parser, argv, n_train, *, model="also save the fitted model here (joblib)"):
    """Add --train, --test, --out and --model (`model` is its help), parse, and check them."""
    parser.add_argument("--train", help=f"battles with winners (default: {n_train:,} made ones)")
    parser.add_argument("--test", help=f"battles to predict (default: {N_TEST} made ones)")
    parser.add_argument("--out", help=f"the file to write (default: {OUT}; if made, {MADE_OUT})")
    parser.add_argument("--model", help=model)
    args = parser.parse_args(argv)
    if (args.train is None) != (args.test is None):
        parser.error("--train and --test belong together: give both, or neither for made battles")
    args.out = args.out or (OUT if args.train else MADE_OUT)
    paths = [path for path in (args.train, args.test, args.out, args.model) if path]
    if len(set(map(os.path.realpath, paths))) < len(paths):
        parser.error("two of --train, --test, --out and --model are the same file")
    if (
        not args.out.lower().endswith((".csv", ".csv.gz"))
        or not pathlib.Path(args.out).parent.is_dir()
    ):
        parser.error(f"--out {args.out}: expected a .csv or .csv.gz file in a folder that is there")
    return args


def read_train(path, n_made):
    """Load or make battles to learn from."""
    battles = load_arena(path, verbose=True) if path else make_battles(n_made, random_state=0)
    if battles.y is None or len(set(battles.y)) < 3:
        raise SystemExit(f"{path}: expected winners, and all of model_a, model_b and tie.")
    return battles


def read_test(path, n_made=N_TEST):
    """Load or make battles to predict."""
    battles = load_arena(path, verbose=True) if path else make_battles(n_made, random_state=1)
    if battles.id is None:
        raise SystemExit(
            f"{path}: expected a column 'id', by which a submission names its battles."
        )
    return battles


def check_complete(model):
    """Stop if Ctrl-C ended the training of a network early, the model's own or a member's."""
    for part in (model, *getattr(model, "estimators_", ())):
        if getattr(part, "interrupted_", False):
            raise SystemExit("Interrupted. The same command continues from a checkpoint, if any.")


def save(model, path):
    """Save a fitted model, under its name only when it is complete; without a path, do nothing."""
    if path:
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, f"{path}.partial")
        os.replace(f"{path}.partial", path)
        print(f"The fitted model is in {path}: joblib.load reads it back.")


def submit(model, test, out):
    """Predict the battles and write the submission."""
    print(f"Predicting {len(test.X):,} battles ...", flush=True)
    frame = make_submission(model, test.X, test.id)
    write_submission(frame, out)
    print(f"{len(frame):,} predictions in {out}")
