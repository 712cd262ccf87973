"""Load battles from the files people have."""

import gc
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from numbers import Integral
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from tqdm.auto import tqdm

from arena_estimators._validation import Interval, StrOptions, validate_params
from arena_estimators.battles import COLUMNS, GROUP
from arena_estimators.datasets._readers import find_reader, name_of, read_batches
from arena_estimators.datasets._schemas import KNOWN, SAMPLE_ROWS, Schema, guess_cells

_BATCH_ROWS = 2000  # a few megabytes of text, which are decoded while still in the CPU's cache
_OPTIONS = {
    "path": [str, os.PathLike],
    "cells": [StrOptions({"auto", "json", "text"})],
    "non_text": [StrOptions({"raise", "json"})],
}


@validate_params(
    {**_OPTIONS, "path": [*_OPTIONS["path"], pd.DataFrame], "verbose": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def load_arena(
    path: str | os.PathLike | pd.DataFrame,
    *,
    cells: Literal["auto", "json", "text"] = "auto",
    non_text: Literal["raise", "json"] = "raise",
    verbose: bool = False,
) -> Bunch:
    """Load battles from a file, or from a frame that pandas has read.

    Three schemas are recognised by their columns. Other columns are ignored; use
    `data.X.assign(...)` to add any that a model should also read.

    - The competition's: `prompt`, `response_a` and `response_b` hold JSON lists of turns, the
      label is one-hot in `winner_model_a`, `winner_model_b` and `winner_tie`.
    - The arena's: `conversation_a` and `conversation_b` hold lists of messages with `role` and
      `content`, which is text or a list of parts with `text`; the label is `winner`: "model_a",
      "model_b", "tie", or "tie (bothbad)", "both_bad" or "tie (inconsistent)", which are ties. The
      prompt is the list of the user's turns, and a response has an answer or null for each of them.
      If there is a column `turn`, as in MT-bench, the vote is on that turn, counted from 1, and
      later ones are left out.
    - Plain text: `prompt`, `response_a` and `response_b` hold text, the label is in either form.

    Every row is kept, in order. Null turns come back as None (`[null]` as `[None]`), `[]` and
    `[""]` as they are, and lone surrogates are kept; a missing or empty JSON cell is None.

    Parameters
    ----------
    path : str, path-like or DataFrame
        A local file whose name ends in .csv, .csv.gz, .parquet, .jsonl or .jsonl.gz, in UTF-8; or
        all or some of its rows, as read by `pandas.read_csv` and the like, which keep plain text
        such as "NA" and "007" only with `dtype=str, keep_default_na=False`.
    cells : {"auto", "json", "text"}, default="auto"
        How to read text in the columns `prompt`, `response_a` and `response_b`: as a JSON list of
        turns, or as it is. "auto" assumes JSON if most cells in the first 100 rows look like lists.
    non_text : {"raise", "json"}, default="raise"
        What to do with a turn that is true, false or a number: raise an error, or keep its JSON
        text, for example "true". NaN, which JSON does not have, is always refused.
    verbose : bool, default=False
        Show a progress bar if loading takes over two seconds.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With these attributes:

        X : DataFrame of shape (n_battles, 3) or (n_battles, 4)
            The columns prompt, response_a and response_b and, if the file has it, prompt_group,
            which says which battles no split may separate. A cell is text or None, or a list of
            turns, each text or None. The index is that of the frame, or counts from 0.
        y : ndarray of shape (n_battles,) or None
            "model_a", "model_b" or "tie"; None if the file has no labels.
        id : ndarray of shape (n_battles,) or None
            The column `id` (or `question_id`), as integers if they are integers.
        model_a, model_b : ndarray of shape (n_battles,) or None
            The names of the models, if the file has them.
        filename : str or None
            The path; None for a frame.

    Raises
    ------
    FileFormatError
        If the file, a column or a cell is not as described. The message names the file, the row
        (counted from 0, with its id), the column and what was expected.
    FileNotFoundError
        If there is no such file.

    Warns
    -----
    ArenaWarning
        If "auto" takes cells for text, though ten or more in the first rows look like lists.

    See Also
    --------
    iter_arena : The same in parts, for files larger than memory.
    make_battles : Synthetic battles, without any file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from arena_estimators import load_arena
    >>> line = '{"id": 7, "prompt": ["Hi"], "response_a": ["Hello!"], "response_b": [null]}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "test.jsonl")
    ...     _ = path.write_text(line)
    ...     data = load_arena(path)
    >>> data.X.response_b[0], data.id, data.y
    ([None], array([7]), None)
    """
    parts: dict[str, Any] = {}
    bar = tqdm(
        total=1.0,
        delay=2,
        disable=not verbose,
        desc=f"Loading {os.path.basename(name_of(path))}",
        bar_format="{l_bar}{bar}| {elapsed}",
    )
    with _without_garbage_collection(), bar:
        for battles, _, share in _battles(path, cells, non_text, _BATCH_ROWS):
            for name, values in battles.items():
                if values is None:
                    parts[name] = None
                else:
                    parts.setdefault(name, []).extend(values)
            bar.update(share - bar.n)
        if isinstance(path, pd.DataFrame):
            return _bunch(parts, path.index, None)
        return _bunch(parts, pd.RangeIndex(len(parts["prompt"])), os.fspath(path))


@validate_params(
    {**_OPTIONS, "chunk_rows": [Interval(Integral, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def iter_arena(
    path: str | os.PathLike,
    chunk_rows: int = 10_000,
    *,
    cells: Literal["auto", "json", "text"] = "auto",
    non_text: Literal["raise", "json"] = "raise",
) -> Iterator[Bunch]:
    r"""Load battles from a file in parts, so that it may be larger than memory.

    Parameters
    ----------
    path : str or path-like
        As in :func:`load_arena`.
    chunk_rows : int, default=10_000
        The number of battles of a part; the last may be shorter.
    cells : {"auto", "json", "text"}, default="auto"
        As in :func:`load_arena`; "auto" decides once, for all parts, and warns as there.
    non_text : {"raise", "json"}, default="raise"
        As in :func:`load_arena`.

    Yields
    ------
    data : :class:`~sklearn.utils.Bunch`
        As in :func:`load_arena`. The index of X counts on through the whole file; the ids of a
        part are integers if all of them are.

    Raises
    ------
    FileFormatError
        As in :func:`load_arena`: a wrong name at once, a wrong cell when its part is reached, a CSV
        row that is too short perhaps earlier.
    FileNotFoundError
        If there is no such file; raised at once, before any part is asked for.

    See Also
    --------
    load_arena : The whole file in one.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from arena_estimators import iter_arena
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "battles.csv")
    ...     _ = path.write_text("prompt,response_a,response_b\nHi,Hello,Hey\nWhy?,So,Because\n")
    ...     [part.X.prompt.tolist() for part in iter_arena(path, 1)]
    [['Hi'], ['Why?']]
    """
    find_reader(path)
    os.stat(path)
    return (
        _bunch(battles, pd.RangeIndex(first, first + len(battles["prompt"])), os.fspath(path))
        for battles, first, _ in _battles(path, cells, non_text, chunk_rows)
    )


def _battles(path, cells, non_text, batch_rows):
    """Yield parts as dicts of lists, the number of their first row, and the share done."""
    if cells == "auto":
        with closing(read_batches(path, KNOWN, SAMPLE_ROWS, json_cells=True)) as batches:
            cells = guess_cells(next(batches)[1])
    schema, first_row = None, 0
    batches = read_batches(path, KNOWN, batch_rows, json_cells=cells != "text")
    for names, columns, share in batches:
        schema = schema or Schema(name_of(path), names, cells, non_text)
        battles = schema(columns, first_row)
        yield battles, first_row, share
        first_row += len(battles["prompt"])


def _bunch(battles, index, filename):
    columns = {
        name: pd.Series(battles[name], index=index, dtype=object, copy=False) for name in COLUMNS
    }
    if battles.get(GROUP) is not None:
        groups = _ids(battles[GROUP])
        # Without a dtype, pandas 3 makes text str, which cannot hold a lone surrogate.
        columns[GROUP] = pd.Series(groups, index=index, dtype=groups.dtype)
    names = [battles.get(name) for name in ("model_a", "model_b")]
    y = battles.get("y")
    return Bunch(
        X=pd.DataFrame(columns, copy=False),
        y=None if y is None else np.array(y),
        id=None if battles["id"] is None else _ids(battles["id"]),
        model_a=None if names[0] is None else _objects(names[0]),
        model_b=None if names[1] is None else _objects(names[1]),
        filename=filename,
    )


def _ids(values):
    """Make ids an array, of integers if all are written as integers are, which "007" is not."""
    try:
        numbers = list(map(int, values))
        if list(map(str, numbers)) == list(map(str, values)):
            return np.array(numbers, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        pass
    return _objects(values)


def _objects(values):
    """Make values of any kind a 1-d array; NumPy would make lists of equal length a 2-d one."""
    return pd.Series(values, dtype=object).to_numpy()


@contextmanager
def _without_garbage_collection():
    """Pause the collector, which would walk all new cells again and again and find no cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
