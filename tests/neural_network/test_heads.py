import numpy as np
import pytest
import torch

from arena_estimators._probability import weighted_sum
from arena_estimators.battles import swap_proba
from arena_estimators.neural_network.model._calibration import probabilities
from arena_estimators.neural_network.model._heads import (
    CrossHead,
    PairHeads,
    SiameseHead,
)
from arena_estimators.neural_network.training._loss import PairLoss, init_tie_bias


def _lively(heads):
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return heads.eval()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", [SiameseHead, CrossHead])
@pytest.mark.parametrize("n_odd", [0, 3])
def test_swapped_vectors_give_swapped_probabilities_bit_for_bit(kind, n_classes, n_odd):
    torch.manual_seed(0)
    heads = _lively(PairHeads(kind, 8, n_odd, n_odd and 2, n_classes))
    vectors = torch.randn(50, 2, 8)
    odd, even = torch.randn(50, n_odd), torch.randn(50, n_odd and 2)
    with torch.no_grad():
        given = heads(vectors, odd, even).numpy()
        swapped = heads(vectors.flip(1), -odd, even).numpy()
    assert given.shape == (heads.n_predictors, heads.n_orders, 50, n_classes)
    assert given.shape[:2] == (3 if n_odd else 1, kind.n_orders)
    assert all(np.ptp(one) > 1 for one in given)
    weights = [0.2, 0.3, 0.5][: len(given)]
    given, swapped = (weighted_sum(logits, weights) for logits in (given, swapped))
    np.testing.assert_array_equal(
        probabilities(swapped, 1.3), swap_proba(probabilities(given, 1.3))
    )


@pytest.mark.parametrize("kind", [SiameseHead, CrossHead])
def test_every_logit_depends_on_all_that_its_predictor_is_given(kind):
    """But for a siamese tie, which the odd columns do not reach; a cross reading has one vector."""
    torch.manual_seed(0)
    heads = _lively(PairHeads(kind, 8, 3, 2, 3))
    given = [torch.randn(shape, requires_grad=True) for shape in ((5, 2, 8), (5, 3), (5, 2))]
    told = [given[:1], given, given[1:]]
    for predictor, reading, column in np.ndindex(3, kind.n_orders, 3):
        logits = heads(*given)[predictor, reading, :, column]
        found = torch.autograd.grad(logits.sum(), told[predictor], allow_unused=True)
        blind = [part is None or 2 * part.count_nonzero() < part.numel() for part in found]
        tie = predictor == 1 and column == 2 and kind is SiameseHead
        assert blind == [False, tie, False][: len(blind)]


def test_the_preference_depends_on_both_vectors_and_how_they_differ():
    heads, seen = _lively(SiameseHead(1, 1, 1, 3)), []
    heads.prefer.register_forward_pre_hook(lambda _, given: seen.extend(given))
    heads(torch.tensor([[[2.0], [5.0]]]), torch.tensor([[7.0]]), torch.tensor([[9.0]]))
    assert seen[0].tolist() == [[2, 5, 10, -3, 7, 9]]  # each, product, difference, odd, even
    assert seen[1].tolist() == [[5, 2, 10, 3, -7, 9]]


def test_the_tie_depends_on_how_far_apart_the_vectors_are():
    heads = _lively(SiameseHead(2, 0, 0, 3))
    seen = []
    heads.tie.register_forward_pre_hook(lambda _, given: seen.extend(given))
    vectors = torch.tensor([[[1.0, -2.0], [3.0, 5.0]]])
    heads(vectors, torch.ones(1, 0), torch.ones(1, 0))
    assert seen[0].tolist() == [[4.0, 3.0, 2.0, 7.0, 3.0, -10.0]]  # sum, distance, product


@pytest.mark.parametrize("kind", [SiameseHead, CrossHead])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_new_heads_begin_at_the_shares_with_a_and_b_alike(kind, n_classes):
    heads = PairHeads(kind, 8, 3, 2, n_classes)
    target = np.eye(n_classes)[[0, 0, 0, 1, -1]]
    init_tie_bias(heads, target, np.ones(5))
    logits = heads(torch.randn(5, 2, 8), torch.randn(5, 3), torch.randn(5, 2)).detach().numpy()
    expected = [0.5, 0.5] if n_classes == 2 else [0.4, 0.4, 0.2]
    assert len(logits) == 2  # the readers of the text; style learns before them
    for reader in logits:
        np.testing.assert_allclose(probabilities(reader), [expected] * 5, rtol=1e-6)


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


def test_the_loss_of_predictors_is_their_mean():
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 1, 6, 3), {"target": torch.eye(3).repeat(2, 1), "total": 6.0}
    truth["weight"] = torch.rand(6)
    each = [PairLoss()(one, truth).item() for one in logits]
    assert PairLoss()(logits, truth).item() == pytest.approx(sum(each) / 2, rel=1e-6)


def test_label_smoothing_only_in_training():
    truth = {"target": torch.eye(3), "weight": torch.ones(3), "total": 3.0}
    logits = torch.eye(3).unsqueeze(0) * 5
    smooth, plain = PairLoss(0.1), PairLoss()
    assert smooth(logits, truth) > plain(logits, truth)
    assert smooth.eval()(logits, truth) == plain(logits, truth)


def _first_guess(kind, target, weight):
    heads = PairHeads(kind, 8, 3, 2, 3).eval()
    init_tie_bias(heads, target, weight)
    with torch.no_grad():
        logits = heads(torch.randn(1, 2, 8), torch.randn(1, 3), torch.randn(1, 2))
    text, both = (probabilities(reader)[0] for reader in logits[:2])
    np.testing.assert_array_equal(text, both)
    return text


@pytest.mark.parametrize("kind", [SiameseHead, CrossHead])
def test_the_shares_are_those_of_the_weights(kind):
    found = _first_guess(kind, np.eye(3)[[0, 1, 2]], np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(found, [0.375, 0.375, 0.25], rtol=1e-6)


@pytest.mark.parametrize("kind", [SiameseHead, CrossHead])
def test_heads_begin_with_a_chance_of_ties_where_there_is_none(kind):
    found = _first_guess(kind, np.eye(3)[[0, 1]], np.ones(2))
    assert found[2] == pytest.approx(0.001 / 1.001)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_smoothing_moves_a_share_of_the_target_to_all_classes_alike(n_classes):
    torch.manual_seed(0)
    logits = torch.randn(1, 5, n_classes)
    target = torch.eye(n_classes)[[0, 1, 1, -1, 0]]
    truth = {"weight": torch.rand(5), "total": 5.0}
    smooth = PairLoss(0.3)(logits, truth | {"target": target})
    plain = PairLoss()(logits, truth | {"target": 0.7 * target + 0.3 / n_classes})
    assert smooth.item() == pytest.approx(plain.item(), rel=1e-6)


@pytest.mark.parametrize("kind", [SiameseHead, CrossHead])
def test_each_predictor_sees_what_it_is_named_after(kind):
    torch.manual_seed(0)
    heads = _lively(PairHeads(kind, 8, 3, 2, 3))
    vectors, odd, even = torch.randn(5, 2, 8), torch.randn(5, 3), torch.randn(5, 2)
    with torch.no_grad():
        given = heads(vectors, odd, even)
        other_text = heads(torch.randn(5, 2, 8), odd, even)
        other_style = heads(vectors, torch.randn(5, 3), torch.randn(5, 2))
    moved = [(given != other).any(dim=(1, 2, 3)).tolist() for other in (other_text, other_style)]
    assert moved == [[True, True, False], [False, True, True]]


@pytest.mark.parametrize("kind", [SiameseHead, CrossHead])
def test_in_training_the_style_is_left_out(kind):
    torch.manual_seed(0)
    heads = _lively(PairHeads(kind, 8, 3, 2, 3))
    given = torch.randn(5, 2, 8), torch.randn(5, 3), torch.randn(5, 2)
    with torch.no_grad():
        everything = heads(*given)
        for part in heads.modules():
            part.training = isinstance(part, PairHeads)  # without dropout
        learning = heads(*given)
    assert torch.equal(learning, everything[:2])


def test_the_loss_is_in_float32_though_logits_are_not():
    logits, target = torch.tensor([[[1.0, 3.0, -2.0]]]), torch.eye(3)[:1]
    truth = {"target": target, "weight": torch.ones(1), "total": 1.0}
    assert PairLoss()(logits.bfloat16(), truth) == PairLoss()(logits, truth)
