"""Warnings name the line of the user's code that led to them, whatever stands between."""

import warnings

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from arena_estimators import (
    BlendingClassifier,
    DavidsonClassifier,
    PairTfidfVectorizer,
    PromptGroupKFold,
    SwapSymmetricClassifier,
    make_battles,
)
from arena_estimators.exceptions import ArenaError, MissingExtraError, ResourceNotFoundError


def _words():
    return make_pipeline(PairTfidfVectorizer(), DavidsonClassifier())


@pytest.mark.parametrize(
    "use",
    [
        lambda X, y: _words().fit(X, y),
        lambda X, y: SwapSymmetricClassifier(_words()).fit(X, y),
        lambda X, y: BlendingClassifier([("words", _words())], verbose=True).fit(X, y),
        lambda X, y: cross_val_score(_words(), X, y, cv=PromptGroupKFold(2)),
        lambda X, y: DavidsonClassifier("auto").fit(np.eye(len(X)), y, np.full(len(X), 1e-3)),
        lambda X, y: DavidsonClassifier(max_iter=1).fit(np.eye(len(X)), y),
    ],
)
def test_the_line_of_the_user_is_named(use):
    data = make_battles(40, random_state=0)
    X = data.X.map(lambda cell: f'["{cell}"]')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use(X, data.y)
    assert caught
    places = {(warning.filename, warning.lineno) for warning in caught}
    assert places == {(__file__, use.__code__.co_firstlineno)}


@pytest.mark.parametrize(
    ("error", "kind"), [(ResourceNotFoundError, LookupError), (MissingExtraError, ImportError)]
)
def test_what_is_missing_is_caught_as_python_calls_it(error, kind):
    assert issubclass(error, kind)
    assert issubclass(error, ArenaError) and issubclass(error, ValueError)
