"""Make a submission from a fitted estimator, and write it without ever leaving half a file."""

import os
import pathlib
import re

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from arena_estimators._files import atomic_write
from arena_estimators._probability import normalised, not_probabilities
from arena_estimators.battles import CLASSES
from arena_estimators.exceptions import SubmissionError, warn

COLUMNS = ("id", *(f"winner_{name}" for name in CLASSES))
_POSITIONS: dict[str | int, int] = {
    **{name: i for i, name in enumerate(CLASSES)},
    **{i: i for i in range(3)},
}


def make_submission(estimator: BaseEstimator, X: pd.DataFrame, ids: ArrayLike) -> pd.DataFrame:
    """Predict battles and lay the probabilities out as the competition wants them.

    Parameters
    ----------
    estimator : estimator with `predict_proba` and `classes_`
        Fitted on three classes: "model_a", "model_b" and "tie", or 0, 1 and 2. Columns are found
        by name in `classes_`, never by position.
    X : DataFrame of shape (n_battles, n_columns)
        The battles.
    ids : array-like of shape (n_battles,)
        Their ids, kept in this order. Duplicates and ids like 7.0 are kept too, with a warning.

    Returns
    -------
    DataFrame of shape (n_battles, 4)
        The columns id, winner_model_a, winner_model_b and winner_tie.

    Raises
    ------
    SubmissionError
        If the ids do not fit X, if a probability is negative or not finite, or a row does not sum
        to one, if the estimator has no `predict_proba` or other classes than the arena's, and if
        it knows no ties: a tie predicted as impossible costs more than any gain.

    See Also
    --------
    write_submission : Write it to a file.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from arena_estimators import make_battles, make_submission
    >>> train, test = make_battles(100, random_state=0), make_battles(5, random_state=1)
    >>> prior = DummyClassifier().fit(train.X, train.y)
    >>> make_submission(prior, test.X, test.id).columns.tolist()
    ['id', 'winner_model_a', 'winner_model_b', 'winner_tie']
    """
    rows = _check_ids(ids)
    _warn_of_floats(rows)
    repeated = rows[pd.Series(rows).duplicated()]
    if len(repeated):
        warn(
            f"{len(repeated)} of {len(rows)} rows have an id that was there before, such as "
            f"{repeated[0]}; a competition scores one row an id."
        )
    if isinstance(X, dict):
        raise SubmissionError("X is what load_arena gives; pass its battles alone, `.X`.")
    if len(rows) != len(X):
        raise SubmissionError(f"X has {len(X)} battles but there are {len(rows)} ids.")
    for name in ("predict_proba", "classes_"):
        if not hasattr(estimator, name):
            raise SubmissionError(
                f"{type(estimator).__name__} has no {name}. Expected a fitted classifier that "
                "predicts probabilities."
            )
    positions = _check_classes(estimator.classes_)
    proba = np.asarray(estimator.predict_proba(X))
    if proba.shape != (len(rows), 3):
        raise SubmissionError(
            f"predict_proba gave the shape {proba.shape}; expected {(len(rows), 3)}."
        )
    proba = _check_proba(proba[:, np.argsort(positions)], rows)
    return pd.DataFrame({"id": rows, **dict(zip(COLUMNS[1:], proba.T, strict=True))})


def write_submission(frame: pd.DataFrame, path: str | os.PathLike) -> None:
    """Check a submission and write it whole, or leave what was there untouched.

    The file is written beside `path` and moved there when it is complete.

    Parameters
    ----------
    frame : DataFrame
        What :func:`make_submission` returns.
    path : str or path-like
        A name that ends in .csv or .csv.gz, in a folder that exists. An old file is replaced.

    Raises
    ------
    SubmissionError
        If the name, its folder, the columns, the ids or the probabilities are not as they must
        be. Nothing is written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pandas as pd
    >>> from arena_estimators import write_submission
    >>> columns = ["winner_model_a", "winner_model_b", "winner_tie"]
    >>> frame = pd.DataFrame({"id": [7], **dict(zip(columns, [0.5, 0.25, 0.25]))})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "submission.csv")
    ...     write_submission(frame, path)
    ...     print(path.read_text())
    id,winner_model_a,winner_model_b,winner_tie
    7,0.5,0.25,0.25
    <BLANKLINE>
    """
    path = pathlib.Path(os.path.realpath(path))
    if not path.name.lower().endswith((".csv", ".csv.gz")):
        raise SubmissionError(f"{path}: expected a name that ends in .csv or .csv.gz.")
    if path.is_dir():
        raise SubmissionError(f"{path} is a folder.")
    if not path.parent.is_dir():
        raise SubmissionError(f"{path.parent}: no such folder. Make it first.")
    if not isinstance(frame, pd.DataFrame) or tuple(frame.columns) != COLUMNS:
        found = list(getattr(frame, "columns", [type(frame).__name__]))
        raise SubmissionError(
            f"Expected a DataFrame with the columns {list(COLUMNS)}, got {found}."
        )
    _check_proba(frame[list(COLUMNS[1:])].to_numpy(), _check_ids(frame["id"]))
    others = [name for name in COLUMNS[1:] if frame[name].dtype.kind != "f"]
    frame = frame.astype(dict.fromkeys(others, np.float64))  # a bool would be written as True

    compression = None
    if path.name.lower().endswith(".gz"):  # else it would unpack to a file of the temporary name
        compression = {"method": "gzip", "filename": path.name[:-3]}
    with atomic_write(path) as file:
        frame.to_csv(file, index=False, compression=compression, lineterminator="\n")


def _check_ids(ids):
    if ids is None:
        raise SubmissionError("There are no ids; a submission needs one for every battle.")
    ids, cells = np.asarray(ids), np.asarray(ids, dtype=object)  # beside text, NaN becomes "nan"
    if ids.ndim != 1 or len(ids) == 0:
        raise SubmissionError(f"Expected a list of at least one id, got the shape {ids.shape}.")
    missing = pd.isna(cells) | np.array([isinstance(i, str) and not i.strip() for i in cells])
    if missing.any():
        raise SubmissionError(f"The id of row {int(np.argmax(missing))} is missing.")
    return ids


def _warn_of_floats(ids):
    """Warn of ids that a spreadsheet or pandas has turned into floats, such as 7.0 or 1.2E+10."""
    number = re.compile(r"\d+(\.\d*([eE][+-]?\d+)?|[eE][+-]\d+)").fullmatch
    changed = next((text for text in map(str, ids.tolist()) if number(text)), None)
    if changed is not None:
        warn(
            f"There are ids like {changed}, and the submission holds them as they are. The "
            "competition's are whole numbers, which pandas changes where one is missing, and a "
            "spreadsheet where they are long."
        )


def _check_classes(classes):
    """Give the position of each class among the submission's columns."""
    # After a fit on one-hot labels, each of `classes` is an array of the classes of one column.
    names = [np.asarray(name).tolist() for name in classes]
    positions = [_POSITIONS.get(name) if np.isscalar(name) else None for name in names]
    if sorted(names, key=str) in (list(CLASSES[:2]), [0, 1]):
        raise SubmissionError(
            f"The estimator was fitted without ties (classes {names}), and a tie predicted as "
            "impossible costs more than any gain. Fit it on battles with ties; if the competition "
            "has none and asks for the winner, fit it on the labels model_a and model_b, and write "
            "pandas.DataFrame({'id': test.id, 'winner': model.predict(test.X)}) instead."
        )
    if sorted(positions, key=str) != [0, 1, 2]:
        raise SubmissionError(
            f"The estimator's classes are {names}; expected {list(CLASSES)} or [0, 1, 2]."
        )
    return positions


def _check_proba(proba, ids):
    """Check probabilities and return them as float64 rows that sum to one."""
    try:
        proba = np.where(pd.isna(proba), np.nan, proba).astype(np.float64)  # of pd.NA, too
    except (TypeError, ValueError) as error:
        raise SubmissionError(f"Probabilities must be numbers: {error}.") from None
    wrong = not_probabilities(proba)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise SubmissionError(
            f"Row {row} (id {ids[row]}) has the probabilities {proba[row].tolist()}. Expected "
            "finite numbers of at least 0 that sum to one."
        )
    return normalised(proba)
