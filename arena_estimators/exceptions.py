"""The errors and warnings of arena_estimators.

Every error here is an `ArenaError`, which is a `ValueError`, so code that catches what scikit-learn
raises on bad input catches these too.
"""

import sys
import warnings

_BETWEEN = {"arena_estimators", "contextlib", "joblib", "pickle", "sklearn", "skorch", "tqdm"}


class ArenaError(ValueError):
    """Base of this library's errors; a parameter's wrong type or range raises scikit-learn's."""


class BattlesError(ArenaError):
    """The battles `X` break the data contract (type, column or cell), or cannot be split."""


class LabelsError(ArenaError):
    """The labels `y` are not the arena's, do not fit `X`, or are not those of a classifier."""


class FileFormatError(ArenaError):
    """A file of battles cannot be read; the message names it and, of a wrong cell, the place."""


class SubmissionError(ArenaError):
    """A submission would be malformed; nothing was written."""


class ResourceNotFoundError(ArenaError, LookupError):
    """A model or a language resource is not on this machine; the message says how to get it."""


class MissingExtraError(ArenaError, ImportError):
    """An optional package is not installed; the message says what to install."""


class ArenaWarning(UserWarning):
    """Base of this library's own warnings; `DavidsonClassifier` also gives a ConvergenceWarning."""


def warn(message, category=ArenaWarning):
    """Warn at the line of the user's own code that led here, past the libraries in `_BETWEEN`."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
