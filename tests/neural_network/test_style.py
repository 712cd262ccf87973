import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from arena_estimators import DavidsonClassifier
from arena_estimators._probability import mean_log_loss
from arena_estimators.feature_extraction._pair_style import BLOCKS
from arena_estimators.neural_network.model._calibration import probabilities
from arena_estimators.neural_network.model._heads import StyleHeads
from arena_estimators.neural_network.model._processor import PairData
from arena_estimators.neural_network.model._style import StyleInputs
from arena_estimators.neural_network.training import _style
from arena_estimators.neural_network.training._loss import PairLoss
from arena_estimators.neural_network.training._style import learn_style

SETTINGS = {
    "head_learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "schedule": "linear",
    "label_smoothing": 0.0,
    "max_grad_norm": 1.0,
}


def test_all_that_is_known_of_style_is_read(learnable):
    style = StyleInputs()
    style.fit_transform(learnable[0])
    assert set(style.features_.blocks_) == set(BLOCKS)


def test_style_is_cut_at_two_and_a_half(learnable):
    X, _ = learnable
    style = StyleInputs()
    style.fit_transform(X)
    for block in style.transform(X.assign(response_a="# title\n\n" * 5000)):
        assert np.abs(block).max() == 2.5


def test_style_is_scaled_and_only_symmetric_columns_are_shifted(learnable):
    X, _ = learnable
    odd, even = StyleInputs().fit_transform(X)
    for block in (odd, even):
        spread = np.sqrt((block.astype(float) ** 2).mean(0))
        varied = spread > 0
        assert varied.sum() > 3
        np.testing.assert_allclose(spread[varied], 1, atol=0.2)
    np.testing.assert_allclose(even.mean(0), 0, atol=0.1)


def test_a_column_that_never_varied_keeps_its_scale(learnable):
    X, _ = learnable
    style = StyleInputs()
    fitted = style.fit_transform(X)
    titled = style.transform(X.assign(response_a="# title\n\n" + X["response_a"]))
    for before, after in zip(fitted, titled, strict=True):
        new = after[:, np.ptp(before, axis=0) == 0]
        assert 0 < np.abs(new).max() < 2.5


def _longer_wins(n_battles):
    rng = np.random.default_rng(0)
    odd, even = rng.normal(size=(2, n_battles, 3)).astype(np.float32)
    target = np.eye(3)[np.where(odd[:, 0] > 0.4, 0, np.where(odd[:, 0] < -0.4, 1, 2))]
    return PairData(None, None, np.zeros((n_battles, 2)), odd, even, target, np.ones(n_battles))


def _not_additive(n_battles):
    """Give battles that a Davidson model of the odd columns cannot tell."""
    data = _longer_wins(n_battles)
    data.target = np.eye(3)[np.where(data.odd[:, 0] * data.even[:, 0] > 0, 0, 1)]
    return data


def _learn(data, **settings):
    torch.manual_seed(0)
    heads = StyleHeads(3, 3, data.target.shape[1])
    learn_style(heads, data, SimpleNamespace(**(SETTINGS | settings)))
    with torch.no_grad():
        logits = heads(torch.from_numpy(data.odd), torch.from_numpy(data.even))
    return heads, probabilities(logits[None].numpy())


def test_style_is_learnt_by_itself():
    data = _longer_wins(1000)
    heads, proba = _learn(data)
    assert mean_log_loss(data.target, proba, data.weight) < 0.7  # the shares' is 1.1
    assert not heads.training
    again, _ = _learn(data)
    for first, second in zip(heads.parameters(), again.parameters(), strict=True):
        assert torch.equal(first, second)


def _davidson(data, target=None):
    model = DavidsonClassifier("auto", tie_alpha="auto")
    weight = data.weight / data.weight.mean()
    model.fit(data.odd, data.target if target is None else target, weight)
    return model.predict_proba(data.odd)


@pytest.mark.parametrize(
    ("settings", "moves_at_most"),
    [({}, np.inf), ({"head_learning_rate": 1e-6}, 1e-3), ({"max_grad_norm": 1e-12}, 1e-3)],
)
def test_style_is_learnt_as_the_parameters_say(settings, moves_at_most):
    """AdamW's epsilon keeps a gradient that was cut to nothing from moving anything."""
    data = _not_additive(1000)
    learnt = _learn(data, **settings, weight_decay=0.0)[1]
    moved = np.abs(learnt - _davidson(data)).max()
    assert moved < moves_at_most
    assert (moved > 0.1) == (not settings)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_what_style_starts_from_is_a_davidson_model_of_its_odd_columns(n_classes):
    data = _longer_wins(600)
    data.weight = np.where(data.target[:, 0] > 0, 0.4, 0.1)
    data.target = np.eye(n_classes)[data.target.argmax(1) % n_classes]
    start = _learn(data, head_learning_rate=0.0)[1]
    np.testing.assert_allclose(start, _davidson(data), atol=1e-6)
    assert np.ptp(start, axis=0).min() > 0.1
    smooth = _learn(data, head_learning_rate=0.0, label_smoothing=0.3)[1]
    target = 0.7 * data.target + 0.3 / n_classes
    np.testing.assert_allclose(smooth, _davidson(data, target), atol=1e-6)


def test_what_the_davidson_model_misses_is_learnt_too():
    data = _not_additive(2000)
    assert mean_log_loss(data.target, _davidson(data), data.weight) > 0.68
    assert mean_log_loss(data.target, _learn(data)[1], data.weight) < 0.6


@pytest.mark.parametrize(
    "settings",
    [{"weight_decay": 1.0}, {"warmup": 1.0}, {"schedule": "constant"}, {"label_smoothing": 0.3}],
)
def test_no_parameter_of_how_style_is_learnt_is_forgotten(settings):
    data = _not_additive(200)
    assert np.abs(_learn(data, **settings)[1] - _learn(data)[1]).max() > 1e-3


def test_weight_decay_is_on_matrices_alone():
    torch.manual_seed(0)
    heads = StyleHeads(3, 3, 3)
    before = [part.detach().clone() for part in heads.parameters()]
    unmoved = {"weight_decay": 10.0, "max_grad_norm": 1e-12}
    learn_style(heads, _longer_wins(200), SimpleNamespace(**(SETTINGS | unmoved)))
    for old, new in zip(before, heads.parameters(), strict=True):
        expected = 0.82 if old.ndim > 1 else 1.0  # 39 steps, each by its rate times 10
        np.testing.assert_allclose(new.detach(), expected * old, rtol=0.02, atol=1e-3)


def test_weights_count_and_their_scale_does_not():
    data = _longer_wins(200)
    data.weight = np.where(data.target[:, 0] > 0, 3.0, 1.0)
    _, weighted = _learn(data)
    data.weight = data.weight / 8
    np.testing.assert_allclose(_learn(data)[1], weighted, rtol=1e-4)
    data.weight = np.ones(200)
    assert (weighted[:, 0] > _learn(data)[1][:, 0]).mean() > 0.9


def test_steps_are_told_the_labels_and_weights_of_their_battles(monkeypatch):
    told, data, forward = [], _longer_wins(40), PairLoss.forward
    data.weight = np.arange(1.0, 41)
    monkeypatch.setattr(
        PairLoss, "forward", lambda *given: told.append(given[2]) or forward(*given)
    )
    _learn(data, label_smoothing=0.3)
    assert [truth["total"] for truth in told] == [16, 16, 8] * 3
    weight = torch.cat([truth["weight"] for truth in told]).numpy()
    epochs = np.rint(weight * data.weight.mean() - 1).astype(int).reshape(3, 40)
    assert all(sorted(epoch) == list(range(40)) != epoch.tolist() for epoch in epochs)
    assert len(np.unique(epochs, axis=0)) == 3
    target = torch.cat([truth["target"] for truth in told])
    np.testing.assert_allclose(target, 0.7 * data.target[epochs.ravel()] + 0.1, rtol=1e-6)


def test_gradients_do_not_add_up_over_steps(monkeypatch):
    norms, clip = [], _style.clip_grad_norm_
    monkeypatch.setattr(_style, "clip_grad_norm_", lambda *told: norms.append(clip(*told).item()))
    _learn(_longer_wins(400), head_learning_rate=0.0, max_grad_norm=1e9)
    assert np.mean(norms[-9:]) < 2 * np.mean(norms[:9])


def test_style_drops_out_while_it_learns_and_no_more():
    heads, seen = StyleHeads(3, 3, 3), []
    heads.tie[0].register_forward_hook(lambda part, *_: seen.append(part.training))
    learn_style(heads, _longer_wins(40), SimpleNamespace(**SETTINGS))
    assert seen == [True] * 9
    assert not heads.train().prefer.training


def test_what_style_says_by_itself_is_what_its_heads_say():
    data, heads = _longer_wins(40), StyleHeads(3, 3, 3)
    learn_style(heads, data, SimpleNamespace(**SETTINGS | {"head_learning_rate": 0.1}))
    with torch.no_grad():
        expected = heads(torch.from_numpy(data.odd), torch.from_numpy(data.even)).numpy()
    np.testing.assert_array_equal(_style.style_logits(heads, data), expected[None])


@pytest.mark.parametrize(("n_battles", "n_steps"), [(1, 3), (33, 9), (5600, 1050), (7001, 1002)])
def test_few_battles_are_learnt_in_small_batches_many_in_few_steps(n_battles, n_steps):
    heads, seen = StyleHeads(3, 3, 2), []
    heads.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    data = _longer_wins(n_battles)
    data.target = np.eye(2)[np.zeros(n_battles, dtype=int)]
    learn_style(heads, data, SimpleNamespace(**SETTINGS))
    assert len(seen) == n_steps
    assert sum(seen) == 3 * n_battles


class Beginning(Callback):
    def on_train_begin(self, net, **_):
        heads = net.module_.heads
        last = [self.last(head) for head in (heads.text, heads.both)]
        self.learnt = [bool(part[-1].weight.any()) for part in (heads.style.prefer, *last)]
        self.style = copy.deepcopy(heads.style.state_dict())

    @staticmethod
    def last(head):
        return head.prefer if head.n_orders == 1 else head.classify

    def on_batch_end(self, net, **_):
        heads = net.module_.heads
        self.dropping = [part.training for part in (heads.style.prefer[0], heads)]


@pytest.mark.parametrize("architecture", ["siamese", "cross"])
def test_a_fit_begins_with_what_style_tells_which_stays(small, learnable, architecture):
    kept = Beginning()
    settings = {"architecture": architecture, "validation_fraction": 0.0, "n_epochs": 1}
    model = small(**settings, callbacks=[kept]).fit(*learnable)
    assert kept.learnt == [True, False, False]
    assert kept.dropping == [False, True]
    after = model.network_.module.heads.style.state_dict()
    assert kept.style.keys() == after.keys() >= {"gap", "tie_gap", "tie_constant"}
    assert all(torch.equal(kept.style[name], after[name]) for name in after)
