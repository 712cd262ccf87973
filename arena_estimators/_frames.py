"""Frames of every kind: the dtypes of pandas, and the frames of other libraries."""

import numpy as np
import pandas as pd


def is_frame(values):
    """Tell whether labels or probabilities are a frame, of pandas or of another library."""
    return hasattr(type(values), "columns")  # a Series has the labels of its rows as attributes


def names_of(frame):
    """Give the names of a frame's columns; `columns` of Arrow's tables are not their names."""
    return list(frame.column_names if hasattr(type(frame), "column_names") else frame.columns)


def columns_of(frame, classes):
    """Return the columns named by the classes, or by their numbers, in the order of the classes.

    Returns
    -------
    ndarray of shape (n_rows, n_classes), or None if the columns have other names
    """
    names = [str(name).removeprefix("winner_") for name in names_of(frame)]
    for wanted in (list(map(str, classes)), list(map(str, range(len(classes))))):
        if sorted(names) == sorted(wanted):
            return np.asarray(frame)[:, [names.index(name) for name in wanted]]
    return None


def same_categories(left, right):
    """Return both sides as they are or, if both are categorical, with the categories of both."""
    if not all(isinstance(side.dtype, pd.CategoricalDtype) for side in (left, right)):
        return left, right
    categories = left.cat.categories.union(right.cat.categories, sort=False)
    return left.cat.set_categories(categories), right.cat.set_categories(categories)


def stack(*frames):
    """Put frames of battles below each other; each row keeps its label in the index.

    Arrow lists become Python lists first: next to other cells, pandas would turn them into arrays.
    """
    return pd.concat(map(_without_arrow_lists, frames))


def _without_arrow_lists(frame):
    plain = frame.copy(deep=False)
    for place, dtype in enumerate(frame.dtypes):
        if "list<" in str(dtype):
            cells = frame.iloc[:, place].tolist()
            plain.isetitem(place, pd.Series(cells, index=frame.index, dtype=object))
    return plain


def like(column, cells):
    """Make cells a column with the index and, if they fit it, the text or Arrow dtype of another.

    That dtype cannot hold a lone surrogate, such as "tweet" makes of &#xD800;, nor, if it is Arrow
    lists of a fixed size, a list with fewer turns.
    """
    if isinstance(column.dtype, pd.StringDtype | pd.ArrowDtype):
        try:
            return pd.Series(cells, index=column.index, dtype=column.dtype)
        except ValueError:
            pass
    return pd.Series(cells, index=column.index, dtype=object)
