from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import make_scorer
from sklearn.utils._param_validation import InvalidParameterError

from arena_estimators import expected_calibration_error, swap_inconsistency
from arena_estimators.exceptions import ArenaError, LabelsError


class _Always:
    """Predicts the same probabilities for every battle, whichever response is a."""

    def __init__(self, *proba):
        self.proba = proba

    def predict_proba(self, X):
        return np.tile(self.proba, (len(X), 1))


def test_swap_inconsistency_is_the_mean_total_variation(battles):
    assert swap_inconsistency(_Always(0.3, 0.3, 0.4), battles) == 0
    assert swap_inconsistency(_Always(0.6, 0.1, 0.3), battles) == pytest.approx(0.5)
    assert swap_inconsistency(_Always(1.0, 0.0), battles) == 1


def test_calibration_error_of_known_cases():
    y = np.array([0, 0, 0, 1] * 25)
    assert expected_calibration_error(y, np.tile([0.75, 0.25], (100, 1))) == pytest.approx(0)
    assert expected_calibration_error(y, np.tile([0.95, 0.05], (100, 1))) == pytest.approx(0.2)
    for labels in ([0, 1], (0, 1), np.arange(2)):
        assert expected_calibration_error([0, 0], [[1, 0], [1, 0]], labels=labels) == 0


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_calibration_error_of_calibrated_predictions_is_small(strategy):
    rng = np.random.default_rng(0)
    P = rng.dirichlet([1, 1, 1], size=20_000)
    y = np.array([rng.choice(3, p=p) for p in P])
    assert expected_calibration_error(y, P, strategy=strategy) < 0.02
    assert (
        expected_calibration_error(y, P**3 / (P**3).sum(1, keepdims=True), strategy=strategy) > 0.1
    )


def test_calibration_error_refuses_what_does_not_fit():
    with pytest.raises(LabelsError, match="pass labels"):
        expected_calibration_error(["a", "a"], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(LabelsError, match="not among"):
        expected_calibration_error(["c", "a"], [[0.5, 0.5], [0.5, 0.5]], labels=["a", "b"])
    with pytest.raises(LabelsError, match="y_true is empty"):
        expected_calibration_error([], np.zeros((0, 2)), labels=["a", "b"])
    with pytest.raises(LabelsError, match="mix kinds of values"):
        expected_calibration_error(["a", "b"], [[0.5, 0.5], [0.5, 0.5]], labels=["a", None])
    with pytest.raises(LabelsError, match="mix kinds of values"):
        expected_calibration_error(np.array(["a", 1], dtype=object), [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(ValueError, match="1d array"):
        expected_calibration_error([[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("known", ["model_b", 1])
def test_calibration_error_names_the_row_of_a_missing_label(missing, known):
    y_list = [known, missing]
    y_true = [y_list, pd.Series(y_list, dtype=object)]
    for y, labels in product(y_true, [None, ["model_a", "model_b"]]):
        with pytest.raises(LabelsError, match="y_true, row 1, is missing"):
            expected_calibration_error(y, [[0.5, 0.5], [0.5, 0.5]], labels=labels)


def test_columns_of_probabilities_are_found_by_their_names():
    y = ["model_a", "tie", "model_b"]
    P = pd.DataFrame({"tie": [0, 1, 0], "winner_model_a": [1, 0, 0], "model_b": [0, 0, 1]})
    assert expected_calibration_error(y, P) == 0
    assert expected_calibration_error(y, pd.DataFrame(P.to_numpy())) == 1  # nothing is named
    numbered = P.set_axis(["2", 0, "1"], axis=1)
    assert expected_calibration_error([0, 2, 1], numbered) == 0
    with pytest.raises(LabelsError, match=r"columns \['draw', .*expected the classes"):
        expected_calibration_error(y, P.rename(columns={"tie": "draw"}))
    with pytest.raises(LabelsError, match="labels must be sorted"):
        expected_calibration_error(y, P.to_numpy(), labels=["tie", "model_a", "model_b"])


@pytest.mark.parametrize("y", [["a", "a", "b", "a"], ["a", "c", "b", "a"]])
def test_calibration_error_in_a_scorer(y):
    """Of two classes scikit-learn's scorers pass the probability of the second alone."""
    X = np.zeros((4, 1))
    prior = DummyClassifier().fit(X, y)
    expected = expected_calibration_error(["a", "b", *y], prior.predict_proba(np.zeros((6, 1))))
    scorer = make_scorer(expected_calibration_error, response_method="predict_proba")
    assert scorer(prior, np.zeros((6, 1)), ["a", "b", *y]) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [[1.5, 0.5], [-0.5, 0.5], [np.nan, 0.5], ["a", "b"]])
def test_one_probability_a_battle_is_a_probability(wrong):
    with pytest.raises(ArenaError, match="rows sum to one"):
        expected_calibration_error(["a", "b"], wrong)


@pytest.mark.parametrize("y", [["a", "b", "c"], ["a", "a", "a"]])
def test_one_probability_a_battle_is_of_two_classes(y):
    with pytest.raises(LabelsError, match=r"has shape \(3,\); expected \(3, [13]\)"):
        expected_calibration_error(y, [0.25, 0.5, 0.75])


@pytest.mark.parametrize("wrong", [[[2.0, -1.0]], [[0.5, 0.6]], [[np.nan, 1.0]], [[pd.NA, 1]]])
def test_calibration_is_of_probabilities_only(wrong):
    with pytest.raises(ValueError, match="rows sum to one"):
        expected_calibration_error(["model_a"], wrong, labels=["model_a", "model_b"])


def test_calibration_error_depends_on_the_bins_asked_for():
    confidence = np.array([0.6, 0.65, 0.8, 0.95])  # outcome less confidence: 0.4, 0.35, -0.8, 0.05
    P = np.stack([confidence, 1 - confidence], axis=1)
    for options, expected in [
        ({"n_bins": 1}, 0),
        ({"n_bins": 2}, 0),  # all are above one half
        ({"n_bins": 4}, (0.75 + 0.75) / 4),
        ({"n_bins": 2, "strategy": "quantile"}, (0.75 + 0.75) / 4),
    ]:
        error = expected_calibration_error(["a", "a", "b", "a"], P, **options)
        assert error == pytest.approx(expected, abs=1e-12), options


def test_a_confidence_on_an_edge_is_in_the_bin_below():
    """As in Guo et al.: bins are open on the left and closed on the right."""
    error = expected_calibration_error(["a", "b"], [[0.5, 0.5], [0.6, 0.4]], n_bins=2)
    assert error == pytest.approx((0.5 + 0.6) / 2)


def test_fifteen_bins_of_equal_width_are_the_default():
    rng = np.random.default_rng(0)
    y, P = rng.integers(3, size=500), rng.dirichlet([1, 1, 1], size=500)
    error = expected_calibration_error(y, P)
    assert error == expected_calibration_error(y, P, n_bins=15, strategy="uniform")
    assert error not in [expected_calibration_error(y, P, n_bins=n) for n in (14, 16)]


@pytest.mark.parametrize("wrong", [{"n_bins": 0}, {"strategy": "equal"}, {"labels": 2}])
def test_bins_that_cannot_be_are_refused(wrong):
    with pytest.raises(InvalidParameterError, match=next(iter(wrong))):
        expected_calibration_error([0, 1], [[1, 0], [0, 1]], **wrong)


def test_the_least_confidence_is_in_the_first_bin_of_equal_size():
    confidence = np.array([0.6, 0.65, 0.8, 0.95])  # outcome less confidence: 0.4, -0.65, 0.2, -0.95
    P = np.stack([confidence, 1 - confidence], axis=1)
    error = expected_calibration_error(list("abab"), P, n_bins=2, strategy="quantile")
    assert error == pytest.approx((0.25 + 0.75) / 4)


@pytest.mark.parametrize("P", [np.eye(2)[[0, 1, 1]], np.eye(2)[:1], np.eye(3)[:2]])
def test_probabilities_of_other_battles_or_classes_are_refused(P):
    with pytest.raises(LabelsError, match=r"expected \(2, 2\) for 2 labels"):
        expected_calibration_error(["a", "b"], P)


def test_rows_sum_to_one_within_a_ten_thousandth():
    P = np.array([[0.75, 0.25], [0.25, 0.75]])
    assert expected_calibration_error([0, 1], P + [9e-5, 0]) == pytest.approx(0.25, abs=1e-4)
    with pytest.raises(ArenaError, match="rows sum to one"):
        expected_calibration_error([0, 1], P + [1.05e-4, 0])


def test_probabilities_may_be_kept_as_objects():
    P = pd.DataFrame({"a": [0.75, 0.25], "b": [0.25, 0.75]}, dtype=object)
    assert expected_calibration_error(["a", "b"], P) == 0.25


def test_the_first_of_several_missing_labels_is_named():
    with pytest.raises(LabelsError, match="y_true, row 1, is missing"):
        expected_calibration_error(["a", None, "b", None], np.full((4, 2), 0.5))


def test_bins_of_equal_size_follow_the_confidences():
    confidence = np.array([0.6, 0.65, 0.7, 0.95])  # outcome less confidence: 0.4, 0.35, -0.7, 0.05
    P = np.stack([confidence, 1 - confidence], axis=1)
    error = expected_calibration_error(list("aaba"), P, n_bins=2, strategy="quantile")
    assert error == pytest.approx((0.75 + 0.65) / 4)
