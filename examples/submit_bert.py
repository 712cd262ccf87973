"""From train.csv to submission.csv with a fine-tuned encoder, on a GPU or a CPU.

    python examples/submit_bert.py --train train.csv --test test.csv --out submission.csv
    accelerate launch examples/submit_bert.py ...       # all GPUs of this machine, or of several

With several machines, the model must be kept in one folder that all of them see.

Without --train and --test it makes up its own battles, few and short, so that a CPU is enough.

It can be stopped at any moment and started again with the same command: the training continues from
its last checkpoint, and a finished model is read back instead of being trained (the script says
what it was trained with, and refuses it if the train file or the options differ). Before it
predicts, it estimates from a sample how long that will take, for this test file and for one of
25,000 battles, unless fewer than 50 battles are at hand.
"""

import argparse
import hashlib
import os
import pathlib
import time
from contextlib import suppress

import joblib
from submit_files import (
    SAMPLE,
    at_least,
    check_writable,
    is_main,
    load,
    one_line,
    parse,
    positive,
    project,
    read_test,
    read_train,
    rehearse,
    save,
    say,
    start,
)

from arena_estimators import BertPairClassifier, make_submission, write_submission

DEFAULTS = BertPairClassifier(random_state=0, verbose=1).get_params()
MEMORY = {"batch_tokens", "accumulate"}  # may be changed for a model that is already trained
UNTOLD = MEMORY | {"checkpoint_dir"}
N_TRAIN = 120
MODEL = "models/bert.joblib"
MADE_MODEL, MADE_LENGTH = "models/made_bert.joblib", 64  # never taken for one of real battles


def read_model(path, train, asked):
    """Read a trained model; refuse it if it is of other battles or settings than are asked for."""
    try:
        model = joblib.load(path)
    except Exception as error:  # pickle's errors are of many kinds
        raise SystemExit(f"{path} is no model that can be read: {error!r}") from None
    if not isinstance(model, BertPairClassifier):
        raise SystemExit(f"{path} holds a {type(model).__name__}; expected a BertPairClassifier.")
    with one_line(f"{path}: "):
        rehearse(model.classes_)
    for name, value in asked.items():
        trained = getattr(model, name)
        if not (name in MEMORY or trained == value or same_folder(trained, value)):
            raise SystemExit(
                f"{path} holds a model with {name}={trained!r}, not {value!r}. Name another file "
                "with --model, or delete it to train anew."
            )
    found, trained_on = digest(train), getattr(model, "trained_on_", None)
    if train and not found:
        say(f"{train} is no file that can be read, so the model is not compared with it.")
    if found and not trained_on:
        say(f"{path} does not say which battles its model was trained on.")
    if trained_on and found not in (None, trained_on):
        raise SystemExit(
            f"{path} holds a model that was trained on other battles than {train} holds. Name "
            "another file with --model, or delete it to train anew."
        )
    own = {n: v for n, v in model.get_params().items() if n not in UNTOLD and v != DEFAULTS[n]}
    which = ", ".join(f"{name}={value!r}" for name, value in own.items()) or "all defaults"
    say(f"The model in {path} ({which}) is used, and nothing is trained; delete it to train anew.")
    return model.set_params(**{name: asked[name] for name in MEMORY & asked.keys()})


def digest(path):
    """Give a text that tells a file's content from any other's; None where there is no file."""
    if not path or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_folder(one, other):
    """Tell whether two values are names of one folder."""
    return os.path.isdir(str(one)) and os.path.realpath(one) == os.path.realpath(str(other))


def train_model(path, train, battles, asked):
    """Train a model, with checkpoints beside it; give it, and why it is not saved if it is not."""
    checkpoints = path.with_suffix(".checkpoints")
    say(f"Fine-tuning on {len(battles.X):,} battles; checkpoints are in {checkpoints}.")
    begin = time.perf_counter()
    model = BertPairClassifier(**DEFAULTS | {"checkpoint_dir": str(checkpoints)} | asked)
    try:
        with one_line():
            model.fit(battles.X, battles.y)
    finally:
        with suppress(OSError):  # it is not there, or holds what the next run continues
            checkpoints.rmdir()
    model.trained_on_ = digest(train) if train else "made battles"
    if model.interrupted_:
        raise SystemExit("Interrupted. The same command continues from its checkpoint, if any.")
    took = time.perf_counter() - begin
    unsaved = save(model, path) if is_main() else None  # first: the output may be closed by now
    say(f"Trained in {took:.0f} s.")
    say(model.history_.to_string(index=False))
    return model, unsaved


def tokens(text):
    """Read --batch-tokens."""
    return text if text == "auto" else at_least(1)(text)


def parse_arguments(argv):
    """Give the files, and the parameters of the classifier that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", help="a folder or a name on the hub (default: MiniLM)")

    def option(name, text, made="", **how):
        text = f"{text} (default: {DEFAULTS[name]}{made})"
        parser.add_argument("--" + name.replace("_", "-"), help=text, **how)

    both = "read each response with the prompt, or both at once"
    option("architecture", both, choices=["siamese", "cross"])
    made = f"; if made, {MADE_LENGTH}"
    option("max_length", "tokens of a sequence", made, type=at_least(1))
    option("n_epochs", "how often each battle is read", type=at_least(1))
    option("learning_rate", "of the encoder", type=positive)
    option("lora_rank", "train adapters of this rank, not all weights", type=at_least(1))
    half = "tokens of a batch; when memory runs out, half of what the error names"
    option("batch_tokens", half, type=tokens)
    twice = "batches of a step; double it when --batch-tokens is halved"
    option("accumulate", twice, type=at_least(1))
    option("random_state", "the seed", type=at_least(0))
    model = f"where the model is kept (default: {MODEL}; if made, {MADE_MODEL})"
    args = vars(parse(parser, argv, N_TRAIN, model=model, reads_model=True))
    files = {name: args.pop(name) for name in ("train", "test", "out", "model")}
    asked = {name: value for name, value in args.items() if value is not None}
    if files["train"] is None:
        asked = {"max_length": MADE_LENGTH} | asked
    files["model"] = files["model"] or (MODEL if files["train"] else MADE_MODEL)
    return files, asked


def main(argv=None):
    """Train or read the model, predict and write."""
    files, asked = parse_arguments(argv)
    path = pathlib.Path(files["model"])
    trained = path.is_file()
    if trained:
        model, battles, unsaved = read_model(path, files["train"], asked), None, None
    else:
        check_writable("--model", path)
        battles = read_train(files["train"], N_TRAIN)
    test = read_test(files["test"])
    if not trained:
        model, unsaved = train_model(path, files["train"], battles, asked)
    elif files["train"] and len(test.X) < SAMPLE and os.path.isfile(files["train"]):
        battles = load(files["train"])  # to measure the speed with
    model.set_params(verbose=0)
    project(model, test.X, battles and battles.X)
    frame = make_submission(model.set_params(verbose=1), test.X, test.id)
    if is_main():
        with one_line("The submission is not written: "):
            write_submission(frame, files["out"])
        say(f"{len(frame):,} predictions in {files['out']}.")
    if unsaved:
        raise SystemExit(unsaved)


if __name__ == "__main__":
    start(main)
