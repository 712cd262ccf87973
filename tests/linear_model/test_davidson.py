import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.optimize import check_grad, minimize
from scipy.sparse import csr_array, csr_matrix
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from arena_estimators import (
    DavidsonClassifier,
    PairStyleFeatures,
    PairTfidfVectorizer,
    make_battles,
    swap_proba,
)
from arena_estimators.exceptions import ArenaError, ArenaWarning, BattlesError, LabelsError
from arena_estimators.linear_model import _davidson
from arena_estimators.linear_model._davidson import _DavidsonLoss

CLASSES = np.array(["model_a", "model_b", "tie"])


def draw(n=400, p=5, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    D = rng.normal(size=(n, p))
    d = D @ rng.normal(size=p)
    logits = np.stack([d / 2, -d / 2, np.full(n, 0.1)][: 2 + ties], axis=1)
    P = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return D, CLASSES[[rng.choice(len(row), p=row) for row in P]]


FOUR_CLASSES = "the check makes four classes; a battle has two or three"


@parametrize_with_checks(
    [DavidsonClassifier()],
    expected_failed_checks=lambda _: dict.fromkeys(
        ["check_dtype_object", "check_estimator_sparse_array", "check_estimator_sparse_matrix"],
        FOUR_CLASSES,
    ),
)
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("container", [csr_matrix, csr_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, object])
def test_sparse_and_object_input_equal_dense(container, dtype):
    D, y = draw()
    D[np.abs(D) < 1] = 0
    dense = DavidsonClassifier(tol=1e-8).fit(D, y)
    X = container(D.astype(dtype)) if dtype is not object else D.astype(object)
    other = DavidsonClassifier(tol=1e-8 if dtype is not np.float32 else 1e-5).fit(X, y)
    np.testing.assert_allclose(other.predict_proba(X), dense.predict_proba(D), atol=1e-4)


@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ties", [True, False])
def test_swapping_is_exact(container, dtype, ties):
    D, y = draw(ties=ties)
    D = D.astype(dtype)
    model = DavidsonClassifier().fit(container(D), y)
    P = model.predict_proba(container(D))
    np.testing.assert_array_equal(model.predict_proba(container(-D)), swap_proba(P))


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_gradient_agrees_with_finite_differences(ties, fit_intercept):
    D, y = draw(60, 4, ties=ties)
    rng = np.random.default_rng(1)
    Y = np.eye(2 + ties)[np.unique(y, return_inverse=True)[1]]
    weight = rng.random(60)
    loss = _DavidsonLoss(D, Y, weight / weight.sum(), 0.1, 0.3, fit_intercept)
    for _ in range(3):
        theta = np.where(loss.free, rng.normal(size=9), 0.0)

        def value(free, theta=theta):
            return loss(np.where(loss.free, free, theta))[0]

        error = check_grad(value, lambda t: loss(t)[1], theta)
        assert error < 1e-6


def test_truth_is_recovered_within_its_standard_error():
    data = make_battles(4000, random_state=0)
    model = DavidsonClassifier(alpha=0, tie_alpha=0, tol=1e-8).fit(data.D, data.y)
    D, P = data.D.to_numpy(), model.predict_proba(data.D)
    # Fisher information of w: d enters the logits as (d/2, -d/2, 0)
    variance = (P[:, 0] + P[:, 1] - (P[:, 0] - P[:, 1]) ** 2) / 4
    error = np.sqrt(np.diag(np.linalg.inv((D * variance[:, None]).T @ D)))
    z = (model.coef_ - data.coef_) / error
    assert np.abs(z).max() < 3
    assert np.sqrt((z**2).mean()) < 1.6
    assert log_loss(data.y, P) < log_loss(data.y, data.proba)


def test_soft_labels_are_weighted_hard_labels():
    D, y = draw(50)
    soft = np.random.default_rng(2).dirichlet([1, 1, 1], size=50)
    model = DavidsonClassifier(0.01, tol=1e-9).fit(D, soft)
    repeated = DavidsonClassifier(0.01, tol=1e-9).fit(
        np.repeat(D, 3, axis=0), np.tile(CLASSES, 50), sample_weight=soft.ravel()
    )
    np.testing.assert_allclose(model.coef_, repeated.coef_, atol=1e-6)
    assert model.classes_.tolist() == CLASSES.tolist()
    hard = DavidsonClassifier().fit(D, y)
    frame = pd.DataFrame(np.eye(3), index=CLASSES).loc[y].set_axis(CLASSES, axis=1)
    np.testing.assert_array_equal(DavidsonClassifier().fit(D, frame).coef_, hard.coef_)


def test_any_sorted_labels_mean_a_b_and_tie():
    D, y = draw()
    codes = np.unique(y, return_inverse=True)[1]
    expected = DavidsonClassifier().fit(D, y).coef_
    texts = [np.array(names)[codes] for names in (["x", "y", "z"], ["left", "right", "tie"])]
    for labels in (codes, codes * 10 - 3, *texts):
        np.testing.assert_array_equal(DavidsonClassifier().fit(D, labels).coef_, expected)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (["model_a", "tie", "tie"], "needs both"),
        (["model_a", "right", "tie"], "Unknown label 'right'"),
        (["left", "tie", "tie"], "Unknown label 'left'"),
        (["tie", "x", "y"], "Unknown label 'x'"),
        (["a", "a", "a"], "contains 1 class"),
        ([1, 2, 3, 4], "contains 4 classes"),
        ([[0.5, 0.6, 0.1]] * 3, "sum to one"),
        ([[np.nan] * 3] * 3, "row 0"),
        (["model_a", "model_b", None], "y, row 2, is missing"),
        (pd.Series(["x", pd.NA, "y"], dtype="string"), "y, row 1, is missing"),
    ],
)
def test_labels_that_are_no_battle_are_refused(y, match):
    with pytest.raises(ValueError, match=match):
        DavidsonClassifier().fit(np.ones((len(y), 1)), y)


@pytest.mark.parametrize(
    "labels", [[-1, 0, 1], ["left", "right", "draw"], ["win", "lose", "Tie (bad)"]]
)
def test_a_tie_that_does_not_sort_last_is_warned_of(labels):
    D = np.linspace(-1, 1, 30)[:, None]
    with pytest.warns(ArenaWarning, match=r"\], in this order, are taken for a, b and tie\. If"):
        DavidsonClassifier().fit(D, np.array(labels * 10))


@pytest.mark.parametrize(
    "labels", [[0, 1, 2], [-3, 7, 17], ["left", "right", "tie"], ["draw", "x"]]
)
def test_no_other_labels_are_warned_of(labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ArenaWarning)
        DavidsonClassifier().fit(np.linspace(-1, 1, 30)[:, None], np.resize(labels, 30))


def test_two_classes_have_no_tie():
    D, y = draw(ties=False)
    model = DavidsonClassifier().fit(D, y)
    assert model.predict_proba(D).shape == (len(D), 2)
    assert not model.tie_coef_.any()
    assert model.tie_intercept_ == -np.inf
    np.testing.assert_array_equal(
        model.predict(D), model.classes_[(model.decision_function(D) > 0) * 1]
    )


def test_fit_intercept():
    D, y = draw()
    assert DavidsonClassifier(fit_intercept=False).fit(D, y).tie_intercept_ == 0
    assert DavidsonClassifier().fit(D, y).tie_intercept_ != 0


def test_warm_start_forgets_an_intercept_that_is_not_wanted():
    D, y = draw()
    model = DavidsonClassifier(warm_start=True, tol=1e-9).fit(D, y)
    cold = DavidsonClassifier(fit_intercept=False, tol=1e-9).fit(D, y)
    assert model.set_params(fit_intercept=False).fit(D, y).tie_intercept_ == 0
    np.testing.assert_allclose(model.tie_coef_, cold.tie_coef_, atol=1e-5)


def test_the_default_tolerance_gives_the_probabilities_to_half_a_percent():
    data = make_battles(2000, random_state=0)
    D = data.D / data.D.std()
    found, exact = (DavidsonClassifier(**o).fit(D, data.y) for o in ({}, {"tol": 1e-9}))
    assert np.abs(found.predict_proba(D) - exact.predict_proba(D)).max() < 5e-3


def test_no_convergence_warns_and_names_the_fix():
    D, y = draw()
    with pytest.warns(ConvergenceWarning, match="No convergence after 1 iterations.*max_iter"):
        DavidsonClassifier(max_iter=1).fit(D * [1, 100, 1, 1e-3, 1], y)


def test_warm_start_continues():
    D, y = draw()
    model = DavidsonClassifier(warm_start=True).fit(D, y)
    assert model.n_iter_ > 1
    assert model.fit(D, y).n_iter_ <= 1
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(D[:, :3], y)
    with pytest.raises(LabelsError):
        DavidsonClassifier().fit(D, ["model_a", "tie"] * 200)


@pytest.mark.parametrize("ties", [True, False])
def test_warm_start_with_and_without_ties(ties):
    D, y = draw(ties=ties)
    model = DavidsonClassifier(warm_start=True, tol=1e-6).fit(D, y)
    coef, n_iter = model.coef_, model.n_iter_
    np.testing.assert_allclose(model.fit(D, y).coef_, coef, atol=1e-3)
    assert model.n_iter_ < n_iter / 2


@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_auto_follows_the_mean_square_of_a_row(container):
    D, y = draw(400)
    D[np.abs(D) < 0.5] = 0
    D[3:, 4] = 0  # a rare column
    n_battles = np.count_nonzero(D, axis=0)
    alpha = ((D**2).mean(axis=0) * n_battles / (n_battles + 40)).sum() / 2 / 400
    auto = DavidsonClassifier(tol=1e-9).fit(container(D), y)
    by_hand = DavidsonClassifier(alpha, tie_alpha=10 * alpha, tol=1e-9).fit(D, y)
    np.testing.assert_allclose(auto.coef_, by_hand.coef_, atol=1e-7)
    np.testing.assert_allclose(auto.tie_coef_, by_hand.tie_coef_, atol=1e-7)


@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_auto_suits_columns_of_any_scale(container):
    D, y = draw(400)
    expected = DavidsonClassifier(tol=1e-8).fit(D, y).predict_proba(D)
    for scale in (1e-3, 1e3):
        X = container(D * scale)
        proba = DavidsonClassifier(tol=1e-8).fit(X, y).predict_proba(X)
        np.testing.assert_allclose(proba, expected, atol=1e-6)


def test_a_battle_of_weight_two_counts_as_two_also_for_auto():
    D, y = draw(400)
    weight = np.random.default_rng(0).integers(3, size=400)
    repeated, weighted = DavidsonClassifier(tol=1e-9), DavidsonClassifier(tol=1e-9)
    repeated.fit(np.repeat(D, weight, axis=0), np.repeat(y, weight))
    weighted.fit(D, y, sample_weight=weight)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-7)


def test_auto_beats_the_class_shares_on_words_and_on_style():
    train, test = make_battles(400, random_state=0), make_battles(400, random_state=1)
    shares = [np.mean(train.y == label) for label in CLASSES]
    prior = log_loss(test.y, np.tile(shares, (400, 1)))
    style = PairStyleFeatures(), StandardScaler(with_mean=False)
    for features in ([PairTfidfVectorizer()], style):
        model = make_pipeline(*features, DavidsonClassifier()).fit(train.X, train.y)
        assert log_loss(test.y, model.predict_proba(test.X)) < prior


def test_columns_that_say_nothing_need_no_penalty():
    model = DavidsonClassifier().fit(np.zeros((9, 2)), CLASSES[np.arange(9) % 3])
    np.testing.assert_allclose(model.predict_proba(np.zeros((1, 2))), 1 / 3)


def test_zero_weights_are_refused_and_single_zeros_drop_rows():
    D, y = draw()
    with pytest.raises(ValueError, match="(?i)zero"):
        DavidsonClassifier().fit(D, y, sample_weight=np.zeros(len(y)))
    weight = np.r_[np.ones(300), np.zeros(100)]
    kept = DavidsonClassifier(tol=1e-9).fit(D[:300], y[:300])
    weighted = DavidsonClassifier(tol=1e-9).fit(D, y, sample_weight=weight)
    np.testing.assert_allclose(weighted.coef_, kept.coef_, atol=1e-6)


def test_features_too_large_to_fit_are_refused():
    rng = np.random.default_rng(0)
    D = (rng.normal(size=(60, 3)) * 1e20).astype(np.float32)
    with pytest.raises(ValueError, match="StandardScaler"), np.errstate(all="raise"):
        DavidsonClassifier().fit(D, np.arange(60) % 3)


def test_battles_in_place_of_features_are_refused_with_advice():
    data = make_battles(20, random_state=0)
    with pytest.raises(BattlesError, match="PairTfidfVectorizer.*PairStyleFeatures"):
        DavidsonClassifier().fit(data.X, data.y)
    D, y = draw()
    with pytest.raises(BattlesError, match="PairTfidfVectorizer"):
        DavidsonClassifier().fit(D, y).predict(data.X)


def test_tables_of_arrow_are_read_and_those_of_battles_refused():
    data = make_battles(60, random_state=0)
    table = pa.Table.from_pandas(data.D)
    model, other = (DavidsonClassifier(0.1).fit(D, data.y) for D in (data.D, table))
    assert other.feature_names_in_.tolist() == data.D.columns.tolist()
    np.testing.assert_allclose(other.predict_proba(table), model.predict_proba(data.D), 1e-9)
    text = data.X.map(str)
    for battles in (pa.Table.from_pandas(text), text):
        with pytest.raises(BattlesError, match="PairTfidfVectorizer"):
            DavidsonClassifier().fit(battles, data.y)
        with pytest.raises(BattlesError, match="PairTfidfVectorizer"):
            model.predict(battles)


@pytest.mark.parametrize("ties", [True, False])
def test_what_is_minimised_is_what_the_docstring_says(ties):
    D, y = draw(80, 2, ties=ties)
    hot = np.eye(2 + ties)[np.unique(y, return_inverse=True)[1]]
    weight = np.random.default_rng(3).uniform(1, 9, size=80)

    def objective(theta):
        w, v, c = theta[:2], theta[2:4], theta[4]
        logits = np.stack([D @ w / 2, D @ -w / 2, abs(D) @ v + c][: 2 + ties], axis=1)
        loss = -(hot * log_softmax(logits, axis=1)).sum(axis=1)
        return np.average(loss, weights=weight) + 0.2 / 2 * w @ w + 0.7 / 2 * v @ v

    w1, w2, v1, v2, c = minimize(objective, np.zeros(5), tol=1e-9).x
    model = DavidsonClassifier(0.2, tie_alpha=0.7, tol=1e-9).fit(D, y, sample_weight=weight)
    np.testing.assert_allclose(model.coef_, [w1, w2], atol=1e-4)
    if ties:
        np.testing.assert_allclose(model.tie_coef_, [v1, v2], atol=1e-4)
        assert model.tie_intercept_ == pytest.approx(c, abs=1e-4)


def test_warm_start_does_not_take_the_weights_of_another_task():
    D, y = draw()
    model = DavidsonClassifier(warm_start=True).fit(D, y)
    for labels in (np.unique(y, return_inverse=True)[1], np.where(y == "tie", "model_a", y)):
        with pytest.raises(ValueError, match="warm_start=True, but the features or classes differ"):
            model.fit(D, labels)


def test_a_matrix_with_several_entries_at_a_place_is_left_as_it_is():
    D, y = draw()
    rows, columns = D.shape
    halves = np.hstack([1.5 * D, -0.5 * D]).ravel()
    places = np.tile(np.arange(columns), 2 * rows)
    parts = csr_matrix((halves, places, np.arange(0, halves.size + 1, 2 * columns)), D.shape)
    parts.data.flags.writeable = False
    model = DavidsonClassifier().fit(parts, y)
    assert parts.nnz == halves.size
    expected = DavidsonClassifier().fit(D, y)
    np.testing.assert_allclose(model.predict_proba(parts), expected.predict_proba(D), atol=1e-6)


def test_a_fit_that_fails_leaves_the_model_as_it_was():
    D, y = draw()
    model = DavidsonClassifier(warm_start=True)
    with pytest.raises(ValueError, match="only the classes"):
        model.fit(D, ["model_a"] * len(D))
    with pytest.raises(NotFittedError):
        model.predict(D)
    expected = model.fit(D, y).predict_proba(D)
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(np.hstack([D, D]), y)
    np.testing.assert_array_equal(model.predict_proba(D), expected)


def test_a_fit_that_overflows_leaves_the_model_as_it_was():
    D, y = draw()
    model = DavidsonClassifier().fit(D, y)
    expected, unfitted = model.predict_proba(D), DavidsonClassifier()
    too_large, labels = draw(ties=False)
    for one in (model, unfitted):
        with pytest.raises(ArenaError, match="overflowed"):
            one.set_params(alpha=1.0, tie_alpha=1.0).fit(too_large * 1e200, labels)
    np.testing.assert_array_equal(model.predict_proba(D), expected)
    with pytest.raises(NotFittedError):
        unfitted.predict(D)


def test_a_search_that_rounding_ends_has_converged():
    D, y = draw()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DavidsonClassifier(tol=1e-300, max_iter=10_000).fit(D.astype(np.float32), y)


def test_battles_without_weight_are_none_that_auto_counts():
    D, y = draw()
    weight = np.r_[np.ones(30), np.zeros(370)]
    auto = DavidsonClassifier("auto", tie_alpha="auto", tol=1e-9)
    coef = auto.fit(D, y, sample_weight=weight).coef_  # without a warning
    np.testing.assert_allclose(coef, auto.fit(D[:30], y[:30]).coef_, atol=1e-6)


def test_negative_weights_are_refused():
    D, y = draw()
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        DavidsonClassifier().fit(D, y, sample_weight=np.r_[-1, np.ones(399)])


def test_integers_in_an_object_array_are_labels():
    D, y = np.array([[1.0], [-1.0], [0.1]]), [0, 1, 2]
    model = DavidsonClassifier().fit(D, pd.Series(y, dtype=object))
    assert model.classes_.tolist() == y
    np.testing.assert_array_equal(model.coef_, DavidsonClassifier().fit(D, y).coef_)


def test_the_logits_exponentiate_to_the_probabilities():
    D, y = draw()
    model = DavidsonClassifier().fit(D, y)
    logits = model.decision_function(D)
    np.testing.assert_allclose(softmax(logits, axis=1), model.predict_proba(D))
    np.testing.assert_array_equal(logits[:, 0], -logits[:, 1])
    np.testing.assert_allclose(logits[:, 0], D @ model.coef_ / 2)


@pytest.mark.parametrize("ties", [True, False])
def test_a_column_of_zeros_needs_no_penalty(ties):
    D, y = draw(ties=ties)
    options = {"alpha": 0, "tie_alpha": 0, "tol": 1e-8}
    with np.errstate(divide="raise"):
        model = DavidsonClassifier(**options).fit(np.insert(D, 2, 0, axis=1), y)
    expected = DavidsonClassifier(**options).fit(D, y)
    assert model.coef_[2] == model.tie_coef_[2] == 0
    np.testing.assert_allclose(np.delete(model.coef_, 2), expected.coef_, atol=1e-6)


@pytest.mark.parametrize("auto", ["alpha", "tie_alpha"])
def test_either_auto_minds_weights_that_sum_to_little(auto):
    D, y = draw()
    with pytest.warns(ArenaWarning, match="400 battles sum to 1,.*Divide"):
        DavidsonClassifier(**{auto: "auto"}).fit(D, y, sample_weight=np.full(400, 1 / 400))


@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_features_in_single_precision_are_not_copied_into_double(container, monkeypatch):
    D, y = draw()
    X, seen = container(D.astype(np.float32)), []
    absolute = _davidson._absolute
    monkeypatch.setattr(_davidson, "_absolute", lambda D: seen.append(D) or absolute(D))
    model = DavidsonClassifier().fit(X, y)
    proba = model.predict_proba(X)
    assert len(seen) == 2
    for used in seen:
        assert used.dtype == np.float32
        assert np.shares_memory(used.data, X.data)
    assert model.coef_.dtype == proba.dtype == np.float64
