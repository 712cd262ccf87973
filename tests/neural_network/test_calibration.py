import numpy as np
import pytest
from scipy.special import softmax

from arena_estimators._probability import mean_log_loss
from arena_estimators.neural_network.model import _calibration


def test_probabilities_are_averaged_softmax():
    logits = np.random.default_rng(0).normal(size=(2, 7, 3))
    expected = softmax(logits / 2, axis=-1).mean(0)
    np.testing.assert_allclose(_calibration.probabilities(logits, 2.0), expected)


@pytest.mark.parametrize("true", [0.1, 0.7, 2.5, 10.0])
def test_temperature_is_found_again(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 20000, 3)) * 2
    target = np.eye(3)[[rng.choice(3, p=row) for row in softmax(logits[0], axis=1)]]
    found = _calibration.fit_temperature(logits * true, target, np.ones(20000))
    assert found == pytest.approx(true, rel=0.05)


def test_temperature_stays_near_one_without_evidence():
    right = np.array([[[9.0, 0.0, 0.0]]])
    found = _calibration.fit_temperature(right, np.array([[1.0, 0.0, 0.0]]), np.ones(1))
    assert 0.9 < found < 1.1


def test_prior_loss_is_that_of_the_shares_with_a_and_b_alike():
    target = np.eye(3)[[0, 0, 1, 2]]
    expected = -(0.75 * np.log(0.375) + 0.25 * np.log(0.25))
    assert _calibration.prior_loss(target, np.ones(4), target, np.ones(4)) == pytest.approx(
        expected
    )


def test_battles_count_by_their_weight():
    target, light = np.eye(3)[[0, 2]], np.array([1.0, 3.0])
    prior = -(np.log(0.125) + np.log(0.75)) / 2
    assert _calibration.prior_loss(target, light, target, np.ones(2)) == pytest.approx(prior)
    logits = np.array([[[2.0, 0.0, 0.0], [2.0, 0.0, 0.0]]])
    flat, sharp = (
        _calibration.fit_temperature(logits, target, np.array(weight))
        for weight in ([1.0, 9.0], [9.0, 1.0])
    )
    assert sharp < 1 < flat


def test_the_scale_of_weights_does_not_move_the_temperature():
    logits = 3 * np.random.default_rng(0).normal(size=(1, 9, 3))
    target, weight = np.eye(3)[np.arange(9) % 3], np.linspace(0.1, 1, 9)
    found, light = (
        _calibration.fit_temperature(logits, target, weight * scale) for scale in (1, 1e-3)
    )
    assert light == pytest.approx(found, rel=1e-6)
    assert abs(found - 1) > 0.1


def test_the_prior_holds_a_temperature_near_one_give_or_take_a_third():
    """Twenty of thirty battles end as is likeliest; the derivative, worked out by hand, is zero."""
    logits = np.zeros((1, 30, 3))
    logits[0, :, 0] = 3
    target = np.eye(3)[[0, 0, 1] * 10]
    found = _calibration.fit_temperature(logits, target, np.ones(30))
    share = 1 / (1 + 2 * np.exp(-3 / found))
    assert 30 * (share - 2 / 3) * 3 / found == pytest.approx(np.log(found) / 0.09, abs=1e-4)
    assert found > 1.1


def test_votes_on_one_prompt_count_once():
    logits = 3 * np.random.default_rng(0).normal(size=(1, 9, 3))
    target, weight = np.eye(3)[np.arange(9) % 3], np.ones(9)
    expected = _calibration.fit_temperature(logits, target, weight)
    thrice = np.repeat(logits, 3, axis=1), np.repeat(target, 3, axis=0), np.ones(27)
    found = _calibration.fit_temperature(*thrice, np.repeat(np.arange(9), 3))
    assert found == pytest.approx(expected, rel=1e-6)
    assert abs(_calibration.fit_temperature(*thrice) - 1) > abs(found - 1) + 0.1


def _told_apart(n_battles, noise):
    """Give labels drawn from known logits, and predictors that see these through noise."""
    rng = np.random.default_rng(0)
    true = rng.normal(scale=2, size=(n_battles, 3))
    labels = (true + rng.gumbel(size=true.shape)).argmax(1)
    seen = [true + rng.normal(scale=scale, size=true.shape) for scale in noise]
    return np.stack(seen)[:, None], np.eye(3)[labels], np.ones(n_battles)


def test_many_battles_decide_the_weights():
    """With independent noise, the weights of least error go by the inverse of its variance."""
    found = _calibration.fit_weights(*_told_apart(20000, [1.0, 2.0, 1.0]))
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, np.array([4, 1, 4]) / 9, atol=0.05)


def test_a_predictor_that_knows_nothing_hardly_counts():
    found = _calibration.fit_weights(*_told_apart(2000, [0.5, 50.0, 50.0]))
    assert found[0] > 0.95


def test_a_text_that_has_hardly_learnt_counts_little():
    style_alone, half, usual = (_calibration.default_weights(3, share) for share in (0.0, 0.5, 1.0))
    assert style_alone.tolist() == [0, 0, 1]
    np.testing.assert_allclose(half, np.array([0.125, 0.25, 1]) / 1.375)
    np.testing.assert_allclose(usual, np.array([0.25, 0.5, 1]) / 1.75)


def test_from_few_battles_a_text_is_learnt_in_part():
    found = [_calibration.learnt_share(n_battles) for n_battles in (1, 250, 1000, 50000)]
    assert found == [0.001, 0.25, 1.0, 1.0]


@pytest.mark.parametrize("share", [0.001, 0.25, 1.0])
def test_without_battles_that_tell_the_weights_are_the_usual_ones(share):
    alike = np.broadcast_to(np.random.default_rng(0).normal(size=(1, 1, 50, 3)), (3, 1, 50, 3))
    found = _calibration.fit_weights(alike, np.eye(3)[np.arange(50) % 3], np.ones(50), share=share)
    np.testing.assert_allclose(found, _calibration.default_weights(3, share), atol=1e-3)


def test_few_battles_that_tell_do_not_move_the_weights_far():
    usual = _calibration.default_weights(3)
    few, target, weight = _told_apart(50, [0.5, 3.0, 3.0])
    few = few[:, :, :1], target[:1], weight[:1]
    assert np.abs(_calibration.fit_weights(*few) - usual).max() < 0.2
    assert _calibration.default_weights(1).tolist() == [1.0]
    assert _calibration.fit_weights(few[0][:1], *few[1:]).tolist() == [1.0]


def test_each_prompt_is_one_observation_beside_the_prior_of_the_weights():
    """The objective, written by hand and with the best temperature, grows in every direction."""
    logits, target, weight = _told_apart(30, [1.0, 1.0, 1.0])
    prompts = np.arange(30) // 2
    found = _calibration.fit_weights(logits, target, weight, prompts)
    ratios = np.log(found[:2] / found[2])

    def objective(ratios):
        def at(temperature):
            counts = np.append(np.exp(ratios), 1)
            pooled = np.tensordot(counts / counts.sum(), logits, 1) / temperature
            loss = mean_log_loss(target, _calibration.probabilities(pooled), weight)
            return 15 * loss + np.log(temperature) ** 2 / 0.18

        away = (ratios - np.log([0.25, 0.5])) / 1.5
        return min(map(at, np.linspace(0.5, 2, 1501))) + (away**2).sum() / 2

    best = objective(ratios)
    for step in ([0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]):
        assert objective(ratios + step) > best


def test_heavy_battles_decide_the_weights_of_the_predictors():
    logits, target, _ = _told_apart(400, [0.5, 5.0, 5.0])
    logits[:, :, 200:] = logits[::-1, :, 200:]  # of the second half the last knows most
    first, last = (
        _calibration.fit_weights(logits, target, np.repeat(heavy, 200))
        for heavy in ([1.0, 0.01], [0.01, 1.0])
    )
    assert first[0] > 0.8
    assert last[2] > 0.8


def test_the_scale_of_battles_weights_does_not_move_those_of_the_predictors():
    logits, target, _ = _told_apart(30, [1.0, 2.0, 3.0])
    weight = np.linspace(0.1, 1, 30)
    found, light = (_calibration.fit_weights(logits, target, weight * s) for s in (1, 1e-3))
    np.testing.assert_allclose(light, found, atol=1e-4)


def test_probabilities_are_double_however_large_the_logits():
    logits = np.array([[[1000.0, 0.0, 1000.0]]], dtype=np.float32)
    found = _calibration.probabilities(logits)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[0.5, 0.0, 0.5]])


def test_a_battle_of_large_logits_leaves_the_others_as_they_are():
    logits = np.array([[[1000.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    np.testing.assert_allclose(_calibration.probabilities(logits)[1], 1 / 3)


def test_the_prior_loss_is_weighted_by_the_battles_it_judges():
    shares, target = np.array([[0.3, 0.3, 0.4]]), np.eye(3)[[0, 2]]
    found = _calibration.prior_loss(shares, np.ones(1), target, np.array([1.0, 3.0]))
    assert found == pytest.approx(-(np.log(0.3) + 3 * np.log(0.4)) / 4)
