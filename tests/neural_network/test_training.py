import re

import numpy as np
import pandas as pd
import pytest
import torch

from arena_estimators.exceptions import ArenaError
from arena_estimators.model_selection import prompt_groups
from arena_estimators.neural_network import _calibration, _training
from arena_estimators.neural_network._module import build_module


def _battles(prompts):
    return pd.DataFrame({"prompt": prompts, "response_a": "a", "response_b": "b"})


@pytest.mark.parametrize("seed", [0, 1])
def test_no_prompt_is_on_both_sides(seed):
    X = _battles([f"p{number % 40}" for number in range(200)])
    target = np.eye(3)[np.arange(200) % 3]
    train, valid = _training.split_by_prompt(X, target, 0.2, seed)
    assert sorted([*train, *valid]) == list(range(200))
    groups = prompt_groups(X)
    assert not set(groups[train]) & set(groups[valid])
    assert len(valid) == 40


@pytest.mark.parametrize(
    ("prompts", "codes", "fraction"),
    [
        (["p", "q", "r"] * 4, [0, 1, 2] * 4, 0.0),
        (["p"] * 12, [0, 1, 2] * 4, 0.3),
        (["p", "q", "r"], [0, 1, 2], 0.4),
    ],
)
def test_nothing_is_held_out_where_training_would_lose_a_class(prompts, codes, fraction):
    X = _battles(prompts)
    train, valid = _training.split_by_prompt(X, np.eye(3)[codes], fraction, 0)
    assert len(train) == len(X)
    assert len(valid) == 0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_that_no_battle_has_does_not_stop_the_split(n_classes):
    X = _battles([f"p{number}" for number in range(40)])
    target = np.eye(n_classes)[np.arange(40) % 2]
    train, valid = _training.split_by_prompt(X, target, 0.2, 0)
    assert (len(train), len(valid)) == (32, 8)


@pytest.mark.parametrize(("n_prompts", "fraction"), [(2, 0.6), (12, 0.95)])
def test_holding_out_every_prompt_is_refused(n_prompts, fraction):
    X = _battles([f"p{number % n_prompts}" for number in range(24)])
    target = np.eye(3)[np.arange(24) % 3]
    with pytest.raises(ArenaError, match=f"all of the {n_prompts} prompts") as error:
        _training.split_by_prompt(X, target, fraction, 0)
    largest = float(re.search(r"at most (0\.\d+)", str(error.value)).group(1))
    _training.split_by_prompt(X, target, largest, 0)


def test_precision_suits_the_device(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert _training.resolve_precision("auto", cpu) == torch.float32
    assert _training.resolve_precision("bf16", cpu) == torch.bfloat16
    for native, expected in [(True, torch.bfloat16), (False, torch.float16)]:
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda native=native, **_: native)
        assert _training.resolve_precision("auto", gpu) == expected


def test_packed_and_padded_batches_train_alike(small, learnable, monkeypatch):
    """On the CPU packing runs the reference kernel; dropout would draw other numbers."""
    X, y = learnable

    def build(*args, **kwargs):
        module = build_module(*args, **kwargs)
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        return module

    monkeypatch.setattr("arena_estimators.neural_network._bert_pair.build_module", build)
    settings = {"batch_tokens": 10**6, "validation_fraction": 0.0, "n_epochs": 3}
    padded = small(**settings).fit(X, y)
    monkeypatch.setattr(_training._attention, "can_pack", lambda *args: True)
    packed = small(**settings).fit(X, y)
    np.testing.assert_allclose(packed.loss_curve_, padded.loss_curve_, atol=1e-4)


def test_half_precision_trains_too(small, learnable):
    X, y = learnable
    half = small(precision="bf16").fit(X, y)
    assert half.net_.module_.encoder.dtype == torch.float32
    full = small().fit(X, y)
    np.testing.assert_allclose(half.predict_proba(X), full.predict_proba(X), atol=0.2)


def test_gradient_checkpointing_changes_nothing_but_the_time(small, learnable):
    X, y = learnable
    plain, saving = (small(gradient_checkpointing=flag).fit(X, y) for flag in (False, True))
    np.testing.assert_allclose(saving.loss_curve_, plain.loss_curve_, atol=1e-5)


def test_parts_of_a_step_add_up(small, learnable, monkeypatch):
    """One large batch and its halves accumulated make the same step, dropout aside."""
    X, y = learnable
    settings = {"validation_fraction": 0.0, "n_epochs": 1, "max_grad_norm": None}
    frozen = {"freeze": "encoder", **settings}
    model = small(batch_tokens=600, accumulate=10**6, **frozen).fit(X, y)
    assert len(model.loss_curve_) == 1
    assert len(small(batch_tokens=600, **frozen).fit(X, y).loss_curve_) > 4


def test_a_validation_runs_the_encoder_uncompiled(small, learnable, monkeypatch):
    ran = []

    class Compiled:
        def __init__(self, encoder, **options):
            self.encoder, self.config = encoder, encoder.config

        def __call__(self, **inputs):
            ran.append(self.encoder.training)
            return self.encoder(**inputs)

    monkeypatch.setattr(torch, "compile", Compiled)
    monkeypatch.setattr(_training._attention, "can_pack", lambda *args: True)
    model = small(compile=True).fit(*learnable)
    assert ran == [True] * len(model.loss_curve_)
    assert model.history_.valid_loss.notna().all()


def test_smoothed_labels_are_no_reason_to_warn(small, learnable):
    """Their training loss is above the prior's on plain labels even of a fit that learnt."""
    X, y = learnable
    same = (np.arange(len(X)) % 5 > 0) | (y == "tie")
    X = X.assign(response_b=X["response_b"].mask(same, X["response_a"]))
    settings = {"validation_fraction": 0.0, "n_epochs": 6, "label_smoothing": 0.3}
    model = small(**settings).fit(X, np.where(same, "tie", y))
    prior = _calibration.prior_loss(*[np.eye(3)[np.where(same, 2, 0)], np.ones(len(X))] * 2)
    assert model.loss_curve_[-5:].mean() > prior


def test_the_warning_looks_at_the_epoch_that_was_restored():
    rows = [{"batches": [{"train_loss": loss, "train_weight": 1.0}]} for loss in (1.2, 1.0, 2.0)]
    assert _training._late_loss(rows, 1) == 1.0
    assert _training._late_loss(rows, 2) == 1.0
    assert _training._late_loss(rows, 3) == _training._late_loss(rows, -1) == 2.0
