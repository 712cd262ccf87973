"""What `make demo` runs: the whole way from battles to a submission.

It reads data/train.csv and data/test.csv (the competition's files) if they are there, which takes
minutes; otherwise it makes up its own battles, which takes less than one.
"""

import argparse
import os

import pandas as pd
from submit_baseline import CV, run
from submit_files import MADE_OUT, OUT, check_paths, read_test, read_train, start

TRAIN, TEST = "data/train.csv", "data/test.csv"
MODEL, MADE_MODEL = "models/linear.joblib", "models/made_linear.joblib"


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    train_file = TRAIN if os.path.exists(TRAIN) else None
    # A model of synthetic battles says nothing about real ones.
    test_file = TEST if train_file and os.path.exists(TEST) else None
    test = read_test(test_file, 500)
    # If all battles are made, predictions go to submission.csv, to show how one looks, unless there
    # is one of other battles.
    out = OUT if test_file or (train_file is None and may_replace(OUT, test.id)) else MADE_OUT
    model = MODEL if train_file else MADE_MODEL
    check_paths(out, model)
    if train_file is None:
        print("No data/train.csv here: all battles are synthetic. Put the competition's files")
        print("into data/ and run this again for real ones.\n", flush=True)
    elif test_file is None:
        print("No data/test.csv here: predictions are for synthetic battles.\n", flush=True)
    run(read_train(train_file, 4000, CV), test, out, model)


def may_replace(path, ids):
    """Tell whether there is no such file, or one with these ids."""
    if not os.path.exists(path):
        return True
    try:
        return pd.read_csv(path)["id"].tolist() == ids.tolist()
    except (KeyError, ValueError):  # no ids, no text, no table
        return False


if __name__ == "__main__":
    start(main)
