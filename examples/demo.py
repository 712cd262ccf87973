"""What `make demo` runs: the whole road, from battles to a submission, in under a minute.

It reads data/train.csv and data/test.csv (the competition's files) if they are there, and
otherwise writes its own battles.
"""

import pathlib

from submit_baseline import run

from arena_estimators import load_arena, make_battles


def main():
    train_file, test_file = pathlib.Path("data/train.csv"), pathlib.Path("data/test.csv")
    if train_file.exists():
        print(f"Reading {train_file} ...", flush=True)
        train = load_arena(train_file)
    else:
        print("No data/train.csv here: these are synthetic battles. Put the competition's files")
        print("into data/ and run this again for real ones.\n", flush=True)
        train = make_battles(4000, random_state=0)
    test = load_arena(test_file) if test_file.exists() else make_battles(500, random_state=1)
    if not test_file.exists():
        print("No data/test.csv here: predictions are for synthetic battles.\n", flush=True)
    run(train, test, "submission.csv", "models/linear.joblib")


if __name__ == "__main__":
    main()
