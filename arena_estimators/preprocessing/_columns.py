"""Columns of battles in, cleaned columns out: each distinct text once, in some processes."""

from itertools import chain

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from arena_estimators.battles import texts as texts_of
from arena_estimators.preprocessing._engine import clean_cells, n_characters

_WORTH_A_PROCESS = 5_000_000
# How much more this process cleans than each of the others, whose texts must be sent and sent back.
_OWN_SHARE = 1.1


def clean_columns(columns, settings, n_jobs=None):
    """Clean the cells of columns, lists of one length, with `settings` as `engine` takes them.

    Battles of a prompt stay together, because they share words and what a process learns stays in
    it. This process cleans a share itself, so that only the others' texts travel.
    """
    order = sorted(range(len(columns[0])), key=texts_of(columns[0]).__getitem__)
    columns = [[cells[row] for row in order] for cells in columns]
    jobs = effective_n_jobs(n_jobs)
    if jobs > 1:
        ends = np.cumsum([sum(map(n_characters, row)) for row in zip(*columns, strict=True)])
        jobs = min(jobs, int(ends[-1:].sum()) // _WORTH_A_PROCESS)
    if jobs < 2:
        cleaned = clean_cells(columns, settings)
    else:
        own, *others = _shares(columns, ends, jobs)
        backend, _ = get_active_backend()
        returns = "generator" if backend.supports_return_generator else "list"
        work = Parallel(n_jobs=jobs, batch_size=1, return_as=returns)
        others = work(delayed(clean_cells)(share, settings) for share in others)
        shares = zip(clean_cells(own, settings), *others, strict=True)
        cleaned = [list(chain.from_iterable(cells)) for cells in shares]
    return [_unsorted(cells, order) for cells in cleaned]


def _shares(columns, ends, jobs):
    """Cut columns into one share for each process, the first for this one."""
    parts = np.cumsum([_OWN_SHARE, *[1] * (jobs - 1)])
    cuts = np.searchsorted(ends, parts[:-1] / parts[-1] * ends[-1])
    cuts = [0, *cuts.tolist(), len(ends)]
    return [
        [cells[start:stop] for cells in columns]
        for start, stop in zip(cuts[:-1], cuts[1:], strict=True)
    ]


def _unsorted(cells, order):
    """Put cells back where they came from."""
    back = [None] * len(cells)
    for row, cell in zip(order, cells, strict=True):
        back[row] = cell
    return back
