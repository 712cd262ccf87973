"""From train.csv to submission.csv with a fine-tuned encoder, on a GPU or a CPU.

    python examples/submit_bert.py --train train.csv --test test.csv --out submission.csv
    accelerate launch examples/submit_bert.py ...       # all GPUs of this machine, or of several

It can be stopped at any moment and started again with the same command: the training continues
from its last checkpoint, and a finished model is read back instead of trained. Before it predicts,
it tells from a sample how long that will take, for this test file and for one of 25,000 battles.
"""

import argparse
import os
import pathlib
import time

import joblib

from arena_estimators import BertPairClassifier, load_arena, make_submission, write_submission

HIDDEN_TEST = 25_000  # battles in the competition's hidden file, which may take nine hours
SAMPLE = 256


def fit_or_read(path, train, parameters):
    """Read the model if there is one; otherwise train and save it."""
    if path.exists():
        print(f"The model in {path} is used; delete it to train anew.")
        return joblib.load(path)
    battles = load_arena(train)
    checkpoints = path.with_suffix(".checkpoints")
    print(f"Fine-tuning on {len(battles.X):,} battles; checkpoints are in {checkpoints}.")
    start = time.perf_counter()
    model = BertPairClassifier(**parameters, checkpoint_dir=str(checkpoints), verbose=1)
    model.fit(battles.X, battles.y)
    print(f"Trained in {time.perf_counter() - start:.0f} s.")
    print(model.history_.to_string(index=False))
    if is_main():
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, path)
        print(f"The fitted model is in {path}.")
    return model


def project(model, X):
    """Predict a sample and say how long the rest will take."""
    sample = X.sample(min(SAMPLE, len(X)), random_state=0)
    start = time.perf_counter()
    model.predict_proba(sample)
    rate = len(sample) / (time.perf_counter() - start)
    for n_battles in (len(X), HIDDEN_TEST):
        print(f"{n_battles:>7,} battles take about {n_battles / rate / 60:.1f} min.")
    return rate


def is_main():
    """Tell whether this process writes; with several, only the first does."""
    return int(os.environ.get("RANK", "0")) == 0


def main(argv=None):
    """Train, predict and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", default="data/train.csv", help="battles with winners")
    parser.add_argument("--test", default="data/test.csv", help="battles to predict")
    parser.add_argument("--out", default="submission.csv", help="the file to write")
    parser.add_argument("--model", default="models/bert.joblib", help="where the model is kept")
    parser.add_argument("--encoder", help="a folder or a name on the hub; default: MiniLM")
    parser.add_argument("--architecture", choices=["siamese", "cross"])
    parser.add_argument("--max-length", type=int, help="tokens of a sequence")
    parser.add_argument("--n-epochs", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--lora-rank", type=int, help="train adapters instead of all weights")
    parser.add_argument("--batch-tokens", type=int, help="halve it when memory runs out")
    parser.add_argument("--accumulate", type=int, help="and double this")
    parser.add_argument("--random-state", type=int, default=0)
    args = vars(parser.parse_args(argv))
    train, test, out, path = (args.pop(name) for name in ("train", "test", "out", "model"))
    parameters = {name: value for name, value in args.items() if value is not None}
    model = fit_or_read(pathlib.Path(path), train, parameters)
    test = load_arena(test)
    model.set_params(verbose=0)
    project(model, test.X)
    frame = make_submission(model.set_params(verbose=1), test.X, test.id)
    if is_main():
        write_submission(frame, out)
        print(f"{len(frame):,} predictions in {out}.")


if __name__ == "__main__":
    main()
