import datetime
import io
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from unittest.mock import Mock

import joblib
import numpy as np
import pytest
import torch
from bert_pairs import bert_pair
from marks import needs_compiler, needs_cuda
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback, Freezer, LRScheduler
from tiny_encoders import make_tiny_encoder

from arena_estimators import BertPairClassifier, PromptGroupKFold
from arena_estimators import _files as files
from arena_estimators.exceptions import ArenaError, ArenaWarning
from arena_estimators.neural_network.training import _callbacks
from arena_estimators.neural_network.training._checkpoint import (
    NAME,
    Checkpoint,
    check_same_steps,
    check_shared,
)


class Killed(BaseException):
    """Stands for a kill, which leaves nothing behind but the files."""


class Count(Callback):
    """Count the optimizer steps that a fit makes, and those of its whole training."""

    def on_train_begin(self, net, **kwargs):
        self.made = 0

    def on_batch_end(self, net, training=None, **kwargs):
        self.made += bool(training)
        self.planned = net.n_steps_


class Kill(Callback):
    """Stop dead after an optimizer step, counted from the beginning of the training."""

    def __init__(self, step):
        self.step = step

    def on_batch_begin(self, net, training=None, **kwargs):
        if training and net.step_ == self.step:
            raise Killed


def _files(folder):
    return sorted(folder.glob(NAME.format("*")))


def _weights(model):
    return {name: value.numpy() for name, value in model.network_.module.state_dict().items()}


def _assert_same(model, other):
    theirs = _weights(other)
    for name, value in _weights(model).items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    assert model.network_.temperature == other.network_.temperature
    assert model.network_.weights.tolist() == other.network_.weights.tolist()
    np.testing.assert_array_equal(model.loss_curve_, other.loss_curve_)
    for column in ("epoch", "train_loss", "valid_loss"):
        np.testing.assert_array_equal(model.history_[column], other.history_[column])


@pytest.fixture
def always_due(monkeypatch):
    monkeypatch.setattr(_callbacks, "_PAUSE_FACTOR", 0)


@pytest.fixture(scope="module")
def whole(tiny, learnable):
    """Fit without interruption."""
    return _make(tiny).fit(*learnable)


def _make(tiny, **parameters):
    settings = {"max_length": 64, "batch_tokens": 1024, "n_epochs": 3, "patience": None}
    settings |= {"learning_rate": 1e-3, "random_state": 0, "precision": "fp32"}
    return bert_pair(tiny(), **(settings | parameters))


def _kill(tiny, learnable, folder, step, **parameters):
    with pytest.raises(Killed):
        _make(tiny, checkpoint_dir=folder, callbacks=[Kill(step)], **parameters).fit(*learnable)


@pytest.mark.parametrize("share", ["start", "within", "between", "last"])
def test_a_killed_fit_ends_with_the_same_weights(
    tiny, learnable, whole, tmp_path, always_due, capsys, share
):
    n_steps = len(whole.loss_curve_)
    step = {"start": 1, "within": n_steps // 3 + 2, "between": n_steps // 3, "last": n_steps - 1}
    _kill(tiny, learnable, tmp_path, step[share])
    assert len(list(tmp_path.iterdir())) == len(_files(tmp_path)) == 1
    resumed = _make(tiny, checkpoint_dir=tmp_path, verbose=1).fit(*learnable)
    _assert_same(resumed, whole)
    assert re.search(r"continues after step \d+, from .*\.checkpoint", capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize(
    "given", [{}, pytest.param({"compile": True}, marks=needs_compiler), {"precision": "fp16"}]
)
def test_a_fit_killed_on_a_gpu_ends_with_the_same_weights(
    tiny, learnable, tmp_path, always_due, capsys, given
):
    parameters = {"precision": "bf16"} | given
    whole = _make(tiny, **parameters).fit(*learnable)
    _kill(tiny, learnable, tmp_path, len(whole.loss_curve_) // 2, **parameters)
    resumed = _make(tiny, checkpoint_dir=tmp_path, verbose=1, **parameters).fit(*learnable)
    assert "continues after step" in capsys.readouterr().out
    _assert_same(resumed, whole)


KILLED = """
import os, signal, sys
import joblib
from skorch.callbacks import Callback
from arena_estimators.neural_network.training import _callbacks

class Die(Callback):
    def on_grad_computed(self, net, **kwargs):
        if net.step_ == 4:
            os.kill(os.getpid(), signal.SIGKILL)

_callbacks._PAUSE_FACTOR = 0
model, X, y = joblib.load(sys.argv[1])
model.set_params(training__callbacks=[Die()]).fit(X, y)
"""


@pytest.mark.slow
def test_a_process_that_the_system_kills_is_continued(tiny, learnable, whole, tmp_path):
    """In the midst of a step, without a chance to tidy up."""
    model = _make(tiny, checkpoint_dir=tmp_path / "checkpoints")
    joblib.dump((model, *learnable), tmp_path / "fit.joblib")
    command = [sys.executable, "-c", KILLED, tmp_path / "fit.joblib"]
    ended = subprocess.run(command, timeout=300, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-3000:]
    assert len(_files(tmp_path / "checkpoints")) == 1
    _assert_same(model.fit(*learnable), whole)


# Whether so short a training from any seed beats the shares of the classes is not the question.
@pytest.mark.filterwarnings("ignore:The fit is no better:arena_estimators.exceptions.ArenaWarning")
def test_killed_twice_with_lora_and_an_unknown_seed(tiny, learnable, tmp_path, always_due):
    parameters = {"lora_rank": 4, "random_state": None, "n_epochs": 2}
    _kill(tiny, learnable, tmp_path, 2, **parameters)
    (file,) = _files(tmp_path)
    seed = torch.load(file, weights_only=True)["seed"]
    _kill(tiny, learnable, tmp_path, 5, **parameters)
    resumed = _make(tiny, checkpoint_dir=tmp_path, **parameters).fit(*learnable)
    expected = _make(tiny, **(parameters | {"random_state": _Fixed(seed)}))
    _assert_same(resumed, expected.fit(*learnable))


class _Fixed(np.random.RandomState):
    """A RandomState that always draws the seed it is told."""

    def __init__(self, seed):
        super().__init__(0)
        self.first = seed

    def randint(self, *args, **kwargs):
        return self.first


def test_another_fit_begins_anew(tiny, learnable, whole, tmp_path, always_due, capsys):
    X, y = learnable
    _kill(tiny, learnable, tmp_path, 2)
    files = _files(tmp_path)
    for parameters, n_battles in [
        ({"learning_rate": 0.01}, 80),
        ({"random_state": 1}, 80),
        ({"n_epochs": 2, "verbose": 1}, 80),
        ({"n_epochs": 2}, 70),
    ]:
        count = Count()
        model = _make(tiny, checkpoint_dir=tmp_path, callbacks=[count], **parameters)
        model.fit(X[:n_battles], y[:n_battles])
        assert count.made == count.planned
        assert _files(tmp_path) == files
        assert ("of other fits (1)" in capsys.readouterr().out) == ("verbose" in parameters)
    count = Count()
    grouped = _make(tiny, checkpoint_dir=tmp_path, callbacks=[count])
    grouped.fit(X.assign(prompt_group=np.arange(80) // 8), y)
    assert count.made == count.planned
    assert _files(tmp_path) == files
    _assert_same(_make(tiny, checkpoint_dir=tmp_path, callbacks=[count]).fit(X, y), whole)
    assert count.made == count.planned - 2


class Halve(Callback):
    """Sets rates that are numbers of NumPy's."""

    def on_epoch_begin(self, net, **kwargs):
        for group in net.optimizer_.param_groups:
            group["lr"] = np.exp2(-len(net.history)) * 1e-3


@pytest.mark.parametrize("who", ["the user", "a callback"])
def test_rates_may_be_numbers_of_numpy(tiny, learnable, tmp_path, always_due, who):
    settings, callbacks = {"n_epochs": 1, "schedule": "constant", "warmup": 0.0}, []
    if who == "the user":
        settings |= {"learning_rate": np.float32(1e-3)}
        settings |= {"head_learning_rate": np.float32(0.01), "weight_decay": np.float64(0.1)}
    else:
        callbacks = [Halve()]
    whole = _make(tiny, callbacks=callbacks, **settings).fit(*learnable)
    with pytest.raises(Killed):
        killed = _make(tiny, callbacks=[*callbacks, Kill(2)], checkpoint_dir=tmp_path, **settings)
        killed.fit(*learnable)
    resumed = _make(tiny, callbacks=callbacks, checkpoint_dir=tmp_path, **settings)
    _assert_same(resumed.fit(*learnable), whole)


def test_other_weights_in_the_same_folder_begin_anew(tiny, learnable, tmp_path, always_due):
    folder, other = tmp_path / "encoder", make_tiny_encoder("bert", tmp_path / "other", seed=1)
    shutil.copytree(tiny(), folder)
    parameters = {"n_epochs": 2, "freeze": "encoder", "checkpoint_dir": tmp_path / "checkpoints"}
    with pytest.raises(Killed):
        _make(lambda: folder, callbacks=[Kill(2)], **parameters).fit(*learnable)
    shutil.copy(pathlib.Path(other, "model.safetensors"), folder)
    expected = _make(lambda: folder, **(parameters | {"checkpoint_dir": None})).fit(*learnable)
    _assert_same(_make(lambda: folder, **parameters).fit(*learnable), expected)


def test_folds_share_a_folder(tiny, learnable, tmp_path, always_due):
    X, y = learnable
    scores = {"cv": PromptGroupKFold(2), "scoring": "neg_log_loss", "error_score": "raise"}
    expected = cross_val_score(_make(tiny, n_epochs=1), X, y, **scores)
    _, (second, _) = PromptGroupKFold(2).split(X, y)
    _kill(tiny, (X.iloc[second], y[second]), tmp_path, 2, n_epochs=1)
    again = _make(tiny, n_epochs=1, checkpoint_dir=tmp_path)
    np.testing.assert_array_equal(cross_val_score(again, X, y, **scores), expected)
    assert list(tmp_path.iterdir()) == []


def test_callbacks_may_put_anything_into_the_history(tiny, learnable, whole, tmp_path, always_due):
    class Record(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("confusion", np.eye(3))
            net.history.record("when", datetime.datetime.now())
            net.history.record("classes", {np.int64(2): 0.5, ("a", "b"): [np.float32(1)]})

    second_epoch = Kill(len(whole.loss_curve_) // 3 + 1)
    with pytest.raises(Killed):
        _make(tiny, checkpoint_dir=tmp_path, callbacks=[Record(), second_epoch]).fit(*learnable)
    _assert_same(_make(tiny, checkpoint_dir=tmp_path).fit(*learnable), whole)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"processes": 2}, "number of processes was 1 and is 2"),
        ({"packed": True}, "sequences were padded and are packed"),
        ({"steps": "others"}, "hold other battles"),
        ({"precision": "torch.bfloat16"}, r"computed in torch\.float32, not in torch\.bfloat16"),
    ],
)
def test_other_steps_are_refused(change, match):
    steps = {"processes": 1, "packed": False, "steps": "these", "precision": "torch.float32"}
    state = {"steps": steps, "path": "a.checkpoint"}
    check_same_steps(state, dict(steps))
    with pytest.raises(ArenaError, match=f"a.checkpoint cannot be continued here: .*{match}"):
        check_same_steps(state, steps | change)


@pytest.mark.parametrize(
    "other",
    [
        *({"pooling": "cls"}, {"freeze": 1}, {"lora_rank": 2}, {"max_grad_norm": 2.0}),
        *({"label_smoothing": 0.1}, {"weight_decay": 0.1}, {"batch_tokens": 900}, {"patience": 9}),
        *({"truncation": "tail", "max_length": 12}, {"style_features": False}, {"accumulate": 2}),
        *({"architecture": "cross", "max_length": 96}, {"attention": "sdpa"}, {"warmup": 0.2}),
        *({"validation_fraction": 0.2}, {"schedule": "cosine"}, {"head_learning_rate": 0.01}),
        {"gradient_checkpointing": True},
    ],
    ids=str,
)
def test_a_fit_that_is_told_otherwise_has_a_checkpoint_of_its_own(tiny, learnable, tmp_path, other):
    for parameters in ({}, other):
        _kill(tiny, learnable, tmp_path, 1, **parameters)
    assert len(_files(tmp_path)) == 2


@pytest.mark.parametrize("what", ["a label", "a weight", "a text", "the version"])
def test_other_battles_or_another_version_have_a_checkpoint_of_their_own(
    tiny, learnable, tmp_path, monkeypatch, what
):
    X, y = learnable
    _kill(tiny, learnable, tmp_path, 1)
    weight = np.ones(80)
    if what == "a label":
        y = np.append(y[:-1], "tie" if y[-1] != "tie" else "model_a")
    elif what == "a text":
        X = X.assign(response_a=[*X["response_a"][:-1], "clear vague"])
    elif what == "a weight":
        weight[-1] = 2.0
    else:
        monkeypatch.setattr("arena_estimators.__version__", "0.0.9")
    model = _make(tiny, checkpoint_dir=tmp_path, callbacks=[Kill(1)])
    with pytest.raises(Killed):
        model.fit(X, y, sample_weight=weight)
    assert len(_files(tmp_path)) == 2


def test_a_machine_that_computes_otherwise_is_refused(
    tiny, learnable, tmp_path, always_due, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    _kill(tiny, learnable, tmp_path, 2, precision="auto")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    with pytest.raises(ArenaError, match=r"computed in torch\.float32, not in torch\.bfloat16"):
        _make(tiny, checkpoint_dir=tmp_path, precision="auto").fit(*learnable)


def test_a_fit_may_continue_on_a_gpu_whose_optimizer_is_fused(
    tiny, learnable, tmp_path, always_due
):
    """With float16 only a fused optimizer is given the gradients' scale; a CPU has one, too."""
    seen = []

    class Plain(Callback):
        def on_train_begin(self, net, **kwargs):
            groups = net.optimizer_.param_groups
            net.optimizer_ = torch.optim.AdamW(groups, fused=False)

    class Look(Callback):
        def on_batch_end(self, net, **kwargs):
            seen.extend(group["fused"] for group in net.optimizer_.param_groups)

    settings = {"precision": "fp16", "n_epochs": 1, "checkpoint_dir": tmp_path}
    with pytest.raises(Killed):
        _make(tiny, callbacks=[Plain(), Kill(2)], **settings).fit(*learnable)
    _make(tiny, callbacks=[Look()], **settings).fit(*learnable)
    assert seen and all(seen)


def test_a_fit_continues_with_an_optimizer_of_a_callback(tiny, learnable, tmp_path, always_due):
    """Not every kind of optimizer has a fused one."""

    class Own(Callback):
        def on_train_begin(self, net, **kwargs):
            net.optimizer_ = torch.optim.RMSprop(net.module_.parameters(), lr=1e-4)

    settings = {"schedule": "constant", "warmup": 0.0, "n_epochs": 1}
    with pytest.raises(Killed):
        killed = _make(tiny, checkpoint_dir=tmp_path, callbacks=[Own(), Kill(2)], **settings)
        killed.fit(*learnable)
    whole = _make(tiny, callbacks=[Own()], **settings).fit(*learnable)
    resumed = _make(tiny, checkpoint_dir=tmp_path, callbacks=[Own()], **settings)
    _assert_same(resumed.fit(*learnable), whole)


def test_what_training_does_not_read_may_change(tiny, learnable, whole, tmp_path, always_due):
    _kill(tiny, learnable, tmp_path, 2)
    changed = {
        "encoder": pathlib.Path(tiny()),
        "random_state": np.int64(0),
        "n_epochs": np.int64(3),
    }
    changed |= {"device": "cpu", "learning_rate": np.float64(1e-3)}
    resumed = _make(tiny, checkpoint_dir=str(tmp_path)).set_params(**changed)
    _assert_same(resumed.fit(*learnable), whole)
    assert list(tmp_path.iterdir()) == []


def test_a_scheduler_that_begins_anew_is_said(tiny, learnable, tmp_path, always_due):
    rates = {"schedule": "constant", "warmup": 0.0}
    scheduler = LRScheduler("StepLR", step_size=2, step_every="batch")
    with pytest.raises(Killed):
        killed = _make(tiny, checkpoint_dir=tmp_path, callbacks=[scheduler, Kill(2)], **rates)
        killed.fit(*learnable)
    with pytest.warns(ArenaWarning, match="LRScheduler begins anew") as warned:
        _make(tiny, checkpoint_dir=tmp_path, callbacks=[scheduler], **rates).fit(*learnable)
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize(("mine", "theirs"), [(None, 3), (5, 3), (3, 3), (None, None)])
def test_machines_that_see_other_checkpoints_are_refused(tmp_path, mine, theirs):
    class Two:
        rank, size = 0, 2

        def sum(self, steps):
            return steps + [0, -1 if theirs is None else theirs]

    checkpoint = Checkpoint(tmp_path, {})
    resume = None if mine is None else {"step": mine}
    if mine == theirs:
        check_shared(checkpoint, resume, Two())
        return
    with pytest.raises(ArenaError, match="all machines see"):
        check_shared(checkpoint, resume, Two())


@pytest.mark.parametrize("damage", ["other", "empty", "zeros inside"])
def test_a_broken_file_is_named(tiny, learnable, tmp_path, always_due, damage):
    _kill(tiny, learnable, tmp_path, 2)
    (file,) = _files(tmp_path)
    whole = file.read_bytes()
    third = len(whole) // 3
    inside = whole[:third] + bytes(4096) + whole[third + 4096 :]
    file.write_bytes({"other": b"nothing of ours", "empty": b"", "zeros inside": inside}[damage])
    with pytest.raises(ArenaError, match=file.name):
        _make(tiny, checkpoint_dir=tmp_path).fit(*learnable)


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_folder_that_cannot_be_made(learnable, tmp_path, inside):
    (tmp_path / "file").write_text("in the way")
    model = BertPairClassifier("not/looked-for", checkpoint_dir=tmp_path / "file" / inside)
    with pytest.raises(ArenaError, match=r"checkpoint_dir=.* cannot be used"):
        model.fit(*learnable)


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


def test_a_full_disk_does_not_stop_the_training(
    tiny, learnable, whole, tmp_path, always_due, monkeypatch
):
    calls = []

    class Full(io.FileIO):
        def write(self, part):
            if len(calls) > 1 and self.tell() > 10_000:
                raise OSError(28, "No space left on device")
            return super().write(part)

    def open_on_a_full_disk(path, mode):
        calls.append(path)
        return Full(path, mode)

    monkeypatch.setattr(files, "open", open_on_a_full_disk, raising=False)
    with pytest.raises(Killed), pytest.warns(ArenaWarning, match="No space left on device"):
        _make(tiny, checkpoint_dir=tmp_path, callbacks=[Kill(3)]).fit(*learnable)
    assert len(calls) > 2  # after the first one, which had room
    assert [path.suffix for path in tmp_path.iterdir()] == [".checkpoint"]
    monkeypatch.undo()
    _assert_same(_make(tiny, checkpoint_dir=tmp_path).fit(*learnable), whole)


def test_checkpoints_are_written_once_at_first_and_then_rarely(tiny, learnable, tmp_path):
    class Look(Callback):
        def on_batch_end(self, net, training=None, **kwargs):
            times.update(file.stat().st_mtime_ns for file in _files(tmp_path))

    times = set()
    model = _make(tiny, checkpoint_dir=tmp_path, callbacks=[Look()])
    n_steps = len(model.fit(*learnable).loss_curve_)
    assert 1 <= len(times) < n_steps / 2


# Shuffled labels teach nothing that lasts.
@pytest.mark.filterwarnings("ignore:The fit is no better:arena_estimators.exceptions.ArenaWarning")
def test_the_best_epoch_before_the_kill_is_remembered(tiny, learnable, tmp_path, always_due):
    X, y = learnable
    noise = np.random.default_rng(0).permutation(y)
    parameters = {"learning_rate": 1e-2, "validation_fraction": 0.4, "style_features": False}
    whole = _make(tiny, **parameters).fit(X, noise)
    assert whole.history_.valid_loss.idxmin() == 0
    _kill(tiny, (X, noise), tmp_path, len(whole.loss_curve_) - 1, **parameters)
    _assert_same(_make(tiny, checkpoint_dir=tmp_path, **parameters).fit(X, noise), whole)


def test_the_scale_of_gradients_is_continued(tiny, learnable, tmp_path, always_due):
    class Scale(Callback):
        def __init__(self, new=None):
            self.new, self.seen = new, []

        def on_batch_end(self, net, training=None, **kwargs):
            if self.new:
                net.run_.scaler.update(self.new)

        def on_batch_begin(self, net, training=None, **kwargs):
            self.seen.append(net.run_.scaler.get_scale())

    half = {"precision": "fp16", "checkpoint_dir": tmp_path, "n_epochs": 2}
    with pytest.raises(Killed):
        _make(tiny, callbacks=[Scale(64.0), Kill(2)], **half).fit(*learnable)
    scale = Scale()
    _make(tiny, callbacks=[scale], **half).fit(*learnable)
    assert scale.seen[0] == 64.0


def test_the_bar_of_a_continued_fit_begins_where_it_was(
    tiny, learnable, tmp_path, always_due, monkeypatch
):
    ends = []

    class Bar(_callbacks.tqdm):
        def close(self):
            ends.append((self.n, self.initial > 0, self.total))
            super().close()

    _kill(tiny, learnable, tmp_path, 3)
    monkeypatch.setattr(_callbacks, "tqdm", Bar)
    _make(tiny, checkpoint_dir=tmp_path, verbose=1).fit(*learnable)
    assert ends[0] == (3 * 72, True, 3 * 72)


@pytest.mark.parametrize("error", [OSError("disk is full"), RuntimeError("disk is full")])
def test_only_what_the_disk_refuses_is_passed_over(tmp_path, monkeypatch, error):
    checkpoint = Checkpoint(tmp_path, {})
    checkpoint.save({"history": [1], "batches": []})
    monkeypatch.setattr(os, "fsync", Mock(side_effect=error))
    warned = pytest.warns(ArenaWarning, match="could be written to .*disk is full")
    refused = warned if isinstance(error, OSError) else pytest.raises(RuntimeError)
    with refused:
        checkpoint.save({"history": [1, 2], "batches": []})
    assert checkpoint.load()["history"] == [1]
    assert isinstance(error, RuntimeError) or list(tmp_path.iterdir()) == [checkpoint.path]


def test_what_killed_processes_left_half_written_is_removed_too(tmp_path):
    mine, others = Checkpoint(tmp_path, {}), Checkpoint(tmp_path, {"other": "fit"})
    for checkpoint in (mine, others):
        checkpoint.path.touch()
        checkpoint.path.with_name(f".{checkpoint.path.name}.1234.tmp").touch()
    mine.remove()
    left = sorted(tmp_path.iterdir())
    assert left == sorted([others.path.with_name(f".{others.path.name}.1234.tmp"), others.path])


def test_a_fit_that_saves_while_its_twin_does_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    """Threads share a process id, and containers that share a folder may have the same one."""
    mine, twins, save = Checkpoint(tmp_path, {}), Checkpoint(tmp_path, {}), torch.save

    def save_amid_the_twins(state, file):
        monkeypatch.setattr(torch, "save", save)
        twins.save({"history": [1], "batches": []})
        assert mine.load()["history"] == [1]
        save(state, file)

    monkeypatch.setattr(torch, "save", save_amid_the_twins)
    mine.save({"history": [1, 2], "batches": []})
    assert mine.load()["history"] == [1, 2]
    assert list(tmp_path.iterdir()) == [mine.path]


@pytest.mark.parametrize("n_epochs", [2, 3])  # killed in the epoch of the freezing, or after it
def test_what_a_callback_froze_later_is_continued_too(
    tiny, learnable, tmp_path, always_due, n_epochs
):
    def make(*callbacks, **parameters):
        frozen = Freezer("encoder.*", at=2)  # what the first epoch trained
        return _make(tiny, n_epochs=n_epochs, callbacks=[frozen, *callbacks], **parameters)

    whole = make().fit(*learnable)
    with pytest.raises(Killed):
        make(Kill(len(whole.loss_curve_) - 1), checkpoint_dir=tmp_path).fit(*learnable)
    _assert_same(make(checkpoint_dir=tmp_path).fit(*learnable), whole)


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("no permission to read")

    checkpoint = Checkpoint(tmp_path, {})
    checkpoint.path.touch()
    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    with pytest.raises(ArenaError, match="cannot be read .* a checkpoint_dir of your own"):
        checkpoint.load()
