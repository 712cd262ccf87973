"""From train.csv to submission.csv with a fine-tuned encoder, on a GPU or a CPU.

    python examples/submit_bert.py --train train.csv --test test.csv --out submission.csv
    accelerate launch examples/submit_bert.py ...       # all GPUs of this machine, or of several

With several machines, the model must be kept in one folder that all of them see.

Without --train and --test it makes up its own battles, few and short, so that a CPU is enough.

It can be stopped at any moment and started again with the same command: the training continues from
its last checkpoint, and a finished model is read back, with its own settings, instead of being
trained.
"""

import argparse
import os
import pathlib
import time

import joblib
from submit_files import check_complete, parse, read_test, read_train, save

from arena_estimators import BertPairClassifier, make_submission, write_submission

N_TRAIN = 120
MODEL = "models/bert.joblib"
MADE_MODEL, MADE_LENGTH = "models/made_bert.joblib", 64  # never taken for one of real battles
IS_MAIN = os.environ.get("RANK", "0") == "0"  # of several processes, one speaks and writes


def say(text):
    if IS_MAIN:
        print(text, flush=True)


def train_model(path, battles, parameters):
    """Train a model, with checkpoints beside its file."""
    checkpoints = path.with_suffix(".checkpoints")
    say(f"Fine-tuning on {len(battles.X):,} battles; checkpoints are in {checkpoints}.")
    begin = time.perf_counter()
    model = BertPairClassifier(random_state=0, verbose=1, checkpoint_dir=str(checkpoints))
    model.set_params(**parameters).fit(battles.X, battles.y)
    check_complete(model)
    if IS_MAIN:
        save(model, path)
    say(f"Trained in {time.perf_counter() - begin:.0f} s.")
    say(model.history_.to_string(index=False))
    return model


def parse_arguments(argv):
    """Give the files, and the parameters of the classifier that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument_group("classifier (see BertPairClassifier)").add_argument
    add("--encoder", help="a folder or a name on the hub (default: MiniLM)")
    add(
        "--architecture", choices=["siamese", "cross"], help="read responses alone, or both at once"
    )
    add("--max-length", type=int, help=f"tokens of a sequence (if made, {MADE_LENGTH})")
    add("--n-epochs", type=int, help="how often each battle is read")
    add("--learning-rate", type=float, help="of the encoder")
    add("--lora-rank", type=int, help="train adapters of this rank, not all weights")
    add("--batch-tokens", type=int, help="tokens of a batch; halve it when memory runs out")
    add(
        "--accumulate",
        dest="training__accumulate",
        type=int,
        help="batches of a step; double it when --batch-tokens is halved",
    )
    add("--random-state", type=int, help="the seed (default: 0)")
    model = f"where the model is kept (default: {MODEL}; if made, {MADE_MODEL})"
    args = parse(parser, argv, N_TRAIN, model=model)
    asked = {name: value for name, value in vars(args).items() if value is not None}
    for name in ("train", "test", "out", "model"):
        asked.pop(name, None)
    return args, asked if args.train else {"max_length": MADE_LENGTH} | asked


def main(argv=None):
    """Train or read the model, predict and write."""
    args, parameters = parse_arguments(argv)
    path = pathlib.Path(args.model or (MODEL if args.train else MADE_MODEL))
    test = read_test(args.test)
    if path.is_file():
        say(f"The model in {path} is used as it is; delete the file to train anew.")
        model = joblib.load(path)
    else:
        model = train_model(path, read_train(args.train, N_TRAIN), parameters)
    frame = make_submission(model, test.X, test.id)
    if IS_MAIN:
        write_submission(frame, args.out)
    say(f"{len(frame):,} predictions in {args.out}.")


if __name__ == "__main__":
    main()
