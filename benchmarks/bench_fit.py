"""How long does a fit on all battles of judge_unique take, and how much memory?

    python -m benchmarks.bench_fit --data FOLDER [--only ensemble,linear]

Each kind is fitted in a process of its own, with two jobs; its memory is that of the process and
of joblib's workers together. Seconds are wall time: nothing else should be running.
"""

from arena_estimators import make_arena_pipeline
from benchmarks import _rows
from benchmarks._harness import in_fresh_process, report

KINDS = ("linear", "boosting", "kernel", "ensemble")


def fit(kind, options):
    """Fit a kind on all battles; give how many there are."""
    X, y = _rows.read(options)
    make_arena_pipeline(kind, n_jobs=2, random_state=0).fit(X, y)
    return len(X)


def main(argv=None):
    options = _rows.arguments(argv, "fit", KINDS, __doc__.splitlines()[0])
    if options is None:
        return
    rows = []
    for kind in options.only or KINDS:
        n_battles, seconds, peak, _ = in_fresh_process(fit, kind, options)
        rows.append({"kind": kind, "battles": n_battles, "s": seconds, "peak, MiB": round(peak)})
    report(options.table, rows, "Reading the file is included; n_jobs=2.")


if __name__ == "__main__":
    main()
