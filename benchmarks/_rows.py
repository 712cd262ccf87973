"""Rows of a table that are measured one at a time and kept, so that a long run can be cut short.

What is measured, mostly the losses of every battle, is kept in results/TABLE_ROW.npz. A table is
made of all the rows that are there, whichever run measured them.
"""

import argparse
import re
import sys
import time

import numpy as np
from tqdm import tqdm

from arena_estimators import swap_inconsistency
from benchmarks import _battles
from benchmarks._harness import RESULTS, add_data, in_fresh_process

EXTRA = {
    "--all": {"action": "store_true", "help": "also what takes hours without a GPU"},
    "--folds": {"type": int, "choices": [1, 5], "help": "1: only the first of the five"},
}


def arguments(argv, table, rows, description, extra=()):
    """Read the options that say what is measured, and on which battles.

    Parameters
    ----------
    argv : list of str or None
    table : str
    rows : iterable of str
        Names of the rows.
    description : str
    extra : iterable of {"--all", "--folds"}
        Options that not every benchmark has.

    Returns
    -------
    options : Namespace or None
        With `data`, `only`, `missing`, `battles`, `folds`, the `extra` ones, and `table`, a name
        that differs with `battles` and `folds`; None if no data folder is given.
    """
    parser = argparse.ArgumentParser(description=description)
    add_data(parser)
    parser.add_argument("--only", help=f"rows to measure, separated by commas: {', '.join(rows)}")
    parser.add_argument("--missing", action="store_true", help="skip rows measured before")
    parser.add_argument("--battles", type=int, help="about how many battles (default: all)")
    for option in extra:
        parser.add_argument(option, **EXTRA[option])
    parser.set_defaults(folds=5, failed=[])
    options = parser.parse_args(argv)
    if options.data is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return None
    options.only = [name.strip() for name in options.only.split(",")] if options.only else None
    unknown = set(options.only or []) - set(rows)
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(rows)}")
    parts = [table, "first_fold" if options.folds == 1 else None, options.battles]
    options.table = "_".join(str(part) for part in parts if part)
    return options


def read(options, name="judge_unique"):
    """Read the battles the options ask for."""
    X, y = _battles.read(options.data, name)
    return _battles.some(X, y, options.battles) if options.battles else (X, y)


def measure(options, rows, function, unfit=None):
    """Call `function(row, options)` for each row in a process of its own, and keep what it gives.

    `unfit` gives reasons to leave out rows that were not asked for by name.
    """
    for name in options.only or rows:
        reason = None if options.only else (unfit or {}).get(name)
        if reason or (options.missing and _file(options.table, name).exists()):
            print(f"{name}: left out, {reason or 'it is there already'}.", flush=True)
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        _file(options.table, name).unlink(missing_ok=True)
        try:
            values, seconds, peak, _ = in_fresh_process(function, name, options)
        except RuntimeError as error:
            print(f"{name}: failed ({error}).", flush=True)
            options.failed.append(name)
            continue
        RESULTS.mkdir(exist_ok=True)
        np.savez(_file(options.table, name), **values, seconds=seconds, peak=peak)


def finish(options):
    """End with an error if a row could not be measured."""
    if options.failed:
        raise SystemExit(f"These rows failed and are not in the table: {', '.join(options.failed)}")


def encoders_left_out(options, names):
    """Say why rows that need an encoder are left out here; an empty dict if they are not."""
    import torch

    from arena_estimators._encoder._find import DEFAULT_ENCODER, find_encoder
    from arena_estimators.exceptions import ResourceNotFoundError

    if not torch.cuda.is_available() and not options.all:
        why = "without a GPU it takes long (--all or --only measures it)"
        return dict.fromkeys(names, why)
    try:
        find_encoder(DEFAULT_ENCODER)
    except ResourceNotFoundError as error:
        return dict.fromkeys(names, str(error))
    return {}


def kept(options, rows):
    """Give what is kept of each row, as a dict of arrays."""
    files = {name: _file(options.table, name) for name in rows}
    return {name: dict(np.load(file)) for name, file in files.items() if file.exists()}


def _file(table, name):
    return RESULTS / f"{table}_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}.npz"


def losses_of(proba, classes, y):
    """Give the log loss of each battle."""
    place = np.searchsorted(classes, y)
    chosen = np.asarray(proba)[np.arange(len(y)), place]
    return -np.log(np.maximum(chosen, np.finfo(np.float64).eps))


def out_of_fold(make, X, y, n_folds=5):
    """Predict the battles of the first `n_folds` folds, each by a model fitted without its fold.

    Returns
    -------
    dict
        `tested` (row numbers), their `proba` and `losses`, the mean seconds of `fit` and `predict`
        on a fold, and `swaps`, by how much exchanging the responses changes a prediction.
    """
    folds = list(_battles.CV.split(X))[:n_folds]
    probas, losses, fit, predict = [], [], [], []
    for train, test in tqdm(folds, unit="fold", mininterval=2):
        start = time.perf_counter()
        model = make().fit(X.iloc[train], y[train])
        fitted = time.perf_counter()
        proba = model.predict_proba(X.iloc[test])
        predict.append(time.perf_counter() - fitted)
        fit.append(fitted - start)
        probas.append(proba)
        losses.append(losses_of(proba, model.classes_, y[test]))
    return {
        "tested": np.concatenate([test for _, test in folds]),
        "proba": np.concatenate(probas),
        "losses": np.concatenate(losses),
        "fit": np.mean(fit),
        "predict": np.mean(predict),
        "swaps": swap_inconsistency(model, X.iloc[test[:300]]),
    }


def interval(difference, groups, n_boot=2000, seed=0):
    """Bound the mean of paired differences by resampling prompts."""
    sums = np.bincount(groups, weights=difference)
    counts = np.bincount(groups)
    draws = np.random.default_rng(seed).integers(len(sums), size=(n_boot, len(sums)))
    return np.quantile(sums[draws].sum(1) / counts[draws].sum(1), [0.025, 0.975])


def difference(losses, reference, groups):
    """Say by how much losses exceed those of a reference, with a 95 % interval."""
    gap = losses - reference
    low, high = interval(gap, np.unique(groups, return_inverse=True)[1])
    return f"{gap.mean():+.4f} ({low:+.4f} to {high:+.4f})"
