"""The one place that touches scikit-learn's private parameter validation."""

from numbers import Integral, Real

from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import HasMethods, Hidden, Interval, Options, StrOptions
from sklearn.utils._param_validation import validate_params as validate_params
from sklearn.utils.validation import validate_data

from arena_estimators.battles import COLUMNS, check_battles

__all__ = [
    "HasMethods",
    "Hidden",
    "Integral",
    "Interval",
    "Options",
    "Real",
    "StrOptions",
    "fit_context",
    "validate_battles",
    "validate_params",
]


def validate_battles(estimator, X, *, columns=COLUMNS, reset=True):
    """Check battles for an estimator and keep the DataFrame.

    With `reset=True` (in `fit`) the names of `columns`, in the frame's order, are recorded in
    `feature_names_in_`; with `reset=False` a frame that orders them otherwise is refused. Other
    columns are ignored, so that a test file may lack what the training file had.
    """
    check_battles(X, columns=columns)
    text = X[[column for column in X.columns if column in columns]]
    validate_data(estimator, text, reset=reset, skip_check_array=True)
    return X
