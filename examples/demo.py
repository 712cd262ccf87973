"""What `make demo` runs: the whole way from battles to a submission.

It reads data/train.csv and data/test.csv (the competition's files) if they are there, which takes
minutes; otherwise it makes up its own battles, which takes less than one.
"""

import os

from submit_baseline import run
from submit_files import MADE_OUT, OUT, read_test, read_train

TRAIN, TEST = "data/train.csv", "data/test.csv"


def main():
    train_file = TRAIN if os.path.exists(TRAIN) else None
    # A model of synthetic battles says nothing about real ones.
    test_file = TEST if train_file and os.path.exists(TEST) else None
    for path, file in ((TRAIN, train_file), (TEST, test_file)):
        if file is None:
            print(f"{path} is not used: synthetic battles take its place.", flush=True)
    # If all is made up, submission.csv shows what one looks like; an earlier one is not replaced.
    shown = train_file is None and not os.path.exists(OUT)
    out = OUT if test_file or shown else MADE_OUT
    model = "models/linear.joblib" if train_file else "models/made_linear.joblib"
    run(read_train(train_file, 4000), read_test(test_file, 500), out, model)


if __name__ == "__main__":
    main()
