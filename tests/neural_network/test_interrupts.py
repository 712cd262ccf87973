import pkgutil
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback, EarlyStopping
from skorch.history import History

from arena_estimators.exceptions import ArenaWarning
from arena_estimators.neural_network.model._calibration import default_weights
from arena_estimators.neural_network.model._workers import Workers
from arena_estimators.neural_network.training import _train
from arena_estimators.neural_network.training._interrupts import Interrupts


@pytest.fixture(autouse=True)
def heed_ctrl_c():
    """Let Ctrl-C raise KeyboardInterrupt: what starts in the background may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_leaves_a_usable_estimator(small, learnable):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            if net.step_ == 3:
                raise KeyboardInterrupt

    X, y = learnable
    with pytest.warns(ArenaWarning, match=r"interrupted after 3 of \d+ steps"):
        model = small(callbacks=[Interrupt()]).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert len(model.loss_curve_) == 3
    assert model.history_.columns.tolist() == ["epoch", "train_loss", "valid_loss", "seconds"]
    assert len(model.history_) == 0


def test_ctrl_c_before_the_first_step(small, learnable, monkeypatch):
    def interrupt(steps):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "arena_estimators.neural_network.training._steps.StepLoader.describe", interrupt
    )
    with pytest.warns(ArenaWarning, match="interrupted after 0 of"):
        model = small().fit(*learnable)
    assert np.isfinite(model.predict_proba(learnable[0])).all()
    assert len(model.history_) == len(model.loss_curve_) == 0


def test_ctrl_c_between_epochs_is_an_interruption(small, learnable, tmp_path):
    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    parameters = {"callbacks": [Interrupt()], "checkpoint_dir": tmp_path, "n_epochs": 4}
    with pytest.warns(ArenaWarning, match="interrupted"):
        model = small(**parameters).fit(*learnable)
    assert len(model.history_) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_early_stopping_of_skorch_is_no_interruption(small, learnable, tmp_path):
    stop = EarlyStopping(monitor="train_loss", patience=1, lower_is_better=False)
    model = small(callbacks=[stop], n_epochs=6, checkpoint_dir=tmp_path, patience=None)
    assert len(model.fit(*learnable).history_) < 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["_clear", "conclude", "read_history"])
def test_ctrl_c_after_the_training_loses_nothing(
    small, fitted, learnable, monkeypatch, place, tmp_path
):
    X, y = learnable
    expected = fitted().predict_proba(X)
    send_ctrl_c_in(f"arena_estimators.neural_network.training._train.{place}", monkeypatch)
    with pytest.warns(ArenaWarning, match="when the training was over; the estimator is complete"):
        model = small(checkpoint_dir=tmp_path).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert len(model.history_) and not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_when_training_begins_ends_it(small, learnable, monkeypatch):
    send_ctrl_c_in("skorch.NeuralNet.partial_fit", monkeypatch)
    with pytest.warns(ArenaWarning, match="interrupted after 0 of"):
        small().fit(*learnable)


def test_ctrl_c_when_a_training_continues_keeps_what_it_had(
    small, learnable, monkeypatch, tmp_path
):
    class Kill(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise ZeroDivisionError

    X, y = learnable
    parameters = {"checkpoint_dir": tmp_path, "validation_fraction": 0}
    monkeypatch.setattr("arena_estimators.neural_network.training._callbacks._PAUSE_FACTOR", 0)
    with pytest.raises(ZeroDivisionError):
        small(callbacks=[Kill()], **parameters).fit(X, y)
    send_ctrl_c_in("skorch.NeuralNet.partial_fit", monkeypatch)
    with pytest.warns(ArenaWarning, match="interrupted after"):
        model = small(**parameters).fit(X, y)
    last = model.network_.module.heads.text.prefer[-1]
    assert last.weight.any()  # zero in a network that knows nothing
    assert model.network_.weights.tolist() == default_weights(3, len(X) / 1000 / 2).tolist()


@pytest.mark.parametrize("place", ["split", "build_module"])
def test_ctrl_c_before_the_training_is_raised(fitted, learnable, monkeypatch, place):
    model = fitted()
    send_ctrl_c_in(f"arena_estimators.neural_network.training._train.{place}", monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*learnable)
    with pytest.raises(NotFittedError):
        model.predict(learnable[0])


def test_ctrl_c_while_a_checkpoint_is_written_waits_for_it(
    small, fitted, learnable, monkeypatch, tmp_path
):
    X, y = learnable
    expected = fitted().predict_proba(X)
    with monkeypatch.context() as patch, pytest.warns(ArenaWarning, match="interrupted after 1 of"):
        send_ctrl_c_in("torch.save", patch)
        model = small(checkpoint_dir=tmp_path).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    (written,) = tmp_path.iterdir()
    assert written.suffix == ".checkpoint"
    resumed = small(checkpoint_dir=tmp_path).fit(X, y)
    np.testing.assert_array_equal(resumed.predict_proba(X), expected)


def test_an_own_way_with_ctrl_c_is_left_alone(small, learnable, monkeypatch):
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        send_ctrl_c_in("arena_estimators.neural_network.training._train.conclude", monkeypatch)
        small().fit(*learnable)
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [True]


def send_ctrl_c_in(name, monkeypatch):
    """Send this process Ctrl-C's signal whenever a function is called."""
    owner, _, attribute = name.rpartition(".")
    function = getattr(pkgutil.resolve_name(owner), attribute)

    def interrupted(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return function(*args, **kwargs)

    monkeypatch.setattr(name, interrupted)


class Two(Workers):
    """The first of two processes; the other gets Ctrl-C before the sum with the number `other`."""

    size, sums = 2, 0

    def __init__(self, other=None):
        super().__init__(torch.device("cpu"))
        self.other = other

    def sum(self, value):
        if not isinstance(value, int) or value > 1:
            return value
        self.sums += 1
        return value + (self.sums == self.other)


class InStep(Callback):
    def on_grad_computed(self, net, **kwargs):
        if net.step_ == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("who", ["this one", "the other"])
def test_ctrl_c_ends_several_processes_after_the_same_step(small, learnable, monkeypatch, who):
    workers = Two(other=3 if who == "the other" else None)
    monkeypatch.setattr(_train, "join_workers", lambda device: workers)
    callbacks = [InStep()] if who == "this one" else []
    with pytest.warns(ArenaWarning) as warned:
        model = small(callbacks=callbacks).fit(*learnable)
    (message,) = (str(one.message) for one in warned)
    assert "interrupted after 3 of" in message
    assert len(model.loss_curve_) == workers.sums == 3


def test_ctrl_c_before_an_epoch_has_its_number(small, learnable, monkeypatch):
    record = History.record

    def interrupt(history, name, value):
        if name == "epoch" and value == 2:
            raise KeyboardInterrupt
        record(history, name, value)

    monkeypatch.setattr(History, "record", interrupt)
    with pytest.warns(ArenaWarning, match="interrupted"):
        model = small().fit(*learnable)
    assert len(model.history_) == 1
    assert np.isfinite(model.predict_proba(learnable[0])).all()


def test_a_fit_that_failed_after_ctrl_c_is_not_called_complete():
    with pytest.raises(ZeroDivisionError), Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError
    assert interrupts.pending


def test_what_is_delayed_raises_afterwards_only_where_ctrl_c_may():
    """Of several processes, none of which may leave alone, it ends none before their next sum."""
    with pytest.warns(ArenaWarning, match="complete"), Interrupts() as interrupts:
        interrupts.hold()
        for _ in range(2):
            with interrupts.delayed():
                signal.raise_signal(signal.SIGINT)
        assert interrupts.pending
    with Interrupts() as interrupts:
        interrupts.hold()
        with pytest.raises(KeyboardInterrupt), interrupts.allowed(), interrupts.delayed():
            signal.raise_signal(signal.SIGINT)


def test_a_thread_leaves_ctrl_c_to_the_main_one():
    def enter():
        with Interrupts():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(enter).result() is signal.default_int_handler


def test_an_impatient_second_ctrl_c_does_not_make_the_estimator_complete(small, learnable):
    class Press(Callback):
        def on_batch_end(self, net, training=None, **kwargs):
            if training and net.step_ == 2:
                signal.raise_signal(signal.SIGINT)

        def on_train_end(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(ArenaWarning) as warned:
        small(callbacks=[Press()]).fit(*learnable)
    (message,) = (str(one.message) for one in warned)
    assert "interrupted after 2 of" in message
