"""What the checks share: battles, seeded clones, and comparisons of outputs of any kind."""

import functools
import pickle
import re

import numpy as np
import pandas as pd
from pandas.testing import assert_frame_equal
from scipy.sparse import issparse
from sklearn.base import clone, is_classifier

from arena_estimators.battles import COLUMNS
from arena_estimators.datasets import make_battles


@functools.cache
def _pickled(tie_rate, seed):
    return pickle.dumps(make_battles(60, tie_rate=tie_rate, random_state=seed))


def sample_battles(tie_rate=0.3, seed=0):
    return pickle.loads(_pickled(tie_rate, seed))  # a copy by pandas would share lists of turns


def seeded(estimator):
    estimator = clone(estimator)
    seeds = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(seeds, 0))


def shown(estimator):
    """Return the repr without the memory addresses of parameters, which a copy does not share."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(estimator))


def fit_clone(estimator, data=None):
    data = data or sample_battles()
    return seeded(estimator).fit(data.X, data.y)


def output_of(estimator, X):
    return estimator.predict_proba(X) if is_classifier(estimator) else estimator.transform(X)


def is_battles(output):
    return isinstance(output, pd.DataFrame) and set(COLUMNS) <= set(output.columns)


def cleans(transformer):
    """Tell whether a transformer gives battles; one that fails says so in its checks."""
    try:
        return is_battles(output_of(fit_clone(transformer), sample_battles().X))
    except Exception:
        return False


def assert_equal(first, second, **tolerance):
    assert type(first) is type(second)
    tolerance = {"rtol": 0, "atol": 1e-6, **tolerance}
    if isinstance(first, pd.DataFrame):
        assert_frame_equal(first, second, check_dtype=False, **tolerance)
        return
    first, second = (m.toarray() if issparse(m) else m for m in (first, second))
    np.testing.assert_allclose(first, second, **tolerance)


def assert_same(first, second):
    assert_equal(first, second, rtol=0, atol=0)


def take(output, rows):
    return output.iloc[rows] if isinstance(output, pd.DataFrame) else output[rows]


def raises(errors, what, function, *arguments, match=(), **named):
    """Fail unless a call raises; `what` describes the call, as "fit with unknown labels" does."""
    try:
        function(*arguments, **named)
    except errors as error:
        missing = [part for part in match if part not in str(error)]
        assert not missing, f"the message {error} does not name {missing}"
        return
    except Exception as error:
        found = f"{type(error).__name__}, not {errors.__name__}: {error}"
        raise AssertionError(f"{what} raised {found}") from error
    raise AssertionError(f"{what} did not raise {errors.__name__}")
