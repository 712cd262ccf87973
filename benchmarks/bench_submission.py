"""How long from a 57,477-row train.csv to a 2,000-row submission.csv, and in how much memory?

The files are written from judge_57k.parquet in the competition's format; what is timed is what a
person waits for: load, fit "linear" on all battles, predict, write.
"""

import pathlib
import tempfile

from arena_estimators import load_arena, make_arena_pipeline, make_submission, write_submission
from benchmarks import _battles
from benchmarks._harness import data_folder, in_fresh_process, report


def submit(files, n_jobs):
    """Load, fit, predict and write."""
    train, test = load_arena(files / "train.csv"), load_arena(files / "test.csv")
    model = make_arena_pipeline("linear", n_jobs=n_jobs).fit(train.X, train.y)
    write_submission(make_submission(model, test.X, test.id), files / "submission.csv")
    return len(train.X), len(test.X)


def main(argv=None):
    folder = data_folder(argv)
    if folder is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_57k.parquet.")
        return
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        files = pathlib.Path(scratch)
        _battles.write_competition_files(folder, files)
        for n_jobs in (1, 2):
            (n_train, n_test), seconds, peak, _ = in_fresh_process(submit, files, n_jobs)
            row = {"training rows": n_train, "test rows": n_test, "n_jobs": n_jobs}
            rows.append(row | {"seconds": seconds, "peak, MiB": round(peak)})
    report("submission", rows, "Peak is of the process and any that it starts.")


if __name__ == "__main__":
    main()
