import pickle
import re
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from bert_pairs import NoDropout, split_of
from sklearn.metrics import log_loss
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler

from arena_estimators._encoder import _attention
from arena_estimators._encoder._run import resolve_precision
from arena_estimators._encoder._tokenise import tokenise
from arena_estimators.exceptions import ArenaError, ArenaWarning
from arena_estimators.model_selection import prompt_groups
from arena_estimators.neural_network.model import _calibration
from arena_estimators.neural_network.model._prediction import logits_of
from arena_estimators.neural_network.model._processor import PairData
from arena_estimators.neural_network.model._workers import Workers
from arena_estimators.neural_network.training import _assemble, _device, _net, _outcome
from arena_estimators.neural_network.training._optimizer import rate_at
from arena_estimators.neural_network.training._split import split_by_prompt


def _battles(prompts):
    return pd.DataFrame({"prompt": prompts, "response_a": "a", "response_b": "b"})


def split(X, target, fraction, seed):
    style = np.zeros((len(X), 0))
    data = PairData(None, None, style, style, style, target, np.ones(len(X)), prompt_groups(X))
    return split_by_prompt(data, fraction, seed)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_prompt_is_on_both_sides(seed):
    X = _battles([f"p{number % 40}" for number in range(200)])
    target = np.eye(3)[np.arange(200) % 3]
    train, valid = split(X, target, 0.2, seed)
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
    train, valid = split(X, np.eye(3)[codes], fraction, 0)
    assert len(train) == len(X)
    assert len(valid) == 0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_that_no_battle_has_does_not_stop_the_split(n_classes):
    X = _battles([f"p{number}" for number in range(40)])
    target = np.eye(n_classes)[np.arange(40) % 2]
    train, valid = split(X, target, 0.2, 0)
    assert (len(train), len(valid)) == (32, 8)


@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_one_battle_stays_in_the_training(seed):
    X = _battles([f"p{number}" for number in range(10)])
    target = np.eye(3)[[0, 1] * 4 + [0, 2]]
    train, valid = split(X, target, 0.3, seed)
    assert (len(train), len(valid)) == (7, 3)
    assert 9 in train


@pytest.mark.parametrize(("n_prompts", "fraction"), [(2, 0.6), (12, 0.95)])
def test_holding_out_every_prompt_is_refused(n_prompts, fraction):
    X = _battles([f"p{number % n_prompts}" for number in range(24)])
    target = np.eye(3)[np.arange(24) % 3]
    with pytest.raises(ArenaError, match=f"all of the {n_prompts} prompts") as error:
        split(X, target, fraction, 0)
    largest = float(re.search(r"at most (0\.\d+)", str(error.value)).group(1))
    split(X, target, largest, 0)


def test_precision_suits_the_device(monkeypatch):
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu) == torch.float32
    assert resolve_precision("bf16", cpu) == torch.bfloat16
    for number, capability, expected in [(1, (8, 0), torch.bfloat16), (0, (7, 5), torch.float16)]:
        cards = {torch.device("cuda", number): capability}
        monkeypatch.setattr(torch.cuda, "get_device_capability", cards.__getitem__)
        assert resolve_precision("auto", torch.device("cuda", number)) == expected


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        (lambda: {"avx512_bf16": True}, torch.bfloat16),
        (lambda: {"avx512_bf16": False}, torch.float32),
        (lambda: {"architecture": "arm64"}, torch.float32),
        (None, torch.float32),  # older torch
    ],
)
def test_a_cpu_trains_in_half_precision_if_it_can(monkeypatch, capabilities, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", capabilities, raising=False)
    if capabilities is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu, training=True) == dtype
    assert resolve_precision("auto", cpu) == torch.float32
    assert resolve_precision("fp32", cpu, training=True) == torch.float32
    assert resolve_precision("auto", torch.device("mps"), training=True) == torch.float32


def test_packed_and_padded_batches_train_alike(small, learnable, monkeypatch):
    """On the CPU packing runs the reference kernel."""
    X, y = learnable
    settings = {
        "callbacks": [NoDropout()],
        "batch_tokens": 10**6,
        "validation_fraction": 0.0,
        "n_epochs": 3,
    }
    padded = small(**settings).fit(X, y)
    reference = Mock(wraps=_attention.reference_varlen)
    monkeypatch.setattr(_attention, "reference_varlen", reference)
    monkeypatch.setattr(_attention, "can_pack", lambda *args: True)
    packed = small(**settings).fit(X, y)
    assert reference.called
    np.testing.assert_allclose(packed.loss_curve_, padded.loss_curve_, atol=1e-4)


class Look(Callback):
    """Keep what a function says of the encoder, each time it is run."""

    def __init__(self, see):
        self.see, self.seen = see, set()

    def on_train_begin(self, net, **kwargs):
        encoder = net.module_.encoder
        self.hook = encoder.register_forward_hook(lambda *_: self.seen.add(self.see(encoder)))

    def on_train_end(self, net, **kwargs):
        self.hook.remove()


def _autocast(encoder):
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu")


def _checkpointing(encoder):
    since_5 = hasattr(type(encoder), "is_activation_checkpointing")
    return getattr(encoder, f"is_{'activation' if since_5 else 'gradient'}_checkpointing")


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("bf16", torch.bfloat16), ("fp16", torch.float16), ("auto", torch.bfloat16)],
)
def test_half_precision_trains_too(small, learnable, monkeypatch, precision, dtype):
    X, y = learnable
    look = Look(_autocast)
    full = small(callbacks=[look, NoDropout()]).fit(X, y)
    assert look.seen == {False}
    look = Look(_autocast)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    half = small(precision=precision, callbacks=[look, NoDropout()]).fit(X, y)
    assert look.seen == {dtype}
    assert half.network_.module.encoder.dtype == torch.float32
    np.testing.assert_allclose(half.loss_curve_, full.loss_curve_, atol=1e-3)
    assert np.abs(half.loss_curve_ - full.loss_curve_).max() > 1e-7


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradient_checkpointing_changes_nothing_but_the_time(small, learnable, precision):
    X, y = learnable
    curves = []
    for wanted in (False, True):
        look = Look(_checkpointing)
        settings = {"gradient_checkpointing": wanted, "precision": precision}
        model = small(**settings, callbacks=[look]).fit(X, y)
        assert look.seen == {wanted}
        curves.append(model.loss_curve_)
    np.testing.assert_allclose(*curves, atol=1e-5)


class Dropouts(Callback):
    """Look at the shares that are dropped while an encoder and its heads learn."""

    def on_batch_begin(self, net, **kwargs):
        self.shares = [
            {part.p for part in module.modules() if isinstance(part, torch.nn.Dropout)}
            for module in (net.module_.encoder, net.module_.heads)
        ]


@pytest.mark.parametrize("lora_rank", [None, 2])
def test_an_encoder_learns_without_dropout_and_its_heads_with_some(small, learnable, lora_rank):
    look = Dropouts()
    small(callbacks=[look], n_epochs=1, lora_rank=lora_rank).fit(*learnable)
    encoder, heads = look.shares
    assert encoder == {0.0} and 0.1 in heads


class CountParts(Callback):
    def on_train_begin(self, net, **kwargs):
        self.counts = set()

    def on_batch_begin(self, net, batch, training, **kwargs):
        if training:
            self.counts.add(len(batch.parts))


def test_parts_of_a_step_add_up(small, learnable, monkeypatch):
    """One large batch, its parts on a CPU and its pieces accumulated make the same steps."""
    X, y = learnable
    settings = {"validation_fraction": 0.0, "n_epochs": 3, "warmup": 0.0, "max_grad_norm": None}
    counting = CountParts()
    monkeypatch.setattr(_device, "_KEPT_TOKENS", 10**6)
    whole = small(batch_tokens=10**6, callbacks=[counting], **settings).fit(X, y)
    assert counting.counts == {1}
    monkeypatch.setattr(_device, "_KEPT_TOKENS", 600)
    parts = small(batch_tokens=10**6, callbacks=[counting], **settings).fit(X, y)
    assert min(counting.counts) > 4
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, atol=1e-4)
    pieces = small(batch_tokens=600, accumulate=10**6, **settings).fit(X, y)
    assert len(whole.loss_curve_) == len(pieces.loss_curve_) == 3
    np.testing.assert_allclose(pieces.loss_curve_, whole.loss_curve_, atol=1e-4)
    assert len(small(batch_tokens=600, **settings).fit(X, y).loss_curve_) > 12


def test_few_battles_make_many_steps(small, learnable):
    X, y = learnable
    auto = {"batch_tokens": "auto", "validation_fraction": 0.0, "n_epochs": 1}
    one = small(**auto).fit(X, y)
    assert 10 <= len(one.loss_curve_) <= 16
    two = small(**auto, accumulate=2).fit(X, y)
    assert abs(len(two.loss_curve_) - len(one.loss_curve_)) <= 3
    assert one.predict_proba(X).shape == (80, 3)


@pytest.fixture(scope="module")
def cut(learnable):
    """Give battles whose texts do not fit into a few tokens."""
    X, y = learnable
    X = X.assign(prompt=[f"{text} of many more words than there is room for" for text in X.prompt])
    return X, y


@pytest.fixture(scope="module")
def fit_cut(small, cut):
    """Give a function from parameters to a model that was fitted with them on `cut`."""
    return lambda **given: small(max_length=24, n_epochs=1, **given).fit(*cut)


@pytest.fixture(scope="module")
def plain(fit_cut):
    return fit_cut()


@pytest.mark.parametrize(
    "other",
    [
        {"prompt_share": 0.6},
        {"truncation": "tail"},
        {"learning_rate": 2e-3},
        {"head_learning_rate": 1e-2},
        {"weight_decay": 0.5},
        {"warmup": 0.5},
        {"schedule": "cosine"},
        {"label_smoothing": 0.2},
        {"max_grad_norm": 0.01},
        {"lora_rank": 2},
        {"freeze": 1},
        {"style_features": False},
        {"pooling": "max"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_every_parameter_reaches_the_training(fit_cut, plain, cut, other):
    changed = fit_cut(**other)
    assert not np.array_equal(plain.encode(cut[0]), changed.encode(cut[0]))
    assert not np.array_equal(plain.loss_curve_, changed.loss_curve_)


def test_what_was_cut_is_reported(plain, cut):
    expected = tokenise(cut[0], plain.network_.processor.tokenizer, max_length=24).report
    pd.testing.assert_frame_equal(plain.truncation_report_, expected)
    assert expected.loc["prompt", "cut"] == len(cut[0])


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_batches_wait_in_pinned_memory_for_cuda_alone(kind):
    plan = SimpleNamespace(batch_tokens="auto", accumulate=1)
    run = SimpleNamespace(plan=plan, workers=Workers(torch.device(kind)), seed=0)
    config = SimpleNamespace(pad_token_id=0)
    batching = _assemble._batching(run, np.array([9, 9]), False, False, config)
    assert batching.pin == (kind == "cuda")


@pytest.mark.parametrize(
    ("family", "fixed"),
    [("bert", {"lora_rank": 2}), ("gpt2", {"lora_rank": 2}), ("bert", {"freeze": 1})],
)
def test_what_is_not_trained_is_cast_once_and_changes_no_bit(
    small, learnable, monkeypatch, family, fixed
):
    """Cast as autocast does in each batch; after the fit the weights are the file's again."""
    seen, step = set(), _net.PairNet.train_step

    def see(net, batch, **kwargs):
        seen.update(p.dtype for p in net.module_.encoder.parameters() if not p.requires_grad)
        return step(net, batch, **kwargs)

    monkeypatch.setattr(_net.PairNet, "train_step", see)
    options = {"precision": "bf16", "n_epochs": 1, "gradient_checkpointing": family == "bert"}
    model = small(family, **options, **fixed).fit(*learnable)
    assert torch.bfloat16 in seen
    seen.clear()
    expected = small(family, **options, **fixed, callbacks=[Callback()]).fit(*learnable)
    assert seen == {torch.float32}  # callbacks may do with the weights what they like
    theirs = expected.network_.module.state_dict()
    for name, value in model.network_.module.state_dict().items():
        assert value.dtype == theirs[name].dtype and torch.equal(value, theirs[name]), name
    np.testing.assert_array_equal(model.loss_curve_, expected.loss_curve_)


def test_what_a_callback_changes_of_fixed_weights_stays(small, learnable):
    class Fill(Callback):
        def on_train_begin(self, net, **kwargs):
            _dense(net.module_).data.fill_(0.25)

    def _dense(module):
        return module.encoder.encoder.layer[0].output.dense.weight

    model = small(freeze=1, precision="bf16", n_epochs=1, callbacks=[Fill()]).fit(*learnable)
    assert (_dense(model.network_.module) == 0.25).all()


def test_a_validation_runs_the_encoder_uncompiled(small, learnable, monkeypatch):
    ran = []

    class Compiled:
        def __init__(self, encoder, **options):
            self.encoder, self.config = encoder, encoder.config

        def __call__(self, **inputs):
            ran.append(self.encoder.training)
            assert torch._dynamo.config.recompile_limit > 100
            return self.encoder(**inputs)

    monkeypatch.setattr(torch, "compile", Compiled)
    monkeypatch.setattr(_attention, "can_pack", lambda *args: True)
    model = small(compile=True, n_epochs=1).fit(*learnable)
    assert ran == [True] * len(model.loss_curve_)
    assert model.history_.valid_loss.notna().all()


def test_smoothed_labels_are_no_reason_to_warn(small, learnable):
    """Their training loss is above the prior's on plain labels even of a fit that learnt."""
    X, y = learnable
    same = (np.arange(len(X)) % 5 > 0) | (y == "tie")
    X = X.assign(response_b=X["response_b"].mask(same, X["response_a"]))
    settings = {"validation_fraction": 0.0, "n_epochs": 6, "label_smoothing": 0.3}
    model = small(**settings, style_features=False).fit(X, np.where(same, "tie", y))
    prior = _calibration.prior_loss(*[np.eye(3)[np.where(same, 2, 0)], np.ones(len(X))] * 2)
    assert model.loss_curve_[-5:].mean() > prior


def test_the_warning_looks_at_the_epoch_that_was_restored():
    rows = [{"batches": [_step(loss, 4, 4.0)]} for loss in (1.2, 1.0, 2.0)]
    one, two, three = ((loss, at, slice(0, 1)) for at, loss in enumerate((1.2, 1.0, 2.0)))
    assert _outcome._late_losses(rows, 1) == [one, two]
    assert _outcome._late_losses(rows, 2) == [two, three]
    assert _outcome._late_losses(rows, 3) == _outcome._late_losses(rows, -1) == [three]


def test_the_late_loss_is_that_of_its_own_battles():
    """A step of light battles has a small loss, since it is divided by the mean weight of all."""
    steps = [_step(1.0, 2, 2.0), _step(0.25 * 0.8, 2, 0.5), _step(1.75 * 1.2, 2, 3.5)]
    late = (2 * 0.25 * 0.8 + 2 * 1.75 * 1.2) / (0.5 + 3.5)
    assert _outcome._late_losses([{"batches": steps}], 1) == [(pytest.approx(late), 0, slice(1, 3))]
    assert late == pytest.approx((0.5 * 0.8 + 3.5 * 1.2) / 4)


def trained(losses, target):
    """Give what is left of a training of one battle a step, and its battles."""
    history = [{"batches": [_step(loss, 1, 1.0) for loss in losses]}]
    loader = SimpleNamespace(epochs=[[[(np.array([i]), 0)] for i in range(len(losses))]])
    plan = SimpleNamespace(label_smoothing=0.0, learning_rate=1e-4)
    net = SimpleNamespace(
        history=history,
        get_iterator=lambda data, training: loader,
        run_=SimpleNamespace(plan=plan),
        module_=SimpleNamespace(heads=SimpleNamespace(style=None)),
        n_steps_=len(losses),
    )
    rows = np.zeros((len(losses), 1))
    return net, PairData(None, None, rows, rows, rows, np.eye(3)[target], np.ones(len(losses)))


def test_the_late_loss_is_compared_with_the_shares_for_its_own_battles():
    """Half of few battles may have far more or fewer ties than all of them."""
    net, data = trained([9.0, 9.0, 0.5, 0.5], [0, 1, 2, 2])
    loss, prior = _outcome._training_loss(net, data, 1)
    assert loss == 0.5
    assert prior == pytest.approx(-np.log(0.5))  # the shares of all, on the two ties


@pytest.mark.parametrize(("above", "warns"), [(0.0005, False), (0.0015, True)])
def test_more_than_a_thousandth_above_the_shares_in_training_is_reason_to_warn(above, warns):
    net, data = trained([-np.log(0.5) + above] * 4, [0, 1, 2, 2])
    told = pytest.warns(ArenaWarning, match="training log loss") if warns else nullcontext()
    with told:  # any other warning is an error
        _outcome._warn_if_no_better(net, data, None, None, 1)


def test_a_fit_is_better_than_the_shares_if_one_half_says_so():
    """The second half of the best epoch, or of the next, which began with its weights."""
    prior = -np.log(0.5)
    net, data = trained([prior + 0.1] * 4, [0, 1, 2, 2])
    net.history += trained([prior - 0.1] * 4, [0, 1, 2, 2])[0].history
    net.get_iterator(data, training=True).epochs *= 2
    _outcome._warn_if_no_better(net, data, None, None, 1)  # a warning would be an error here
    with pytest.warns(ArenaWarning, match="training log loss"):
        net.history.pop()
        _outcome._warn_if_no_better(net, data, None, None, 1)


def test_the_held_out_loss_that_is_told_is_that_of_the_predictions(small, learnable):
    X, y = learnable
    noise = np.random.default_rng(0).permutation(y)
    model = small(validation_fraction=0.5, temperature=0.3, n_epochs=1)
    with pytest.warns(ArenaWarning, match="held-out log loss") as warned:
        model.fit(X, noise)
    learnt_from, held_out = split_of(model, X)
    expected = log_loss(noise[held_out], model.predict_proba(X.iloc[held_out]))
    shares = (noise[learnt_from, None] == model.classes_).mean(0)
    shares[:2] = shares[:2].mean()
    prior = -np.log(shares[np.searchsorted(model.classes_, noise[held_out])]).mean()
    assert f"log loss {expected:.4f}, against {prior:.4f}" in str(warned[0].message)


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_a_fit_begins_at_the_shares_of_what_it_learns_from(small, learnable, fraction):
    """Its first step has all battles, which count by their weight; a and b are alike."""
    X, y = learnable
    weight = np.linspace(1, 3, len(y))
    settings = {"n_epochs": 1, "style_features": False, "batch_tokens": 10**6}
    model = small(validation_fraction=fraction, **settings).fit(X, y, sample_weight=weight)
    rows = split_of(model, X)[0] if fraction else np.arange(len(X))
    hot, weight = (y[rows, None] == model.classes_).astype(float), weight[rows]
    expected = _calibration.prior_loss(hot, weight, hot, weight)
    assert model.loss_curve_[0] == pytest.approx(expected, abs=1e-5)


class Graphs(Callback):
    def on_train_begin(self, net, **kwargs):
        self.seen = []

    def on_batch_end(self, net, loss=None, **kwargs):
        self.seen.append(loss.grad_fn)


def test_the_loss_that_callbacks_are_told_holds_no_graph(small, learnable):
    graphs = Graphs()
    small(n_epochs=1, callbacks=[graphs]).fit(*learnable)
    assert set(graphs.seen) == {None}


class Battles(Callback):
    """Keep the positions of each step's battles."""

    def __init__(self):
        self.seen = []

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        if training:
            self.seen.append(np.concatenate([part["positions"] for part in batch.parts]))


def _step(loss, n_battles, weight):
    return {"train_loss": loss, "train_batch_size": n_battles, "train_weight": weight}


class Rates(Callback):
    """Keep the encoder's learning rate at each step."""

    def __init__(self):
        self.seen = []

    def on_batch_end(self, net, training=None, **kwargs):
        if training:
            self.seen.append(net.optimizer_.param_groups[0]["lr"])


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_rates_rise_once_and_fall_over_all_epochs_or_stay(small, learnable, schedule):
    rates, given = Rates(), {"warmup": 0.2, "schedule": schedule}
    n_steps = len(small(callbacks=[rates], **given).fit(*learnable).loss_curve_)
    expected = [1e-3 * rate_at(step, n_steps, **given) for step in range(n_steps)]
    np.testing.assert_allclose(rates.seen, expected)


def test_constant_rates_without_warm_up_are_left_to_callbacks(small, learnable):
    rates = Rates()
    halve = LRScheduler("StepLR", step_size=1, gamma=0.5, step_every="batch")
    small(schedule="constant", warmup=0.0, callbacks=[rates, halve]).fit(*learnable)
    np.testing.assert_allclose(rates.seen, 1e-3 * 0.5 ** np.arange(len(rates.seen)))


def test_padding_by_name_reaches_the_encoder(small, learnable, monkeypatch):
    monkeypatch.setattr(
        torch, "compile", lambda *_, **__: pytest.fail("what is padded was compiled")
    )
    model = small(attention="sdpa", compile=True, n_epochs=1).fit(*learnable)
    for one in (model, pickle.loads(pickle.dumps(model))):
        assert one.network_.module.encoder.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("fraction", "where"), [(0.1, "training"), (0.5, "held-out")])
def test_few_held_out_battles_tell_nothing(small, learnable, fraction, where):
    X, y = learnable
    noise = np.random.default_rng(0).permutation(y)
    rates = {"learning_rate": 0.3, "head_learning_rate": 0.3}
    with pytest.warns(ArenaWarning, match=f"class shares: {where} log loss"):
        small(validation_fraction=fraction, n_epochs=1, **rates).fit(X, noise)


def test_long_trainings_are_worth_compiling(monkeypatch):
    encoder = torch.nn.Linear(1000, 1000, bias=False)
    encoder.embeddings = torch.nn.Embedding(1000, 5000)  # looked up, not multiplied
    data = Mock(lengths=lambda packed: np.array([10**9, 10**9]))

    def worth(compile, n_epochs):
        plan = SimpleNamespace(compile=compile, n_epochs=n_epochs)
        return _assemble._worth_compiling(plan, encoder, data)

    monkeypatch.setattr(_assemble, "can_compile", lambda: True)
    assert worth("auto", 1)
    assert not worth("auto", 0.5)
    assert worth(False, 2) is False
    monkeypatch.setattr(_assemble, "can_compile", lambda: False)
    assert not worth("auto", 2)


def test_the_validation_counts_battles_by_their_weight(small, learnable):
    X, y = learnable
    weight = np.where(y == "tie", 5.0, 1.0)
    model = small(validation_fraction=0.3, n_epochs=4, temperature=1.0)
    model.fit(X, y, sample_weight=weight)
    _, held_out = split_of(model, X)
    proba = model.predict_proba(X.iloc[held_out])
    expected = log_loss(y[held_out], proba, sample_weight=weight[held_out])
    assert model.history_.valid_loss.min() == pytest.approx(expected, abs=1e-5)


def test_the_predictors_are_weighed_on_the_prompts_that_were_held_out(small, learnable):
    X, y = learnable
    model = small(validation_fraction=0.5, learning_rate=3e-3, n_epochs=4).fit(X, y)
    learnt_from, held_out = split_of(model, X)
    network, held = model.network_, X.iloc[held_out]
    data = network.processor.transform(held, model._options())
    vectors = model.encode(held)
    data.rows = np.arange(2 * len(held)).reshape(-1, 2)
    logits = logits_of(network.module, vectors.reshape(-1, vectors.shape[-1]), data)
    hot = (y[held_out, None] == model.classes_).astype(float)
    told = hot, np.ones(len(held)), prompt_groups(held)
    expected = _calibration.fit_weights(logits, *told, share=len(learnt_from) / 1000)
    np.testing.assert_allclose(network.weights, expected, atol=2e-4)
    default = _calibration.default_weights(3, len(learnt_from) / 1000)
    assert np.abs(network.weights - default).max() > 1e-3


def test_without_battles_to_weigh_them_on_the_predictors_have_default_weights(small, learnable):
    X, y = learnable
    found = small(validation_fraction=0.0, n_epochs=1).fit(X, y).network_.weights
    assert found.tolist() == _calibration.default_weights(3, len(X) / 1000).tolist()
    assert small(style_features=False).fit(X, y).network_.weights.tolist() == [1.0]


def test_the_seed_draws_the_prompts_that_are_held_out():
    X, target = _battles([f"p{number}" for number in range(60)]), np.eye(3)[np.arange(60) % 3]
    one, again, other = (split(X, target, 0.2, seed)[1].tolist() for seed in (1, 1, 2))
    assert one == again != other


class Heads(Callback):
    """Keep the types of the logits."""

    def on_train_begin(self, net, **kwargs):
        self.seen = set()
        heads = net.module_.heads
        self.hook = heads.register_forward_hook(lambda *call: self.seen.add(call[-1].dtype))

    def on_train_end(self, net, **kwargs):
        self.hook.remove()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_heads_stay_in_float32_when_the_encoder_does_not(small, learnable, precision):
    heads = Heads()
    small(precision=precision, n_epochs=1, callbacks=[heads]).fit(*learnable)
    assert heads.seen == {torch.float32}


class Norms(Callback):
    """Keep the size of the gradients that callbacks are shown."""

    def __init__(self):
        self.seen = []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        gradients = [p.grad for _, p in named_parameters if p.grad is not None]
        self.seen.append(float(torch.nn.utils.get_total_norm(gradients)))


def test_a_sparse_gradient_changes_nothing_but_the_time(small, learnable, monkeypatch):
    """Processes, clipping, callbacks and the optimizer get all of it; onlookers change nothing."""
    made, summed = [], []

    def make_dense(parameters):
        made.append(any(p.grad is not None and p.grad.is_sparse for p in parameters))
        _device.make_dense(parameters)

    def sum_gradients(workers, parameters):
        summed.append(any(p.grad is not None and p.grad.is_sparse for p in parameters))

    monkeypatch.setattr(_net, "make_dense", make_dense)
    monkeypatch.setattr(Workers, "sum_gradients", sum_gradients)
    model = small(n_epochs=1, accumulate=2)
    usual = model.fit(*learnable).decision_function(learnable[0])
    assert not any(made)
    n_words = model.network_.module.encoder.get_input_embeddings().num_embeddings
    monkeypatch.setattr(_device, "_SMALL", n_words - 1)
    found = model.fit(*learnable).decision_function(learnable[0])
    np.testing.assert_allclose(found, usual, atol=1e-4)
    assert any(made)
    assert not any(summed)
    watched = model.set_params(training__callbacks=[Norms()]).fit(*learnable)
    np.testing.assert_array_equal(watched.decision_function(learnable[0]), found)


class Hook(Callback):
    """Looks at each gradient where it is made, as hooks of torch may, and leaves it as it is."""

    def __init__(self, register):
        self.register = register

    def on_train_begin(self, net, **kwargs):
        self.layouts = set()
        for parameter in filter(lambda p: p.requires_grad, net.module_.parameters()):
            getattr(parameter, self.register)(self.clamp)

    def clamp(self, tensor):
        gradient = tensor if tensor.grad is None else tensor.grad
        self.layouts.add(gradient.layout)
        gradient.clamp(-1e-3, 1e-3)


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
def test_callbacks_may_hook_every_gradient(small, learnable, monkeypatch, register):
    monkeypatch.setattr(_device, "_SMALL", 8)
    hook = Hook(register)
    small(n_epochs=1, callbacks=[hook]).fit(*learnable)
    assert hook.layouts == {torch.strided}


def test_gradients_are_clipped_and_shown_without_the_scale_of_half_precision(small, learnable):
    norms = {}
    for precision in ("fp32", "fp16"):
        look = Norms()
        small(precision=precision, n_epochs=1, callbacks=[look]).fit(*learnable)
        norms[precision] = look.seen[0]
    assert norms["fp16"] == pytest.approx(norms["fp32"], rel=0.2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["training", "validation"])
def test_a_loss_that_is_no_number_is_told_as_such(small, learnable, kind, precision):
    class Spoil(Callback):
        def on_batch_begin(self, net, training=None, **kwargs):
            if training == (kind == "training") and net.step_ >= 2:
                net.module_.heads.text.prefer[-1].bias.data.fill_(np.nan)

    settings = {"n_epochs": 1, "precision": precision, "style_features": False}
    with pytest.raises(ArenaError, match=f"The {kind} loss became nan before step") as error:
        small(callbacks=[Spoil()], **settings).fit(*learnable)
    assert ("precision='fp32'" in str(error.value)) == (precision == "bf16")


def test_gradients_and_their_checkpointing_end_with_the_training(small, learnable):
    model = small(gradient_checkpointing=True, n_epochs=1).fit(*learnable)
    assert all(parameter.grad is None for parameter in model.network_.module.parameters())
    assert not _checkpointing(model.network_.module.encoder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gradients_have_a_scale_only_where_small_ones_would_vanish(dtype):
    run = _net.Run(None, Mock(device=torch.device("cpu")), 0, dtype, None, 1.0)
    assert run.scaler.is_enabled() == (dtype == torch.float16)


class FirstIsBest(Callback):
    """Records a score that is best after the first epoch, and the weights of each."""

    def on_train_begin(self, net, **kwargs):
        self.weights_ = []

    def on_epoch_end(self, net, **kwargs):
        first = not self.weights_
        self.n_steps_ = net.n_steps_
        net.history.record("score", 0.0 if first else 1.0)
        net.history.record("score_best", first)
        self.weights_.append([value.clone() for value in net.module_.parameters()])


# skorch warns when Checkpoint loads weights into a net that was told no device; PairNet never is.
@pytest.mark.filterwarnings("ignore:Setting self.device:skorch.exceptions.DeviceWarning")
@pytest.mark.parametrize("kind", ["stopping", "checkpoint"])
def test_callbacks_that_load_weights_do_not_replace_the_best_epoch(
    small, learnable, tmp_path, kind
):
    if kind == "stopping":
        loads = EarlyStopping(monitor="score", patience=9, load_best=True)
    else:
        files = dict.fromkeys(["f_optimizer", "f_criterion"])
        loads = Checkpoint(monitor="score_best", dirname=tmp_path, load_best=True, **files)
    first = FirstIsBest()
    model = small(callbacks=[first, loads], n_epochs=3, validation_fraction=0.2, patience=None)
    model.fit(*learnable)
    losses = model.history_["valid_loss"]
    assert len(losses) == len(first.weights_) == 3
    assert losses.argmin() == 2
    assert len(model.loss_curve_) == first.n_steps_
    for now, best in zip(model.network_.module.parameters(), first.weights_[2], strict=True):
        assert torch.equal(now, best)
