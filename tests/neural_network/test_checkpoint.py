import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from arena_estimators.exceptions import ArenaError
from arena_estimators.neural_network import _callbacks
from arena_estimators.neural_network._checkpoint import NAME


class Killed(BaseException):
    """What a killed process leaves behind: nothing but the files."""


class Kill(Callback):
    """Stop dead after an optimizer step, counted from the beginning of the training."""

    def __init__(self, step):
        self.step = step

    def on_batch_begin(self, net, training=None, **kwargs):
        if training and net.step_ == self.step:
            raise Killed


def _weights(model):
    return {name: value.numpy() for name, value in model.net_.module_.state_dict().items()}


def _assert_same(model, other):
    theirs = _weights(other)
    for name, value in _weights(model).items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    assert model.temperature_ == other.temperature_
    np.testing.assert_array_equal(model.loss_curve_, other.loss_curve_)
    for column in ("epoch", "train_loss", "valid_loss"):
        np.testing.assert_array_equal(model.history_[column], other.history_[column])


@pytest.fixture
def always_due(monkeypatch):
    monkeypatch.setattr(_callbacks, "_SHARE", 0)


@pytest.fixture(scope="module")
def whole(tiny, learnable):
    """Fit without interruption."""
    return _make(tiny).fit(*learnable)


def _make(tiny, **parameters):
    from arena_estimators import BertPairClassifier

    settings = {"max_length": 64, "batch_tokens": 1024, "n_epochs": 3, "patience": None}
    settings |= {"learning_rate": 1e-3, "random_state": 0}
    return BertPairClassifier(tiny(), **(settings | parameters))


def _kill(tiny, learnable, folder, step, **parameters):
    with pytest.raises(Killed):
        _make(tiny, checkpoint_dir=folder, callbacks=[Kill(step)], **parameters).fit(*learnable)


@pytest.mark.parametrize("share", ["start", "within", "between", "last"])
def test_a_killed_fit_ends_with_the_same_weights(
    tiny, learnable, whole, tmp_path, always_due, share
):
    n_steps = len(whole.loss_curve_)
    step = {"start": 1, "within": n_steps // 3 + 2, "between": n_steps // 3, "last": n_steps - 1}
    _kill(tiny, learnable, tmp_path, step[share])
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    resumed = _make(tiny, checkpoint_dir=tmp_path, verbose=1).fit(*learnable)
    _assert_same(resumed, whole)
    assert list(tmp_path.iterdir()) == []


def test_killed_twice_with_lora_and_an_unknown_seed(tiny, learnable, tmp_path, always_due):
    parameters = {"lora_rank": 4, "random_state": None, "n_epochs": 2}
    _kill(tiny, learnable, tmp_path, 2, **parameters)
    seed = torch.load(tmp_path / NAME, weights_only=True)["state"]["seed"]
    _kill(tiny, learnable, tmp_path, 5, **parameters)
    resumed = _make(tiny, checkpoint_dir=tmp_path, **parameters).fit(*learnable)
    expected = _make(tiny, **(parameters | {"random_state": _Fixed(seed)}))
    _assert_same(resumed, expected.fit(*learnable))


class _Fixed(np.random.RandomState):
    """A RandomState that first draws the seed it is told."""

    def __init__(self, seed):
        super().__init__(0)
        self.first = seed

    def randint(self, *args, **kwargs):
        return self.first


def test_a_checkpoint_of_another_fit_is_refused(tiny, learnable, tmp_path, always_due):
    X, y = learnable
    _kill(tiny, learnable, tmp_path, 2)
    with pytest.raises(ArenaError, match="learning_rate was 0.001 and is 0.01"):
        _make(tiny, checkpoint_dir=tmp_path, learning_rate=0.01).fit(X, y)
    with pytest.raises(ArenaError, match="battles or labels differ"):
        _make(tiny, checkpoint_dir=tmp_path).fit(X[:70], y[:70])
    with pytest.raises(ArenaError, match="random_state was 0 and is 1"):
        _make(tiny, checkpoint_dir=tmp_path, random_state=1).fit(X, y)
    assert (tmp_path / NAME).exists()


def test_a_broken_file_is_named(tiny, learnable, tmp_path):
    (tmp_path / NAME).write_bytes(b"nothing of ours")
    with pytest.raises(ArenaError, match=NAME):
        _make(tiny, checkpoint_dir=tmp_path).fit(*learnable)


def test_who_dies_while_writing_keeps_the_checkpoint_before(
    tiny, learnable, whole, tmp_path, always_due, monkeypatch
):
    save, calls = torch.save, []

    def die(content, file):
        calls.append(1)
        if len(calls) == 4:
            file.write(b"half of it")
            raise Killed
        save(content, file)

    monkeypatch.setattr(torch, "save", die)
    with pytest.raises(Killed):
        _make(tiny, checkpoint_dir=tmp_path).fit(*learnable)
    monkeypatch.undo()
    _assert_same(_make(tiny, checkpoint_dir=tmp_path).fit(*learnable), whole)
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_are_not_written_all_the_time(tiny, learnable, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(_callbacks, "_SHARE", 1e9)
    save = _callbacks.SaveCheckpoints._save_if_due

    def count(callback, net, epoch):
        before = callback.due_
        save(callback, net, epoch)
        saved.append(callback.due_ != before)

    monkeypatch.setattr(_callbacks.SaveCheckpoints, "_save_if_due", count)
    model = _make(tiny, checkpoint_dir=tmp_path).fit(*learnable)
    assert saved == [True] + [False] * (len(model.loss_curve_) + 3 - 1)
