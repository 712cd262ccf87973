"""What estimators check, and the one place that imports scikit-learn's parameter constraints."""

import importlib
import os
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    validate_params,
)
from sklearn.utils.validation import validate_data

from arena_estimators.battles import COLUMNS, check_battles, check_labels
from arena_estimators.exceptions import ArenaError, LabelsError, warn

__all__ = [
    "COUNT",
    "POSITIVE",
    "HasMethods",
    "Interval",
    "Options",
    "ReadsBattles",
    "StrOptions",
    "check_blocks",
    "check_no_label_missing",
    "check_parameters",
    "check_some_weight",
    "fit_context",
    "this_version",
    "validate_battles",
    "validate_params",
]


class _Count(Interval):
    """A positive integer. True is none, though Python and scikit-learn take it for 1."""

    def is_satisfied_by(self, val):
        return not isinstance(val, bool) and super().is_satisfied_by(val)


COUNT = _Count(Integral, 1, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")


def check_no_label_missing(y, name):
    """Refuse labels that are None or NaN, which NumPy would sort or count as a class."""
    missing = np.flatnonzero(pd.isna(np.asarray(y, dtype=object)))
    if len(missing):
        raise LabelsError(f"The label in {name}, row {missing[0]}, is missing.")


def check_parameters(estimator):
    """Refuse an estimator's parameters before anything is fitted, if it says what they may be.

    A parameter alone is checked by scikit-learn's constraints. What several parameters or this
    machine rule out, such as a folder that cannot be written, is checked by the estimator's method
    `check_settings`, if it has one, which takes no argument and raises an error.
    """
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()
    if hasattr(estimator, "check_settings"):
        estimator.check_settings()


def check_some_weight(weight):
    """Refuse sample weights that are all zero, as scikit-learn does from 1.9 on."""
    if not weight.any():
        raise ArenaError("sample_weight is zero for every battle; at least one must count.")


def check_blocks(blocks, known):
    """Return the requested blocks as a tuple; refuse an empty choice, unknown and repeated ones."""
    blocks = (blocks,) if isinstance(blocks, str) else tuple(blocks)
    unknown = [block for block in blocks if block not in known]
    if unknown or not blocks or len(set(blocks)) < len(blocks):
        raise ArenaError(
            f"blocks={blocks!r} must hold one or more of {', '.join(map(repr, known))}, each once."
        )
    return blocks


def validate_battles(estimator, X, y=None, *, columns=COLUMNS, reset=True):
    """Check battles, and labels if a transformer is given any, and return `X` as it is.

    A transformer does not use `y`, but the classifier after it may accept any labels and read them
    in sorted order. Only an estimator that sees battles knows what the labels must be.

    With `reset=True` (in `fit`) the names of `columns`, in the frame's order, are recorded in
    `feature_names_in_`; with `reset=False` a frame that orders them otherwise is refused. Other
    columns are ignored, so that a test file may lack columns that the training file had.

    It warns of cells that look like JSON: in `fit`, if those of any column do; later, when a single
    row may well hold a list and it is the test file that may have been read otherwise, only if
    those of all columns do, in several rows.
    """
    check_battles(X, columns=columns)
    if y is not None:
        check_labels(y, n_battles=len(X))
    like_json = (look_like_json(X[column]) for column in columns)
    if any(like_json) if reset else len(X) > 1 and all(like_json):
        warn(
            "The cells look like JSON lists of turns, as in the competition's files, and would be "
            "read as they stand, with brackets and escapes. Read the file, or the frame, with "
            "load_arena."
        )
    names = [column for column in X.columns if column in columns]
    text = X if len(names) == len(X.columns) else X[names]  # a copy takes longer
    validate_data(estimator, text, reset=reset, skip_check_array=True)
    return X


def look_like_json(column):
    """Tell whether the first texts all look like lists, one at least like a list of text."""
    head = [cell.strip() for cell in column.iloc[:10] if isinstance(cell, str)]
    lists = all(cell[:1] == "[" and cell[-1:] == "]" for cell in head)
    quotes = {'"', "'"}  # JSON's, and those of a list that Python wrote into a .csv file
    return lists and any({cell[1:2], cell[-2:-1]} <= quotes for cell in head)


def this_version():
    """Return the library's version, read only when called: modules load before the package does."""
    return importlib.import_module("arena_estimators").__version__


class ReadsBattles:
    """Mixin of estimators whose `X` holds battles: text, not numbers.

    Paths among their parameters are pickled as text, because a pathlib path that was pickled on
    Linux or macOS cannot be loaded on Windows, nor the other way round. The attributes named in
    `_of_pandas` are pickled as dicts, because pandas 2 cannot load what pandas 3 has made, and
    skops knows no pandas objects. A pickle names the version of this library that wrote it, since
    what counts as a word or a measure of style may change from one version to the next.
    """

    _of_pandas: tuple[str, ...] = ()  # fitted attributes that are a Series or a DataFrame

    def __getstate__(self):
        state = {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in super().__getstate__().items()
        }
        state["_arena_version"] = this_version()
        tables = {name: state.pop(name).to_dict() for name in self._of_pandas if name in state}
        return state | {"_tables": tables} if tables else state

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_arena_version", None)
        if saved != this_version():
            warn(
                f"The estimator was saved with arena_estimators {saved or 'of an earlier day'} and "
                f"is loaded with {this_version()}, which may read battles differently: its "
                "predictions may change. Fit it again, or load it with the version it was saved "
                "with."
            )
        for name, table in state.pop("_tables", {}).items():
            by_column = any(isinstance(value, dict) for value in table.values())
            state[name] = pd.DataFrame(table) if by_column else pd.Series(table)
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
