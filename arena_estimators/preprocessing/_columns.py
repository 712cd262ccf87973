"""Columns of battles in, cleaned columns out, each distinct text once in each process."""

import os
import tempfile
from itertools import chain

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.externals.loky import reusable_executor
from joblib.parallel import LokyBackend, get_active_backend

from arena_estimators.battles import texts as texts_of
from arena_estimators.preprocessing._engine import (
    clean_cells,
    clean_file,
    clean_share,
    data_folders,
    read_columns,
    turns,
    write_columns,
)

_WORTH_A_PROCESS = 5_000_000  # characters that another process gets at least
# So many times as many this process cleans alone while others are started, most of all if they
# import NLTK.
_BEHIND = {"treebank": 1.0, "punkt": 4.0, "tweet": 0.5}
# How much more this process cleans than each of the others, which read and write files as well.
_OWN_SHARE = 1.05


def clean_columns(columns, settings, n_jobs=None):
    """Clean the cells of columns, lists of one length, with `settings` as `engine` takes them.

    Battles of a prompt stay together, because they share words and what a process learns stays in
    it. This process cleans a share itself, so that only the others' texts travel.
    """
    order = sorted(range(len(columns[0])), key=texts_of(columns[0]).__getitem__)
    columns = [list(map(cells.__getitem__, order)) for cells in columns]
    jobs = effective_n_jobs(n_jobs)
    if jobs > 1:
        ends = np.cumsum(np.sum([_lengths(cells) for cells in columns], axis=0))
        behind = _BEHIND[settings[0]] * _WORTH_A_PROCESS * _must_start()
        jobs = min(jobs, int((ends[-1:].sum() - behind) // _WORTH_A_PROCESS))
    if jobs < 2:
        cleaned = clean_cells(columns, settings)
    else:
        cleaned = _clean_shares(_shares(columns, ends, jobs, behind), settings)
    back = np.argsort(order).tolist()
    return [list(map(cells.__getitem__, back)) for cells in cleaned]


def _must_start():
    """Tell whether the other processes are joblib's and none is there; nothing public tells."""
    executor = reusable_executor._executor
    return _uses_loky() and not (executor and executor._processes)


def _uses_loky():
    return isinstance(get_active_backend()[0], LokyBackend)


def _clean_shares(shares, settings):
    folders = data_folders(settings)
    if _uses_loky():
        shares = _clean_by_files(shares, settings, folders)
    else:  # joblib may have other machines do it
        tasks = (delayed(clean_share)(share, settings, folders) for share in shares)
        shares = Parallel(n_jobs=len(shares), batch_size=1)(tasks)
    return [list(chain.from_iterable(cells)) for cells in zip(*shares, strict=True)]


def _clean_by_files(shares, settings, folders):
    own, *others = shares
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        paths = [os.path.join(home, str(number)) for number in range(len(others))]
        for path, share in zip(paths, others, strict=True):
            write_columns(path, share)
        tasks = [delayed(clean_file)(path, settings, folders) for path in paths]
        # One process alone would make joblib do the work here, before the own share.
        done = Parallel(n_jobs=max(2, len(tasks)), batch_size=1, return_as="generator")(tasks)
        cleaned = [clean_cells(own, settings)]
        list(done)  # waits, and raises what went wrong there
        return [*cleaned, *map(read_columns, paths)]


def _lengths(cells):
    """Count the characters of each cell."""
    return [
        len(cell) if isinstance(cell, str) else sum(map(len, filter(None, turns(cell))))
        for cell in cells
    ]


def _shares(columns, ends, jobs, behind):
    """Cut columns into one share for each process, the first for this one.

    The others begin when this one has cleaned `behind` characters.
    """
    each = (ends[-1] - behind) / (_OWN_SHARE + jobs - 1)
    parts = np.cumsum([behind + _OWN_SHARE * each, *[each] * (jobs - 1)])
    cuts = np.searchsorted(ends, parts[:-1])
    cuts = [0, *cuts.tolist(), len(ends)]
    return [
        [cells[start:stop] for cells in columns]
        for start, stop in zip(cuts[:-1], cuts[1:], strict=True)
    ]
