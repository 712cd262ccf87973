import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from arena_estimators._probability import (
    FLOOR,
    davidson_logits,
    log,
    log_odds,
    log_pool,
    mean_log_loss,
    normalised,
    not_probabilities,
    tempered,
    to_proba,
)

RNG = np.random.default_rng(0)


def swapped(values):
    return values[..., [1, 0, 2][: values.shape[-1]]]


def test_the_log_loss_is_scikit_learns_also_of_certain_predictions():
    target, proba = np.eye(3)[RNG.integers(3, size=50)], RNG.dirichlet([1, 1, 1], size=50)
    proba[:5], weight = [0, 0, 1], RNG.uniform(size=50)
    labels = target.argmax(axis=1)
    assert mean_log_loss(target, proba) == pytest.approx(log_loss(labels, proba))
    expected = log_loss(labels, proba, sample_weight=weight)
    assert mean_log_loss(target, proba, 3 * weight) == pytest.approx(expected)
    np.testing.assert_array_equal(log([0.0, FLOOR]), np.log(FLOOR))


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ([0.2, 0.3, 0.5], False),
        ([0.20009, 0.3, 0.5], False),
        ([0.2002, 0.3, 0.5], True),
        ([1.2, -0.2, 0.0], True),
        ([np.nan, 0.5, 0.5], True),
        ([np.inf, 0.0, -np.inf], True),
        ([0.0, 0.0, 0.0], True),
    ],
)
def test_rows_that_are_not_probabilities_are_found(row, wrong):
    assert not_probabilities(np.array([row, [0.0, 1.0, 0.0]])).tolist() == [wrong, False]


def test_rows_are_divided_by_their_sums():
    values = RNG.uniform(0.1, 1, size=(50, 3))
    np.testing.assert_allclose(normalised(values), values / values.sum(axis=1, keepdims=True))
    once = normalised(values)
    np.testing.assert_array_equal(normalised(once), once)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_davidsons_form_is_undone_by_the_softmax(n_classes):
    proba = RNG.dirichlet(np.ones(n_classes), size=50)
    odds = log_odds(proba)
    logits = odds if n_classes == 3 else davidson_logits(-odds)
    np.testing.assert_allclose(to_proba(logits), proba)
    assert (log_odds(np.eye(n_classes)) != 0).any() and np.isfinite(
        log_odds(np.eye(n_classes))
    ).all()


def test_a_temperature_divides_logits():
    logits = RNG.normal(size=(50, 3))
    np.testing.assert_allclose(to_proba(logits, 2.0), softmax(logits / 2, axis=1))
    np.testing.assert_allclose(tempered(to_proba(logits), 2.0), to_proba(logits, 2.0))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_exchanged_columns_give_exactly_the_exchanged_result(n_classes):
    members = RNG.dirichlet(np.ones(n_classes), size=(3, 500))
    weights, gap = np.array([0.5, 0.3, 0.2]), RNG.normal(size=500)
    tie = RNG.normal(size=500) if n_classes == 3 else None
    for function, given in (
        (lambda P: log_pool(P, weights, 0.7), members),
        (lambda P: normalised(P), 1.3 * members[0]),
        (lambda P: tempered(P, 1.7), members[0]),
    ):
        np.testing.assert_array_equal(function(swapped(given)), swapped(function(given)))
    np.testing.assert_array_equal(davidson_logits(-gap, tie), swapped(davidson_logits(gap, tie)))
