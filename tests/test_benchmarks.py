"""What the benchmarks compute, on battles made here."""

import argparse
import json
import pathlib
import runpy
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers.trainer
from memory import Memory
from sklearn.metrics import log_loss
from tiny_encoders import make_tiny_encoder

from arena_estimators import make_battles, prompt_groups
from benchmarks import _battles, _bert_speed, _harness, _rows, bench_bert, bench_learning_curve
from benchmarks.bench_tfidf import measured


def test_the_interval_is_of_prompts_drawn_again_and_of_a_mean_over_battles():
    groups = np.repeat(np.arange(40), 25)
    effects = np.random.default_rng(0).normal(size=40)
    low, high = _rows.interval(effects[groups], groups)
    error = effects.std() / 40**0.5
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert (high + low) / 2 == pytest.approx(effects.mean(), abs=0.1 * error)
    uneven = np.repeat(np.arange(40), [1, 9] * 20)
    assert _rows.interval(np.where(uneven % 2 == 0, 1.0, 0.0), uneven)[1] < 0.3  # about 0.1


def test_a_difference_is_positive_where_the_row_loses_more():
    said = _rows.difference(np.array([2.0, 3.0]), np.array([1.0, 2.0]), np.array([7, 3]))
    assert said == "+1.0000 (+1.0000 to +1.0000)"


def test_losses_are_scikit_learns():
    classes, y = np.array(["model_a", "model_b", "tie"]), np.array(["tie", "model_a", "model_b"])
    proba = np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    losses = _rows.losses_of(proba, classes, y)
    assert losses[:2] == pytest.approx(-np.log([0.7, 0.5]))
    assert losses.mean() == pytest.approx(log_loss(y, proba, labels=classes))


@pytest.mark.parametrize("n_folds", [1, 5])
def test_each_battle_is_predicted_by_a_model_that_has_not_seen_its_prompt(n_folds):
    data = make_battles(200, random_state=0)
    found = _rows.out_of_fold(Memory, data.X, data.y, n_folds)
    tested = found["tested"]
    assert len(set(tested)) == len(tested) and (len(tested) == 200) == (n_folds == 5)
    np.testing.assert_allclose(found["losses"], np.log(3))


def test_a_learning_curve_ends_with_what_all_battles_teach(monkeypatch):
    data = make_battles(200, random_state=0)
    monkeypatch.setattr(_rows, "read", lambda options: (data.X, data.y))
    found = bench_learning_curve.evaluate("class prior", None)
    whole = _rows.out_of_fold(_battles.prior, data.X, data.y)
    np.testing.assert_array_equal(found["tested"], whole["tested"])
    np.testing.assert_allclose(found["all"], whole["losses"])
    assert found["mean all"] == pytest.approx(found["all"].mean(), abs=0.01)
    assert not np.allclose(found["100"], found["all"])


@pytest.fixture
def on_tiny_scale(tmp_path, monkeypatch):
    """Let bench_bert measure battles made here, for an instant and on the CPU; give them."""
    data = make_battles(60, random_state=0)
    for module in (_bert_speed, bench_bert):
        monkeypatch.setattr(module, "GPU", False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(_bert_speed, "WARM_UP", 1)
    best = {"bf16": True, "train_sampling_strategy": "group_by_length"}
    monkeypatch.setattr(_bert_speed, "BEST", best)
    monkeypatch.setattr(_bert_speed, "SIZE", 64)
    monkeypatch.setattr(_bert_speed, "N_STEPS", dict.fromkeys([True, False], (3, 8)))
    monkeypatch.setattr(_harness, "RESULTS", tmp_path)
    # The folder of these tests that has the same name as a package is not that package.
    monkeypatch.setattr(transformers.trainer, "is_datasets_available", lambda: False)
    monkeypatch.setattr(bench_bert, "first_fold", lambda folder: (data.X, data.y, None, None))
    monkeypatch.setattr(bench_bert, "load_arena", lambda file, **options: data)
    return data


@pytest.mark.slow
# So short a fit of random weights may learn nothing; it is timed.
@pytest.mark.filterwarnings("ignore:The fit is no better:arena_estimators.exceptions.ArenaWarning")
def test_training_is_compared_with_the_trainers_on_the_same_battles(on_tiny_scale, tmp_path):
    encoder = make_tiny_encoder("bert", tmp_path / "bert")
    rows = bench_bert.train_speed(None, encoder, n_battles=60, profile=False)
    assert len(rows) == 4
    lengths = [row["tokens/s"] / row["pairs/s"] for row in rows]
    assert max(lengths) < 1.2 * min(lengths)
    for row in rows:
        assert row["pairs/s"] > 0 and row["share of matrix rate"] > 0
    assert "| Trainer, best setting |" in (tmp_path / "bench_bert_train.md").read_text()


@pytest.mark.slow
def test_ways_of_predicting_give_the_same_vectors(on_tiny_scale, tmp_path):
    encoder = make_tiny_encoder("bert", tmp_path / "bert")
    rows = bench_bert.predict_speed(tmp_path, encoder, n_texts=40, rounds=1)
    assert {row["reads"] for row in rows} == {"each response", "both at once"}
    for row in rows:
        if row["computed in"] == "float32":
            assert row["largest difference"] < 1e-5
        assert row["pairs/s"] > 0


def test_some_battles_are_whole_prompts():
    data = make_battles(300, random_state=0)
    X, y = _battles.some(data.X, data.y, 100)
    assert 50 < len(X) < 150
    groups, rows = prompt_groups(data.X), data.X.index.get_indexer(X.index)
    assert not set(groups[rows]) & set(np.delete(groups, rows))
    assert (y == data.y[rows]).all()


def test_differences_by_hand_are_signed_and_absolute():
    X = make_battles(60, random_state=0).X
    D = _battles.HandComposedDifferences().fit_transform(X).toarray()
    n = D.shape[1] // 2
    np.testing.assert_array_equal(D[:, n:], abs(D[:, :n]))
    again = _battles.HandComposedDifferences().fit(X).transform(X).toarray()
    np.testing.assert_array_equal(D, again)


def test_a_report_is_kept_in_two_formats(tmp_path, monkeypatch):
    monkeypatch.setattr(_harness, "RESULTS", tmp_path)
    _harness.report("name", [{"a": 1.23456}, {"b": "text"}], "A note.")
    assert "| 1.235 |  |\n|  | text |" in (tmp_path / "name.md").read_text(encoding="utf-8")
    rows = json.loads((tmp_path / "name.json").read_text())["rows"]
    assert rows == [{"a": 1.23456}, {"b": "text"}]


@pytest.fixture
def no_proc(monkeypatch):
    """Hide what Linux tells of processes in files."""

    def missing(path, *arguments, **options):
        raise FileNotFoundError(path)

    monkeypatch.setattr(pathlib.Path, "exists", lambda path: False)
    monkeypatch.setattr(pathlib.Path, "read_text", missing)
    monkeypatch.setattr(pathlib.Path, "write_text", missing)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such function")
def test_memory_is_measured_in_mebibytes_on_a_mac_too(no_proc, monkeypatch):
    used = argparse.Namespace(ru_maxrss=300 * 2**20)
    monkeypatch.setattr(_harness.resource, "getrusage", lambda who: used)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _harness.peak_memory() == 300
    used.ru_maxrss = 300 * 2**10
    monkeypatch.setattr(sys, "platform", "linux")
    assert _harness.peak_memory() == 300


def test_benchmarks_run_where_the_system_tells_no_memory(no_proc, monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert runpy.run_path(_harness.__file__)["peak_memory"]() == 0
    seconds, cpu, mebibytes = measured(sum)([1, 2])
    assert seconds >= 0 and cpu >= 0 and mebibytes >= 0


@pytest.mark.parametrize(
    "read", [_harness.data_folder, lambda argv: _rows.arguments(argv, "table", ["row"], "What?")]
)
def test_a_mistyped_folder_is_named(read, tmp_path, capsys):
    assert read(["--data", str(tmp_path)]) is not None
    with pytest.raises(SystemExit):
        read(["--data", str(tmp_path / "none")])
    assert f"no such folder: {tmp_path / 'none'}" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_takes_a_folder_with_spaces():
    command = ["make", "--dry-run", "--no-print-directory", "bench", "DATA=/some where/data"]
    root = pathlib.Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert shlex.split(done.stdout.splitlines()[-1])[-2:] == ["--data", "/some where/data"]
