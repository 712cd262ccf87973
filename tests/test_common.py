"""Every public estimator passes the checks for estimators of battles, from the day it is public."""

import collections

import pytest
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import arena_estimators
from arena_estimators import (
    DavidsonClassifier,
    PairStyleFeatures,
    PairTfidfVectorizer,
    SwapSymmetricClassifier,
    make_arena_pipeline,
)
from arena_estimators.utils.estimator_checks import battle_checks, parametrize_with_battle_checks

# Numeric classifiers take no battles; scikit-learn's own checks are for them.
NUMERIC = {DavidsonClassifier}
separate = make_pipeline(PairTfidfVectorizer(combine="separate"), LogisticRegression())
ESTIMATORS = [
    PairTfidfVectorizer(),
    PairStyleFeatures(),
    SwapSymmetricClassifier(separate),
    make_arena_pipeline("linear"),
]


@parametrize_with_battle_checks(ESTIMATORS)
def test_battle_checks(estimator, check):
    check(estimator)


def test_every_public_estimator_is_checked():
    values = [getattr(arena_estimators, name) for name in arena_estimators.__all__]
    public = {v for v in values if isinstance(v, type) and issubclass(v, BaseEstimator)}
    assert public - NUMERIC <= {type(estimator) for estimator in ESTIMATORS}


def test_how_many_checks_each_estimator_gets():
    counts = collections.Counter()
    for estimator in ESTIMATORS:
        counts[type(estimator).__name__] += len(battle_checks(estimator))
    assert counts == {
        "PairTfidfVectorizer": 18,
        "PairStyleFeatures": 18,
        "SwapSymmetricClassifier": 19,
        "Pipeline": 19,
    }


class _Broken(TfidfVectorizer):
    """A vectoriser that learns the column names of a frame, as people meet it by accident."""


def test_the_checks_catch_a_vectoriser_that_reads_column_names():
    failed = 0
    checks = battle_checks(PairStyleFeatures())
    for check in checks:
        try:
            check(_Broken())
        except Exception:
            failed += 1
    assert failed > len(checks) / 2


@pytest.mark.parametrize("estimator", [PairTfidfVectorizer(), PairStyleFeatures()])
def test_a_failing_check_is_reported_where_expected(estimator):
    marked = parametrize_with_battle_checks(
        [estimator], expected_failed_checks=lambda _: {"check_one_row": "a written reason"}
    )
    xfails = [p for p in marked.args[1] if p.marks]
    assert [p.marks[0].kwargs for p in xfails] == [{"reason": "a written reason", "strict": True}]
