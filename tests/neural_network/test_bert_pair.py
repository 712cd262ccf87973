import json
import pickle
import re
import shutil
import subprocess
import sys
import weakref
from unittest.mock import Mock

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from bert_pairs import bert_pair, split_of
from scipy.special import softmax
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import InvalidParameterError
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    LRScheduler,
    PrintLog,
    TrainEndCheckpoint,
    Unfreezer,
)
from tiny_encoders import FAMILIES
from tqdm.auto import tqdm

from arena_estimators import swap, swap_proba
from arena_estimators._encoder import _texts
from arena_estimators._encoder._load import load_encoder
from arena_estimators.exceptions import (
    ArenaError,
    ArenaWarning,
    ResourceNotFoundError,
)
from arena_estimators.neural_network.model import _prediction


class KeepWeights(Callback):
    """Copy the weights at the end of each epoch."""

    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, net, **kwargs):
        named = net.module_.named_parameters()
        self.epochs.append({name: value.detach().clone() for name, value in named})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_swaps_exactly_and_survives_pickle(small, learnable, family):
    X, y = learnable
    rates = {"learning_rate": 1e-2, "head_learning_rate": 1e-2}
    model = small(family, style_features=False, n_epochs=3, **rates).fit(X, y)
    proba = model.predict_proba(X)
    assert log_loss(y, proba) < 0.95
    before = load_encoder(model.encoder).state_dict()
    for name, value in model.network_.module.encoder.state_dict().items():
        assert not (value.is_floating_point() and torch.equal(value, before[name])), name
    np.testing.assert_array_equal(model.predict_proba(swap(X)), swap_proba(proba))
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), proba)
    np.testing.assert_array_equal(loaded.predict(X), model.classes_[proba.argmax(1)])


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_cross_learns_and_average_swaps_exactly(small, learnable, family):
    X, y = learnable
    alone = {"style_features": False, "validation_fraction": 0.0}
    rates = {"learning_rate": 3e-3, "head_learning_rate": 3e-3, "n_epochs": 6}
    model = small(family, architecture="cross", max_length=96, **alone, **rates).fit(X, y)
    proba = model.predict_proba(X)
    assert log_loss(y, proba) < 1.0
    np.testing.assert_array_equal(model.predict_proba(swap(X)), swap_proba(proba))


def test_the_text_alone_is_learnt(small, learnable):
    """Without style features the encoder has to find the good words itself."""
    X, y = learnable
    model = small(style_features=False, n_epochs=6, learning_rate=3e-3).fit(X, y)
    assert log_loss(y, model.predict_proba(X)) < 0.8


def test_a_fitted_network_predicts_as_it_was_fitted(small, learnable):
    X, y = learnable
    model = small().fit(X, y)
    expected = model.predict_proba(X)
    model.set_params(architecture="cross", pooling="cls", style_features=False)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    with pytest.raises(ArenaError, match="at most 514"):
        model.set_params(max_length=4000).predict_proba(X)


def test_a_misspelt_parameter_set_after_fit_is_refused(fitted, learnable):
    X, _ = learnable
    model = fitted(architecture="cross", max_length=96).set_params(attention="pack")
    for use in (model.predict_proba, model.encode, model.decision_function):
        with pytest.raises(InvalidParameterError, match="attention"):
            use(X)


def test_an_unknown_truncation_is_refused(small, learnable):
    with pytest.raises(InvalidParameterError, match="truncation"):
        small(truncation="left").fit(*learnable)


def test_a_fit_warns_of_text_that_the_tokenizer_does_not_know(small, learnable):
    X, y = learnable
    with pytest.warns(ArenaWarning, match=r"\d\d% of the tokens are unknown to the encoder's"):
        small(freeze="encoder", n_epochs=1).fit(X.assign(response_a="中文 " * 40), y)


def test_two_classes(small, learnable):
    X, y = learnable
    decided = y != "tie"
    model = small(n_epochs=1).fit(X[decided], y[decided])
    proba = model.predict_proba(X)
    assert model.classes_.tolist() == ["model_a", "model_b"]
    assert proba.shape == (len(X), 2)
    gap = model.decision_function(X)
    np.testing.assert_array_equal(gap > 0, proba[:, 1] > proba[:, 0])
    np.testing.assert_array_equal(model.predict_proba(swap(X)), proba[:, ::-1])


def test_soft_labels_that_are_certain_equal_hard_ones(small, fitted, learnable):
    X, y = learnable
    hard = fitted()
    soft = small().fit(X, (y[:, None] == hard.classes_).astype(float))
    assert soft.classes_.tolist() == hard.classes_.tolist()
    np.testing.assert_array_equal(soft.predict_proba(X), hard.predict_proba(X))


def test_soft_labels_are_not_rounded(small, learnable):
    X, y = learnable
    a_wins, b_wins = [0.4, 0.1, 0.5], [0.1, 0.4, 0.5]  # even here a tie is the likeliest
    soft = np.select(
        [(y == "model_a")[:, None], (y == "model_b")[:, None]], [a_wins, b_wins], 1 / 3
    )
    proba = small(n_epochs=8, learning_rate=3e-3).fit(X, soft).predict_proba(X)
    assert proba.mean(0) == pytest.approx(soft.mean(0), abs=0.1)
    assert proba[y == "model_a", 0].mean() > proba[y == "model_b", 0].mean()


def test_the_temperature_is_that_of_the_held_out_battles(small, learnable):
    X, y = learnable
    model = small(validation_fraction=0.5, learning_rate=3e-3, n_epochs=12).fit(X, y)
    _, held_out = split_of(model, X)
    n_prompts = X["prompt"].iloc[held_out].nunique()

    def loss(temperature):
        model.network_.temperature = temperature
        summed = n_prompts * log_loss(y[held_out], model.predict_proba(X.iloc[held_out]))
        return summed + (np.log(temperature) / 0.3) ** 2 / 2  # a little towards 1

    best = model.network_.temperature
    assert abs(best - 1) > 0.05
    others = [loss(best * factor) for factor in (0.5, 0.8, 0.95, 1.05, 1.25, 2.0)]
    assert loss(best) < min(others)


def test_the_temperature_divides_the_logits(small, learnable):
    X, y = learnable
    sharp, flat = (
        small(temperature=value, n_epochs=1).fit(X, y).predict_proba(X) for value in (1.0, 2.0)
    )
    np.testing.assert_allclose(flat, softmax(np.log(sharp) / 2, axis=1), atol=1e-9)


def test_folds_and_candidates_share_what_is_tokenised(small, learnable, monkeypatch):
    X, y = learnable
    _texts.clear_cache()
    tokenise = Mock(wraps=_texts.raw_ids)
    monkeypatch.setattr(_texts, "raw_ids", tokenise)
    model, grid = small(n_epochs=4), {"pooling": ["mean", "cls"]}
    GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y).predict(X)
    read = [text for call in tokenise.call_args_list for text in call.args[0]]
    assert len(read) == len(set(read)) == len(set(X.to_numpy().ravel()))


def test_another_process_predicts_the_same(small, learnable, tmp_path):
    X, y = learnable
    model = small(lora_rank=2).fit(X, y)
    joblib.dump((model, X), tmp_path / "model.joblib")
    code = (
        "import sys, joblib, numpy; model, X = joblib.load(sys.argv[1] + '/model.joblib');"
        "numpy.save(sys.argv[1] + '/proba.npy', model.predict_proba(X))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "proba.npy"), model.predict_proba(X), atol=1e-6)


def test_weight_zero_leaves_a_battle_out(small, learnable):
    X, y = learnable
    weight = np.repeat([1.0, 0.0], [60, 20])
    weighted = small().fit(X, y, sample_weight=weight)
    expected = small().fit(X[:60], y[:60])
    np.testing.assert_array_equal(weighted.predict_proba(X), expected.predict_proba(X))
    with pytest.raises(ValueError, match="non-zero|at least one must count"):
        small().fit(X, y, sample_weight=np.zeros(80))


@pytest.mark.parametrize("scale", [2.0**-300, 2.0**300])
def test_the_scale_of_weights_does_not_matter(small, learnable, scale):
    X, y = learnable
    weight = np.where(y == "tie", 4.0, 1.0)
    model = small().fit(X, y, sample_weight=weight * scale)
    expected = small().fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


def test_weights_may_differ_by_more_than_float32_holds(small, learnable):
    X, y = learnable
    weight = np.where(np.arange(80) < 70, 1e-100, 1e100)
    proba = small().fit(X, y, sample_weight=weight).predict_proba(X)
    assert np.isfinite(proba).all()


@pytest.mark.parametrize("held_out", [False, True])
def test_each_side_of_the_split_has_a_scale_of_its_own(small, fitted, learnable, held_out):
    X, y = learnable
    model = fitted()
    weight = np.ones(len(X))
    weight[split_of(model, X)[held_out]] = 1e-320
    light = small().fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(light.predict_proba(X), model.predict_proba(X))
    assert light.network_.temperature == model.network_.temperature


def test_light_battles_count_less_even_where_they_are_alone_in_a_step(small, learnable):
    X, y = learnable
    light = y != "tie"
    weight = np.where(light, 1e-6, 1.0)
    ties = small(batch_tokens=1, n_epochs=1).fit(X, y, sample_weight=weight).predict_proba(X)[:, 2]
    assert ties.mean() > 0.8


def test_weights_matter(small, fitted, learnable):
    X, y = learnable
    weight = np.where(y == "tie", 5.0, 1.0)
    heavy = small().fit(X, y, sample_weight=weight).predict_proba(X)
    assert heavy[:, 2].mean() > fitted().predict_proba(X)[:, 2].mean() + 0.1


def test_same_seed_same_weights_and_another_seed_others(small, fitted, learnable):
    X, y = learnable
    first = fitted()
    with torch.random.fork_rng():
        torch.manual_seed(5)  # what torch drew before does not matter
        again = small().fit(X, y)
    np.testing.assert_array_equal(first.encode(X), again.encode(X))
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    assert not np.array_equal(first.encode(X), small(random_state=1).fit(X, y).encode(X))


def test_fit_leaves_the_global_random_state_alone(small, learnable):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    small(n_epochs=1).fit(*learnable)
    assert torch.rand(1) == expected


def test_a_fit_on_the_cpu_leaves_the_random_state_of_gpus_alone(small, learnable, monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    small(device="cpu", n_epochs=1).fit(*learnable)
    assert seeds == []


def test_a_prediction_does_not_depend_on_its_neighbours(fitted, learnable):
    X, _ = learnable
    model = fitted()
    alone = np.concatenate([model.predict_proba(X.iloc[[row]]) for row in range(5)])
    np.testing.assert_allclose(alone, model.predict_proba(X)[:5], atol=1e-5)


def test_the_decision_is_the_log_of_the_probabilities(fitted, learnable):
    X, _ = learnable
    model = fitted()
    decision = model.decision_function(X)
    np.testing.assert_allclose(softmax(decision, axis=1), model.predict_proba(X), atol=1e-9)


def test_encode_gives_one_vector_a_response(fitted, learnable):
    X, _ = learnable
    model = fitted()
    vectors = model.encode(X)
    assert vectors.shape == (80, 2, 32)
    np.testing.assert_array_equal(model.encode(swap(X)), vectors[:, ::-1])


@pytest.mark.parametrize("patience", [1, 3])
def test_epochs_without_improvement_stop_and_the_best_weights_return(small, learnable, patience):
    X, y = learnable
    noise = np.random.default_rng(0).permutation(y)
    settings = {"n_epochs": 8, "learning_rate": 1e-2, "validation_fraction": 0.4}
    settings["patience"] = patience
    kept = KeepWeights()
    with pytest.warns(ArenaWarning, match="no better") as warned:
        model = small(**settings, style_features=False, callbacks=[kept]).fit(X, noise)
    n_steps = round(len(model.loss_curve_) / len(kept.epochs) * 8)
    assert f"({n_steps} optimizer steps: more with" in str(warned[0].message)
    losses = model.history_.valid_loss
    best = losses.idxmin()
    assert len(losses) == len(kept.epochs) == best + 1 + patience < 8
    for name, value in model.network_.module.named_parameters():
        assert torch.equal(value, kept.epochs[best][name])
        if name == "heads.text.prefer.1.weight":
            assert not torch.equal(value, kept.epochs[best + 1][name])


def test_what_nobody_records_is_not_monitored_before_anything_is_trained(small, learnable):
    class Watch(Callback):
        epochs = 0

        def on_epoch_begin(self, net, **kwargs):
            self.epochs += 1

        def on_epoch_end(self, net, **kwargs):
            net.history.record("mine", 1.0)

    watch = Watch()
    with pytest.raises(ArenaError, match="no battles are held out"):
        small(callbacks=[EarlyStopping(), watch], validation_fraction=0.0).fit(*learnable)
    assert watch.epochs == 0
    misspelt = EarlyStopping(monitor="val_loss")
    with pytest.raises(ArenaError, match="'val_loss', which no .* 'train_loss' or 'valid_loss'"):
        small(callbacks=[misspelt]).fit(*learnable)
    with pytest.raises(ArenaError, match="'val_loss', which no .* monitor 'train_loss'\\."):
        small(callbacks=[misspelt], validation_fraction=0.0).fit(*learnable)
    small(callbacks=[watch, EarlyStopping(monitor="mine", patience=1)]).fit(*learnable)
    assert watch.epochs == 2
    with pytest.raises(KeyError, match="val_loss"):
        small(callbacks=[watch, misspelt]).fit(*learnable)


# Shuffled labels teach nothing that lasts: whether the fit beats the prior by them is chance.
@pytest.mark.filterwarnings("ignore:The fit is no better:arena_estimators.exceptions.ArenaWarning")
def test_without_patience_all_epochs_run(small, learnable):
    X, y = learnable
    noise = np.random.default_rng(0).permutation(y)
    model = small(n_epochs=4, learning_rate=1e-2, patience=None, style_features=False).fit(X, noise)
    assert len(model.history_) == 4


def test_history_and_loss_curve(small, learnable):
    model = small(accumulate=2).fit(*learnable)
    assert model.history_.columns.tolist() == ["epoch", "train_loss", "valid_loss", "seconds"]
    assert model.history_.epoch.tolist() == [1, 2]
    assert model.history_.notna().all().all()
    assert model.loss_curve_[-3:].mean() < model.loss_curve_[:3].mean()
    assert model.truncation_report_.index.tolist() == ["prompt", "response_a", "response_b"]


def test_nothing_is_held_out_when_told_or_when_prompts_cannot_be_split(small, learnable):
    X, y = learnable
    for model, frame in [
        (small(validation_fraction=0.0, verbose=1, n_epochs=1), X),
        (small(n_epochs=1), X.assign(prompt="the same")),
    ]:
        model.fit(frame, y)
        assert model.history_.valid_loss.isna().all()
        assert model.network_.temperature == 1.0
    assert small(temperature=2.0, n_epochs=1).fit(X, y).network_.temperature == 2.0


def test_skorch_callbacks_are_called_and_kept(small, learnable):
    class Count(Callback):
        def __init__(self):
            self.steps = self.epochs = 0

        def on_batch_end(self, net, training=None, **kwargs):
            self.steps += bool(training)

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

    counted = Count()
    model = small(callbacks=[counted]).fit(*learnable)
    assert counted.epochs == 2
    assert counted.steps == len(model.loss_curve_)
    assert model.training.callbacks == [counted]


def on_batches(model, function):
    """Call a function with the token ids of each batch that a fitted encoder is given."""
    model.network_.module.encoder.register_forward_pre_hook(
        lambda module, given, named: function(named["input_ids"]), with_kwargs=True
    )


@pytest.mark.parametrize(
    ("error", "seen"),
    [(KeyboardInterrupt, KeyboardInterrupt), (torch.OutOfMemoryError, ArenaError)],
)
def test_a_prediction_that_fails_frees_the_device(fitted, learnable, monkeypatch, error, seen):
    model, freed = fitted().set_params(precision="bf16"), []
    on_batches(model, Mock(side_effect=error))
    monkeypatch.setattr("arena_estimators._encoder._placement.free", freed.append)
    with pytest.raises(seen):
        model.predict_proba(learnable[0])
    assert freed == [torch.device("cpu")]


def test_the_last_epoch_counts_when_a_callback_stops_after_it(small, learnable):
    kept, stop = KeepWeights(), EarlyStopping(threshold=10.0, threshold_mode="abs", patience=1)
    model = small(callbacks=[kept, stop], n_epochs=4).fit(*learnable)
    first, second = model.history_.valid_loss
    assert second < first
    for name, value in model.network_.module.named_parameters():
        assert torch.equal(value, kept.epochs[1][name])


def test_verbose_shows_progress(small, learnable, capsys, monkeypatch):
    monkeypatch.setattr(_texts, "tqdm", lambda **options: tqdm(**{**options, "delay": 0}))
    model = small(verbose=1, n_epochs=1).fit(*learnable)
    said = capsys.readouterr()
    assert said.out.count("sequences padded") == 1
    assert "tokenise" in said.err
    assert "pair/s" in said.err
    assert re.search(r"/\d+ \[\d\d:\d\d<\d\d:\d\d, ", said.err)  # the time taken < the time left
    assert f"fit in {len(model.loss_curve_)} steps" in said.err
    assert "loss" in said.err
    model.predict(learnable[0])
    assert "encode" in capsys.readouterr().err
    model.set_params(verbose=0).predict(learnable[0])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("family", "parameters", "match"),
    [
        ("deberta-v2", {"attention": "packed"}, "attention='auto'"),
        ("deberta-v2", {"attention": "sdpa"}, "attention='sdpa' is not possible.*='auto'"),
        ("mpnet", {"attention": "sdpa"}, "attention='sdpa' is not possible.*='auto'"),
        ("mpnet", {"gradient_checkpointing": True}, "cannot do it"),
        ("bert", {"max_length": 5}, "too short"),
        ("bert", {"callbacks": [3]}, "skorch callbacks"),
    ],
)
def test_what_cannot_be_is_refused_before_texts_are_read(
    tiny, learnable, monkeypatch, family, parameters, match
):
    monkeypatch.setattr(_texts, "tokenise_texts", None)
    with pytest.raises(ArenaError, match=match):
        bert_pair(tiny(family), **parameters).fit(*learnable)


def test_a_callback_keeps_no_copy_of_the_weights(small, learnable):
    stop = EarlyStopping(load_best=True)
    small(callbacks=[stop], n_epochs=1).fit(*learnable)
    assert stop.best_model_weights_ is None


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"max_length": 4096}, "at most 514"),
        ({"max_length": 5}, "too short"),
        ({"lora_rank": 4, "freeze": "embeddings"}, "freeze=None"),
        ({"freeze": 3}, "freeze=3, but this encoder has 2 layers"),
        ({"device": "cuda"}, "this machine, which has cpu"),
        ({"device": "mps"}, "no torch device of this machine"),
        ({"device": "meta"}, "no torch device of this machine"),
        ({"device": "gpu"}, "no torch device"),
        ({"encoder": "no-such/encoder"}, "Three ways"),
        ({"callbacks": [EpochScoring("accuracy")]}, "EpochScoring scores predictions"),
        ({"callbacks": [("score", BatchScoring("accuracy"))]}, "BatchScoring scores predictions"),
        ({"callbacks": [EpochScoring]}, "EpochScoring scores predictions"),
        ({"callbacks": [Checkpoint(f_pickle="net.pkl")]}, "Pass f_pickle=None"),
        ({"callbacks": [("end", TrainEndCheckpoint(f_pickle="net"))]}, "Pass f_pickle=None"),
        ({"callbacks": [3]}, "must hold skorch callbacks"),
        ({"callbacks": [("stop",)]}, "must hold skorch callbacks"),
        ({"callbacks": [LRScheduler()]}, "Pass schedule='constant' and warmup=0"),
        ({"callbacks": [LRScheduler()], "schedule": "constant"}, "and warmup=0"),
    ],
)
def test_parameters_that_cannot_be_are_refused(small, learnable, monkeypatch, parameters, match):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(ArenaError, match=match) as error:
        model = small(**parameters)
        model.fit(*learnable)
    assert isinstance(error.value, ResourceNotFoundError) == ("encoder" in parameters)
    assert not hasattr(model, "network_")


@pytest.mark.parametrize(
    "parameters",
    [
        {"architecture": "bi"},
        {"n_epochs": 0},
        {"warmup": 2.0},
        {"freeze": 0},
        {"freeze": True},
        {"lora_rank": True},
    ],
)
def test_parameters_out_of_range_are_refused(learnable, parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        bert_pair("none", **parameters).fit(*learnable)


def test_a_loss_that_is_no_number_stops_with_advice(small, learnable):
    with pytest.raises(ArenaError, match="Lower learning_rate"):
        small(learning_rate=1e30, head_learning_rate=1e30, max_grad_norm=None).fit(*learnable)


@pytest.mark.parametrize(
    "raised",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("MPS backend out of memory (...)"),
        RuntimeError("CUDA error: out of memory"),  # of the driver, not of torch's own memory
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate ..."),
    ],
)
def test_memory_that_runs_out_is_explained(fitted, small, learnable, raised):
    activations = []

    def fail(*args):
        activation = torch.zeros(8)
        activations.append(weakref.ref(activation))
        raise raised

    class Fail(Callback):
        def on_grad_computed(self, net, **kwargs):
            fail()

    model = fitted()
    on_batches(model, fail)
    for use in (small(callbacks=[Fail()]).fit, lambda X, y: model.predict_proba(X)):
        with pytest.raises(ArenaError, match="Halve batch_tokens") as error:
            use(*learnable)
        assert activations.pop()() is None and error.value.__cause__ is raised


def test_memory_that_runs_out_names_the_tokens_that_auto_took(small, learnable):
    class Fail(Callback):
        def on_grad_computed(self, net, **kwargs):
            raise torch.OutOfMemoryError("CUDA out of memory")

    model = small(batch_tokens="auto", accumulate=2, callbacks=[Fail()])
    with pytest.raises(ArenaError, match=r"at batch_tokens=\d+, accumulate=2\. Halve"):
        model.fit(*learnable)


def test_vectors_that_are_no_numbers_are_not_predicted_with(fitted, learnable):
    """As float16 gives where an encoder's activations are large."""
    model = fitted()
    with torch.no_grad():
        next(model.network_.module.encoder.parameters()).fill_(torch.nan)
    for precision, advice in [("bf16", "precision='fp32'"), ("fp32", "weights are damaged")]:
        with pytest.raises(ArenaError, match=advice):
            model.set_params(precision=precision).predict_proba(learnable[0])


def test_odd_cells_can_be_predicted_and_no_battles_at_all(fitted, battles):
    model = fitted()
    proba = model.predict_proba(battles)
    assert proba.shape == (6, 3)
    np.testing.assert_array_equal(model.predict_proba(swap(battles)), swap_proba(proba))
    empty = model.predict_proba(battles.iloc[:0])
    assert empty.shape == (0, 3)


def test_texts_with_the_same_tokens_are_one(fitted, learnable):
    """So that a batch that ends between two of them makes no difference."""
    model, read = fitted().set_params(batch_tokens=64), []
    X = learnable[0].assign(response_b=learnable[0]["response_a"] + " ")
    on_batches(model, lambda ids: read.append(len(ids)))
    proba = model.predict_proba(X)
    assert sum(read) == len(X.drop_duplicates(["prompt", "response_a"]))
    np.testing.assert_array_equal(proba[:, 0], proba[:, 1])
    np.testing.assert_array_equal(model.predict_proba(swap(X)), swap_proba(proba))


def test_extra_columns_and_index_are_ignored(fitted, learnable):
    X, _ = learnable
    model = fitted()
    wide = X.assign(model_a="x").set_index(pd.Index(range(100, 180)))
    np.testing.assert_array_equal(model.predict_proba(wide), model.predict_proba(X))


def test_the_name_is_importable_without_loading_torch():
    code = (
        "import sys, arena_estimators; from arena_estimators import neural_network; "
        "assert 'BertPairClassifier' in dir(neural_network); "
        "assert not {'torch', 'transformers', 'skorch'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_pooling_is_what_the_encoder_says_also_after_pickle(small, learnable, tmp_path):
    X, y = learnable
    folder = shutil.copytree(small().encoder, tmp_path / "said")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    model = small(freeze="encoder", n_epochs=1).set_params(encoder=folder).fit(X, y)
    expected = small(freeze="encoder", pooling="cls", n_epochs=1).fit(X, y).encode(X)
    np.testing.assert_array_equal(model.encode(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).encode(X), expected)


def test_ctrl_c_brings_the_best_weights_back(small, learnable):
    class Interrupt(Callback):
        def on_batch_end(self, net, training=None, **kwargs):
            if training and len(net.history) == 2 and net.epoch_step_ == 2:
                raise KeyboardInterrupt

    kept = KeepWeights()
    with pytest.warns(ArenaWarning, match="best weights it had"):
        model = small(callbacks=[kept, Interrupt()]).fit(*learnable)
    (first,) = kept.epochs
    for name, value in model.network_.module.named_parameters():
        assert torch.equal(value, first[name])


def test_predictions_use_precision_and_batch_size(fitted, learnable):
    X, _ = learnable
    model, sizes = fitted(), []
    full = model.encode(X)
    on_batches(model, lambda ids: sizes.append(ids.numel()))
    half = model.set_params(precision="bf16", batch_tokens=300).encode(X)
    assert 1e-5 < np.abs(half - full).max() < 0.5
    assert 200 < max(sizes) <= 300


@pytest.mark.parametrize(
    "other", [{"prompt_share": 0.7}, {"truncation": "tail"}, {"max_length": 32}], ids=str
)
def test_predictions_use_how_texts_are_cut(fitted, learnable, other):
    X, _ = learnable
    X = X.assign(prompt=X["prompt"] + " of many more words than there is room for" * 9)
    model = fitted()
    before = model.encode(X)
    assert not np.array_equal(model.set_params(**other).encode(X), before)


def test_a_fit_on_the_gpu_in_a_worker_of_joblib_is_refused(small, learnable, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    worker = type("LokyProcess", (), {"name": "worker"})()
    monkeypatch.setattr("multiprocessing.current_process", lambda: worker)
    with pytest.raises(ArenaError, match="n_jobs=1"):
        small(device="cuda").fit(*learnable)


def test_callbacks_see_the_gradients(small, learnable):
    class Look(Callback):
        def __init__(self):
            self.seen = []

        def on_grad_computed(self, net, named_parameters, **kwargs):
            self.seen.append(sum(p.grad is not None for _, p in named_parameters))

    look = Look()
    model = small(callbacks=[look], n_epochs=1).fit(*learnable)
    assert len(look.seen) == len(model.loss_curve_)
    assert min(look.seen) > 10


def test_the_bar_says_the_validation(small, learnable, capsys):
    model = small(verbose=1).fit(*learnable)
    assert f", validation {model.history_.valid_loss[0]:.4f}" in capsys.readouterr().err


@pytest.mark.parametrize("verbose", [0, 1])
def test_callbacks_print_where_the_estimator_does(small, learnable, capsys, verbose):
    stop = EarlyStopping(threshold=10.0, threshold_mode="abs", patience=1)
    model = small(callbacks=[PrintLog(), stop], verbose=verbose, n_epochs=4).fit(*learnable)
    said = capsys.readouterr().out
    assert len(model.history_) == 2
    assert said.count(f"{model.history_.valid_loss[0]:.4f}") == verbose
    assert said.count("Stopping since valid_loss has not improved") == verbose
    assert "initializ" not in said


def test_the_bar_of_a_training_that_fails_ends_its_line(small, learnable, capsys):
    class Fail(Callback):
        def on_batch_end(self, net, **kwargs):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        small(verbose=1, callbacks=[Fail()]).fit(*learnable)
    assert caught.tb  # it keeps the net alive, so that garbage collection closes nothing
    assert capsys.readouterr().err.endswith("\n")


@pytest.mark.parametrize("architecture", ["siamese", "cross"])
def test_many_battles_are_predicted_a_part_at_a_time(fitted, learnable, monkeypatch, architecture):
    X, _ = learnable
    model = fitted(architecture=architecture, n_epochs=1)
    expected = model.predict_proba(X)
    monkeypatch.setattr(_prediction, "_ROWS", 7)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)


def test_negative_weights_are_refused(small, learnable):
    weight = np.ones(80)
    weight[3] = -1.0
    with pytest.raises(ValueError, match="Negative values"):
        small().fit(*learnable, sample_weight=weight)


# What is spoilt is no better than the shares.
@pytest.mark.filterwarnings("ignore:The fit is no better:arena_estimators.exceptions.ArenaWarning")
def test_the_best_epoch_returns_whole_when_more_was_unfrozen_after_it(small, learnable):
    seen = []

    class Remember(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append({name: p.detach().clone() for name, p in net.module_.named_parameters()})

    class Spoil(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 2:
                torch.nn.init.normal_(net.module_.heads.text.prefer[-1].weight, std=9.0)

    callbacks = [Freezer("encoder.*"), Unfreezer("encoder.*", at=2), Remember(), Spoil()]
    model = small(callbacks=callbacks, patience=None, style_features=False).fit(*learnable)
    assert model.history_.valid_loss.idxmin() == 0
    first, second = seen
    assert any(not torch.equal(first[name], second[name]) for name in first if "encoder" in name)
    for name, value in model.network_.module.named_parameters():
        assert torch.equal(value, first[name]), name
