"""How long does a fit on all battles of judge_unique take, and how much memory?

    python -m benchmarks.bench_fit --data FOLDER [--only ensemble,linear] [--missing]

Each kind is fitted in a process of its own, with two jobs; its memory is that of the process and
of joblib's workers together. Seconds are wall time: nothing else should be running. What is
measured is kept, and the table is made of all the rows there are, whichever run measured them: on
another machine, measure all of them again.
"""

from arena_estimators import make_arena_pipeline
from benchmarks import _rows
from benchmarks._harness import report

KINDS = ("linear", "boosting", "kernel", "ensemble")


def fit(kind, options):
    """Fit a kind on all battles; give how many there are."""
    X, y = _rows.read(options)
    make_arena_pipeline(kind, n_jobs=2, random_state=0).fit(X, y)
    return {"battles": len(X)}


def main(argv=None):
    options = _rows.arguments(argv, "fit", KINDS, __doc__.splitlines()[0])
    if options is None:
        return
    _rows.measure(options, KINDS, fit)
    rows = []
    for kind, row in _rows.kept(options, KINDS).items():
        cells = {"kind": kind, "battles": int(row["battles"]), "s": float(row["seconds"])}
        rows.append(cells | {"peak, MiB": round(float(row["peak"]))})
    report(options.table, rows, "Reading the file is included; n_jobs=2.")
    _rows.finish(options)


if __name__ == "__main__":
    main()
