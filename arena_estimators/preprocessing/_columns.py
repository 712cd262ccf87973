"""Columns of battles in, cleaned columns out, by one process or several."""

import os
import tempfile
import time
from itertools import chain

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.externals.loky import reusable_executor
from joblib.parallel import LokyBackend, get_active_backend

from arena_estimators.battles import texts as texts_of
from arena_estimators.preprocessing._engine import (
    clean_file,
    clean_texts,
    data_folders,
    read_texts,
    write_texts,
)

_WORTH_A_PROCESS = 5_000_000  # characters; a process that would get fewer does not take part
# While the others start, this process cleans that many times `_WORTH_A_PROCESS` characters alone;
# starting takes longest if they import NLTK.
_HEAD_START = {"treebank": 1.0, "punkt": 4.0, "tweet": 0.5}
# This process's share as a multiple of each of the others', which read and write files as well.
_OWN_SHARE = 1.03


def clean_columns(columns, settings, n_jobs=None):
    """Clean the cells of columns, lists of equal length, with `settings` as `engine` takes them.

    Battles are sorted by the first column, by default the prompt, so that those with the same
    prompt stay together: they share words, and a process remembers only what it has cleaned itself.
    """
    order = sorted(range(len(columns[0])), key=texts_of(columns[0]).__getitem__)
    battles = zip(*(map(cells.__getitem__, order) for cells in columns), strict=True)
    texts = list(chain.from_iterable(map(_turns, chain.from_iterable(battles))))
    cleaned = iter(_clean(texts, settings, n_jobs))
    result = list(map(list, columns))
    for battle in order:
        for cells in result:
            cells[battle] = _filled(cells[battle], cleaned)
    return result


def _turns(cell):
    """Give the texts of a cell: the cell itself, or those of its turns that are not missing."""
    if isinstance(cell, str):
        return (cell,)
    return [text for text in cell if text is not None] if isinstance(cell, list | tuple) else ()


def _filled(cell, cleaned):
    """Give a cell whose texts are replaced by the next ones of `cleaned`."""
    if isinstance(cell, str):
        return next(cleaned)
    if isinstance(cell, list | tuple):
        turns = [None if text is None else next(cleaned) for text in cell]
        return turns if isinstance(cell, list) else tuple(turns)
    return cell


def _clean(texts, settings, n_jobs):
    """Clean texts here and, if they are enough to be worth it, in other processes.

    This process cleans a share itself, so that only the others' texts travel.
    """
    jobs = effective_n_jobs(n_jobs)
    if jobs > 1:
        ends = np.cumsum([0, *map(len, texts)])[1:]
        head_start = _HEAD_START[settings[0]] * _WORTH_A_PROCESS * _must_start()
        jobs = min(jobs, int((ends[-1:].sum() - head_start) // _WORTH_A_PROCESS))
    if jobs < 2:
        return clean_texts(texts, settings)
    return _clean_shares(_shares(texts, ends, jobs, head_start), settings)


def _must_start():
    """Tell whether joblib's own processes still have to start; nothing public says so."""
    executor = reusable_executor._executor
    return _uses_loky() and not (executor and executor._processes)


def _uses_loky():
    return isinstance(get_active_backend()[0], LokyBackend)


def _clean_shares(shares, settings):
    folders = data_folders(settings)
    if _uses_loky():
        cleaned = _clean_by_files(shares, settings, folders)
    else:  # joblib may have other machines do it
        tasks = (delayed(clean_texts)(share, settings, folders) for share in shares)
        cleaned = Parallel(n_jobs=len(shares), batch_size=1)(tasks)
    return list(chain.from_iterable(cleaned))


def _clean_by_files(shares, settings, folders):
    own, *others = shares
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        paths = [os.path.join(home, str(number)) for number in range(len(others))]
        for path, share in zip(paths, others, strict=True):
            write_texts(path, share)
        tasks = [delayed(clean_file)(path, settings, folders) for path in paths]
        # With n_jobs=1, joblib would do the others' work in this process, before its own share.
        done = Parallel(n_jobs=max(2, len(tasks)), batch_size=1, return_as="generator")(tasks)
        # Let joblib's threads hand out the work: once this one is busy, each of their steps waits
        # 5 ms.
        time.sleep(0.001)
        cleaned = [clean_texts(own, settings)]
        list(done)  # waits, and raises what went wrong there
        return [*cleaned, *map(read_texts, paths)]


def _shares(texts, ends, jobs, head_start):
    """Cut texts into one share for each process, the first for this one.

    `ends` holds the number of characters up to the end of each text. The other processes are
    expected to begin when this one has cleaned `head_start` characters.
    """
    each = (ends[-1] - head_start) / (_OWN_SHARE + jobs - 1)
    parts = np.cumsum([head_start + _OWN_SHARE * each, *[each] * (jobs - 1)])
    cuts = [0, *np.searchsorted(ends, parts[:-1]).tolist(), len(ends)]
    return [texts[start:stop] for start, stop in zip(cuts[:-1], cuts[1:], strict=True)]
