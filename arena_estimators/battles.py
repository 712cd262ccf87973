"""The data contract: what a battle is, what its labels are, and how to swap its sides.

A battle is one row of a DataFrame with the columns `prompt`, `response_a` and `response_b`. A cell
is text, missing, or a list or tuple of turns, each text or None. The label says which response the
person preferred: `"model_a"`, `"model_b"` or `"tie"`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from arena_estimators._frames import columns_of, is_frame, names_of, same_categories
from arena_estimators._probability import normalised, not_probabilities
from arena_estimators.exceptions import BattlesError, LabelsError

PROMPT, RESPONSE_A, RESPONSE_B = COLUMNS = ("prompt", "response_a", "response_b")
GROUP = "prompt_group"  # a column that says which battles no split may part
CLASSES = ("model_a", "model_b", "tie")
_EXPECTED = (
    "Expected text, None, or a list or tuple of turns, each text or None. load_arena reads frames "
    "of other kinds."
)


def swap(X: pd.DataFrame) -> pd.DataFrame:
    """Exchange the two responses of every battle.

    Parameters
    ----------
    X : DataFrame of shape (n_battles, n_columns)
        Battles. Your own columns whose names differ only in their endings `_a` and `_b`, such as
        `words_a` and `words_b`, are exchanged too, whatever they mean; all others are kept as they
        are, so none of them may hold a difference between the two sides.

    Returns
    -------
    DataFrame of shape (n_battles, n_columns)
        A new frame with the same index and column order.

    Raises
    ------
    BattlesError
        If `X` is not a DataFrame, lacks a response column, or has one of the columns twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from arena_estimators import swap
    >>> X = pd.DataFrame({"prompt": ["Hi"], "response_a": ["Hello!"], "response_b": ["Go away."]})
    >>> swap(X).response_a.tolist()
    ['Go away.']
    """
    _check_columns(X, (RESPONSE_A, RESPONSE_B))
    names = [name for name in X.columns if isinstance(name, str)]
    pairs = [(name, name[:-1] + "b") for name in names if name.endswith("_a")]
    exchanged: dict[str, pd.Series] = {}
    for a, b in [pair for pair in pairs if pair[1] in names]:
        _check_columns(X, (a, b))
        left, right = same_categories(X[a], X[b])
        exchanged |= {a: right, b: left}
    return X.assign(**exchanged)


def swap_proba(P: ArrayLike) -> np.ndarray:
    """Exchange the probabilities (or soft labels) of model_a and model_b.

    Parameters
    ----------
    P : array-like of shape (n_battles, 3) or (n_battles, 2)
        Columns in the order of the sorted classes: model_a, model_b and, if present, tie. A
        DataFrame names its columns after them, with or without `winner_`, or numbers them from 0.

    Returns
    -------
    ndarray of the same shape
        Columns in the order of the sorted classes.

    Raises
    ------
    LabelsError
        If there are not two or three columns, or a DataFrame has columns of other names.

    Examples
    --------
    >>> from arena_estimators import swap_proba
    >>> swap_proba([[0.5, 0.2, 0.3]])
    array([[0.2, 0.5, 0.3]])
    """
    P = _named_soft_labels(P) if is_frame(P) else np.asarray(P)
    if P.ndim != 2 or P.shape[1] not in (2, 3):
        raise LabelsError(
            f"swap_proba expects shape (n_battles, 3) or (n_battles, 2), got {P.shape}."
        )
    return P[:, [1, 0, 2][: P.shape[1]]]


def swap_labels(y):
    """Exchange model_a and model_b in labels of any kind `check_labels` takes.

    Parameters
    ----------
    y : array-like of shape (n_battles,) or (n_battles, n_classes)

    Returns
    -------
    ndarray of the same shape
    """
    if np.ndim(y) == 2:
        return swap_proba(y)
    classes, codes = check_labels(y)
    return classes[np.array([1, 0, 2])[codes]]


def check_battles(
    X: pd.DataFrame, *, columns: Sequence[str] = COLUMNS, name: str = "X"
) -> pd.DataFrame:
    """Check that `X` keeps the data contract, and return it unchanged.

    Parameters
    ----------
    X : DataFrame
        Battles. Columns other than `columns` are allowed and not looked at.
    columns : sequence of str, default=("prompt", "response_a", "response_b")
        The columns that must be there and hold text or turns.
    name : str, default="X"
        What the error calls the frame.

    Returns
    -------
    DataFrame
        `X` itself, not a copy.

    Raises
    ------
    BattlesError
        If `X` is no DataFrame, lacks a column or has it twice, or has a cell that is neither text,
        missing nor a list or tuple of turns. The message names the column, the row and what was
        expected.
    """
    _check_columns(X, columns, name)
    for column in columns:
        values = X[column]
        if pd.api.types.infer_dtype(values, skipna=True) in ("string", "empty"):
            continue
        for position, cell in enumerate(values.array):
            if found := _not_text(cell):
                label = X.index.tolist()[position]
                place = f"column {column!r}, row {position} (index {label!r})"
                raise BattlesError(f"{name} has {found} in {place}. {_EXPECTED}")
    return X


def check_labels(y: ArrayLike, *, n_battles: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Check labels and return their classes beside codes or probabilities.

    Parameters
    ----------
    y : array-like of shape (n_battles,), (n_battles, 3) or (n_battles, 2)
        `"model_a"`, `"model_b"`, `"tie"`, or the integers 0, 1, 2 that mean the same; or, in two
        dimensions, the probabilities of the classes in that order (soft labels). Labels without
        any tie, or soft labels in two columns, are a task of two classes. A frame of soft labels
        names its columns after the classes, with or without `winner_`, or numbers them from 0.
    n_battles : int, optional
        The number of labels expected.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The sorted classes: text, or integers where the labels are numbers.
    target : ndarray of shape (n_battles,) of int, or (n_battles, n_classes) of float64
        Positions in `classes`, or the soft labels.

    Raises
    ------
    LabelsError
        If `y` is None, has an unknown or missing label, lacks model_a or model_b, holds soft labels
        that are not probabilities, or has the wrong shape or number of labels.

    Examples
    --------
    >>> from arena_estimators import check_labels
    >>> classes, codes = check_labels(["tie", "model_a", "model_b"])
    >>> classes.tolist(), codes.tolist()
    (['model_a', 'model_b', 'tie'], [2, 0, 1])
    """
    if y is None:
        raise LabelsError("y is None; battles of a test file have no winners.")
    if is_frame(y):
        y = _named_soft_labels(y)
    values = np.asarray(y)
    if n_battles is not None and values.ndim and len(values) != n_battles:
        raise LabelsError(f"X has {n_battles} battles but y has {len(values)} labels.")
    if values.ndim == 2 and values.shape[1] > 1:
        return np.array(CLASSES[: values.shape[1]]), _check_soft_labels(values)
    if values.ndim != 1:
        raise LabelsError(
            f"y has the shape {values.shape}. Expected one label a battle, of shape (n_battles,), "
            "or soft labels of shape (n_battles, 3) or (n_battles, 2)."
        )
    if values.dtype == object and pd.api.types.infer_dtype(values) == "integer":
        values = np.where(pd.isna(values), np.nan, values).astype(np.float64)
    if values.dtype.kind in "iuf":
        known = np.arange(3)
        # An unsigned -1 would be a large number.
        codes = np.where(np.isin(values, known), values, np.intp(-1)).astype(np.intp)
    else:
        known = np.array(CLASSES)
        names = [label if isinstance(label, str) else None for label in values.tolist()]
        codes = pd.Index(CLASSES, dtype=object).get_indexer(pd.Index(names, dtype=object))
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        # If any label in a list is text, NumPy turns all into text: name the one that was given.
        label = y[row] if values.dtype.kind == "U" and isinstance(y, list | tuple) else values[row]
        label = label.tolist() if isinstance(label, np.generic | np.ndarray) else label
        is_column = str(label).startswith("winner_")  # from idxmax over the competition's columns
        raise LabelsError(
            f"Unknown label {label!r} in y, row {row}{is_column * ': drop its prefix'}. Expected "
            "'model_a', 'model_b' or 'tie', or the integers 0, 1, 2 that mean the same. load_arena "
            "reads the labels of the competition's and the arena's files."
        )
    present = np.unique(codes)
    if present.tolist() not in ([0, 1], [0, 1, 2]):
        raise LabelsError(
            f"y holds only the classes {[CLASSES[i] for i in present]}; a fit needs both 'model_a' "
            "and 'model_b' (and 'tie', if the task has ties)."
        )
    return known[: len(present)], codes


def turns_of(cell):
    """Give the turns of one cell as a list of text or None.

    Text is one turn and a missing cell is one null turn; lists and tuples are taken as they are.
    """
    if isinstance(cell, list | tuple):
        return list(cell)
    return [cell if isinstance(cell, str) else None]


def text_of(cell, separator="\n\n"):
    """Join the turns of one cell to a text; null turns and missing cells add nothing."""
    if isinstance(cell, str):
        return cell
    if found := _not_text(cell):
        raise BattlesError(f"There is {found}. {_EXPECTED}")
    return separator.join(filter(None, cell)) if isinstance(cell, list | tuple) else ""


def texts(column: Iterable, separator: str = "\n\n") -> list[str]:
    r"""Give each cell of a column as one text, for tools that know nothing of turns.

    Parameters
    ----------
    column : Series or sequence of cells
        Text, missing, or a list or tuple of turns.
    separator : str, default="\\n\\n"
        What to put between turns.

    Returns
    -------
    list of str
        Null and empty turns add nothing, missing cells are empty text.

    Raises
    ------
    BattlesError
        If a cell or turn is of another kind, such as the arrays of a parquet file that pandas read.

    Examples
    --------
    >>> from arena_estimators.battles import texts
    >>> texts(["Hi", ["One.", None, "Two."], None], separator=" ")
    ['Hi', 'One. Two.', '']
    """
    return [text_of(cell, separator) for cell in column]


def _check_columns(X, columns, name="X"):
    if not isinstance(X, pd.DataFrame):
        raise BattlesError(
            f"{name} must be a pandas DataFrame with the columns {', '.join(map(repr, columns))}; "
            f"got {type(X)}. load_arena reads one from a file, to_pandas() "
            "converts another library's frame, and a transformer before this step returns one "
            "after set_output(transform='pandas'); an estimator that turns its data into arrays, "
            "such as BaggingClassifier, belongs after the step that makes features."
        )
    for column in columns:
        count = sum(isinstance(label, str) and label == column for label in X.columns)
        if count != 1:
            problem = "has no column" if count == 0 else f"has {count} columns named"
            hint = " load_arena makes them of these." if "conversation_a" in X.columns else ""
            raise BattlesError(
                f"{name} {problem} {column!r}. Expected one each of "
                f"{', '.join(map(repr, columns))}; found {', '.join(map(repr, X.columns))}.{hint}"
            )


def _is_missing(value):
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _not_text(cell):
    """Describe what is wrong with a cell, or return an empty text."""
    if isinstance(cell, str) or _is_missing(cell):
        return ""
    if isinstance(cell, list | tuple):
        for number, turn in enumerate(cell):
            if not (isinstance(turn, str) or turn is None):
                return f"turn {number} of type {type(turn).__name__} ({turn!r:.60})"
        return ""
    return f"a cell of type {type(cell).__name__} ({cell!r:.60})"


def _named_soft_labels(y):
    values = columns_of(y, CLASSES[: max(y.shape[1], 2)])
    if values is None:
        raise LabelsError(
            f"The frame of labels or probabilities has the columns {names_of(y)}. Expected soft "
            f"labels in the columns {list(CLASSES)} (or the first two), with or without the prefix "
            "'winner_'; if one column holds the labels, pass that column, as in y['winner']."
        )
    return values


def _check_soft_labels(values):
    if values.shape[1] not in (2, 3):
        raise LabelsError(
            f"Soft labels must have 3 columns (or 2, no ties), got {values.shape[1]}."
        )
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise LabelsError(f"Soft labels must be numbers: {error}") from None
    wrong = not_probabilities(values)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise LabelsError(
            f"Soft labels must be probabilities that sum to one; row {row} is {values[row]}."
        )
    return normalised(values)
