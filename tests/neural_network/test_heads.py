import numpy as np
import pytest
import torch

from arena_estimators.battles import swap_proba
from arena_estimators.neural_network._calibration import probabilities
from arena_estimators.neural_network._heads import (
    CrossHeads,
    PairLoss,
    SiameseHeads,
    begin_at_shares,
)


def _lively(heads):
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return heads.eval()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", [SiameseHeads, CrossHeads])
@pytest.mark.parametrize("n_odd", [0, 3])
def test_swapped_vectors_give_swapped_probabilities_bit_for_bit(kind, n_classes, n_odd):
    torch.manual_seed(0)
    heads = _lively(kind(8, n_odd, n_odd and 2, n_classes))
    vectors = torch.randn(50, 2, 8)
    odd, even = torch.randn(50, n_odd), torch.randn(50, n_odd and 2)
    with torch.no_grad():
        given = heads(vectors, odd, even).numpy()
        swapped = heads(vectors.flip(1), -odd, even).numpy()
    assert given.shape == (kind.n_readings, 50, n_classes)
    assert np.ptp(given) > 1
    assert (heads.style is None) == (n_odd == 0)
    np.testing.assert_array_equal(
        probabilities(swapped, 1.3), swap_proba(probabilities(given, 1.3))
    )


def test_the_tie_depends_on_how_far_apart_the_vectors_are():
    heads = _lively(SiameseHeads(2, 0, 0, 3))
    seen = []
    heads.tie.register_forward_pre_hook(lambda _, given: seen.extend(given))
    vectors = torch.tensor([[[1.0, -2.0], [3.0, 5.0]]])
    heads(vectors, torch.ones(1, 0), torch.ones(1, 0))
    assert seen[0].tolist() == [[4.0, 3.0, 2.0, 7.0, 3.0, -10.0]]  # sum, distance, product


@pytest.mark.parametrize("kind", [SiameseHeads, CrossHeads])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_new_heads_begin_at_the_shares_with_a_and_b_alike(kind, n_classes):
    heads = kind(8, 3, 2, n_classes)
    target = np.eye(n_classes)[[0, 0, 0, 1, -1]]
    begin_at_shares(heads, target, np.ones(5))
    logits = heads(torch.randn(5, 2, 8), torch.randn(5, 3), torch.randn(5, 2)).detach().numpy()
    expected = [0.5, 0.5] if n_classes == 2 else [0.4, 0.4, 0.2]
    np.testing.assert_allclose(probabilities(logits), [expected] * 5, rtol=1e-6)


def test_loss_is_the_weighted_mean_over_the_whole_step():
    torch.manual_seed(0)
    logits = torch.randn(2, 6, 3, dtype=torch.float64)
    target = torch.softmax(torch.randn(6, 3, dtype=torch.float64), 1)
    weight = torch.rand(6, dtype=torch.float64)
    losses = -(torch.log_softmax(logits, -1) * target).sum(-1).mean(0)
    expected = (losses * weight).sum() / weight.sum()
    parts = [
        PairLoss()(
            logits[:, part],
            {"target": target[part], "weight": weight[part], "total": float(weight.sum())},
        )
        for part in (slice(0, 2), slice(2, 6))
    ]
    assert sum(parts).item() == pytest.approx(expected.item(), rel=1e-6)


def test_label_smoothing_only_in_training():
    truth = {"target": torch.eye(3), "weight": torch.ones(3), "total": 3.0}
    logits = torch.eye(3).unsqueeze(0) * 5
    smooth, plain = PairLoss(0.1), PairLoss()
    assert smooth(logits, truth) > plain(logits, truth)
    assert smooth.eval()(logits, truth) == plain(logits, truth)


def _first_guess(kind, target, weight):
    heads = kind(8, 3, 2, 3).eval()
    begin_at_shares(heads, target, weight)
    with torch.no_grad():
        return probabilities(heads(torch.randn(1, 2, 8), torch.randn(1, 3), torch.randn(1, 2)))[0]


@pytest.mark.parametrize("kind", [SiameseHeads, CrossHeads])
def test_the_shares_are_those_of_the_weights(kind):
    found = _first_guess(kind, np.eye(3)[[0, 1, 2]], np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(found, [0.375, 0.375, 0.25], rtol=1e-6)


@pytest.mark.parametrize("kind", [SiameseHeads, CrossHeads])
def test_heads_begin_with_a_chance_of_ties_where_there_is_none(kind):
    found = _first_guess(kind, np.eye(3)[[0, 1]], np.ones(2))
    assert 0 < found[2] < 0.01


@pytest.mark.parametrize("n_classes", [2, 3])
def test_smoothing_moves_a_share_of_the_target_to_all_classes_alike(n_classes):
    torch.manual_seed(0)
    logits = torch.randn(1, 5, n_classes)
    target = torch.eye(n_classes)[[0, 1, 1, -1, 0]]
    truth = {"weight": torch.rand(5), "total": 5.0}
    smooth = PairLoss(0.3)(logits, truth | {"target": target})
    plain = PairLoss()(logits, truth | {"target": 0.7 * target + 0.3 / n_classes})
    assert smooth.item() == pytest.approx(plain.item(), rel=1e-6)


@pytest.mark.parametrize("kind", [SiameseHeads, CrossHeads])
def test_the_logits_of_the_style_alone_are_added(kind):
    torch.manual_seed(0)
    heads = _lively(kind(8, 3, 2, 3))
    vectors, odd, even = torch.randn(5, 2, 8), torch.randn(5, 3), torch.randn(5, 2)
    with torch.no_grad():
        given, alone = heads(vectors, odd, even), heads.style(odd, even)
        heads.style = None
        without = heads(vectors, odd, even)
    np.testing.assert_allclose(given, without + alone, rtol=1e-5)
    assert np.ptp(alone.numpy()) > 1


def test_the_loss_of_logits_in_half_precision_is_not():
    logits, target = torch.tensor([[[1.0, 3.0, -2.0]]]), torch.eye(3)[:1]
    truth = {"target": target, "weight": torch.ones(1), "total": 1.0}
    assert PairLoss()(logits.bfloat16(), truth) == PairLoss()(logits, truth)
