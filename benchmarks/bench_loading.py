"""How long does load_arena take for the 57,477-row train.csv, and how much memory does it add?

Each way reads the file in a fresh process, in turn; the table gives medians. Bare read_csv leaves
the cells as JSON text; "read_csv, json.loads" is what people write to get the turns.
"""

import json
import pathlib
import statistics
import tempfile

import pandas as pd

from arena_estimators import iter_arena, load_arena
from arena_estimators.battles import COLUMNS
from benchmarks import _battles
from benchmarks._harness import data_folder, in_fresh_process, report

ROUNDS = 5


def bare(path):
    """Read the raw cells."""
    return len(pd.read_csv(path))


def by_hand(path):
    """Read the cells and decode them one column after the other."""
    frame = pd.read_csv(path)
    for column in COLUMNS:
        frame[column] = frame[column].map(json.loads)
    return len(frame)


def ours(path):
    """Load battles."""
    return len(load_arena(path).X)


def ours_in_parts(path):
    """Load battles in parts and keep none."""
    return sum(len(part.X) for part in iter_arena(path))


WAYS = {
    "pandas.read_csv, bare": bare,
    "pandas.read_csv, json.loads": by_hand,
    "load_arena": ours,
    "iter_arena, 10,000 rows a part": ours_in_parts,
}


def main(argv=None):
    folder = data_folder(argv)
    if folder is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_57k.parquet.")
        return
    with tempfile.TemporaryDirectory() as scratch:
        # Also in a fresh process: Linux hands the peak of a parent on to its children.
        in_fresh_process(_battles.write_competition_files, folder, pathlib.Path(scratch))
        path = pathlib.Path(scratch, "train.csv")
        size = path.stat().st_size / 2**20
        runs = {name: [] for name in WAYS}
        for _ in range(ROUNDS):
            for name, way in WAYS.items():
                n_rows, seconds, peak, base = in_fresh_process(way, path)
                runs[name].append((seconds, peak - base))
    seconds = {name: statistics.median(run[0] for run in runs[name]) for name in WAYS}
    rows = []
    for name in WAYS:
        memory = statistics.median(run[1] for run in runs[name])
        rows.append(
            {
                "way": name,
                "seconds": seconds[name],
                "times bare": seconds[name] / seconds["pandas.read_csv, bare"],
                "added peak, MiB": round(memory),
                "times the file": memory / size,
            }
        )
    note = f"{n_rows} rows, {size:.0f} MiB, pandas {pd.__version__}, medians of {ROUNDS} rounds."
    report("loading", rows, note)


if __name__ == "__main__":
    main()
