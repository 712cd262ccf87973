"""The examples run: on battles they make themselves, fewer here, and on the competition's files."""

import importlib.util
import pathlib
import runpy

import joblib
import numpy as np
import pandas as pd
import pytest
from competition_files import write_competition_files

import arena_estimators
from arena_estimators import BertPairClassifier, make_battles, swap_inconsistency

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
COLUMNS = ["id", "winner_model_a", "winner_model_b", "winner_tie"]


@pytest.fixture
def example(monkeypatch, tmp_path):
    """Give a function that runs an example in an empty folder, with at most 100 made battles."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)

    def few(n_battles, **options):
        return make_battles(min(n_battles, 100), **options)

    monkeypatch.setattr(arena_estimators, "make_battles", few)

    def run(name, *arguments):
        return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]([*map(str, arguments)])

    return run


def check_submission(path, n_battles):
    frame = pd.read_csv(path)
    assert frame.columns.tolist() == COLUMNS
    assert len(frame) == n_battles
    np.testing.assert_allclose(frame[COLUMNS[1:]].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("blend", "temperature"),
        pytest.param("distill", "student of the blend", marks=pytest.mark.slow),
        pytest.param("grid_search", "best:", marks=pytest.mark.slow),
        pytest.param("submit_ensemble", "25,000 battles take about", marks=pytest.mark.slow),
    ],
)
def test_an_example_needs_no_files(example, capsys, name, said):
    example(name)
    out = capsys.readouterr().out
    assert "class prior" in out
    assert said in out
    check_submission("submission.csv", 100)


def test_optuna_search(example, capsys):
    pytest.importorskip("optuna", reason="pip install optuna")
    example("optuna_search", "--trials", 2)
    assert "best: {'alpha':" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["blend", "distill", "grid_search", "submit_baseline"])
def test_an_example_takes_the_competitions_files(example, tmp_path, name):
    example(name, *write_competition_files(tmp_path, 80, 9), "--out", "out.csv")
    check_submission("out.csv", 9)


@pytest.mark.slow
def test_the_ensemble_takes_the_competitions_files_and_is_saved(example, tmp_path, capsys):
    files = write_competition_files(tmp_path, 80, 9)
    example("submit_ensemble", *files, "--folds", 2, "--out", "out.csv", "--model", "m/e.joblib")
    check_submission("out.csv", 9)
    said = capsys.readouterr().out
    assert "Fitting linear, boosting, forest on 80 battles: on 2 folds" in said
    model = joblib.load("m/e.joblib")
    losses = [f"{name:<12} log loss {loss:.4f}" for name, loss in model.oof_log_loss_.items()]
    assert len(losses) == 4
    assert all(line in said for line in losses)
    test = make_battles(9, random_state=1)
    assert swap_inconsistency(model, test.X) == 0


def test_the_ensemble_takes_minilm_as_a_member(example):
    make = runpy.run_path(str(EXAMPLES / "submit_ensemble.py"))["make_ensemble"]
    members = dict(make(minilm=True).estimators)
    assert list(members) == [*dict(make().estimators), "minilm"]
    assert isinstance(members["minilm"], BertPairClassifier)


@pytest.mark.parametrize(
    "family", ["roberta", "gpt2", "t5", "deberta-v3", "modernbert", "lora-decoder"]
)
def test_a_family_is_tried_and_its_command_is_one_that_submit_bert_takes(example, capsys, family):
    if family == "lora-decoder":
        pytest.importorskip("peft", reason="pip install peft")
    example("families", "--family", family, "--battles", 40)
    said = capsys.readouterr().out
    assert "tiny model, random weights: log loss" in said
    check_command(said, family)


def test_a_family_that_lacks_a_package_says_so(example, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != "peft" and find(name))
    example("families", "--family", "lora-decoder")
    said = capsys.readouterr().out
    assert "tiny model" not in said
    assert "pip install 'arena-estimators[lora]'" in said
    check_command(said, "lora-decoder")


def check_command(said, family):
    """Hand the printed command to submit_bert and see what it would train."""
    (command,) = (line for line in said.splitlines() if "submit_bert.py" in line)
    main = runpy.run_path(str(EXAMPLES / "submit_bert.py"))["main"]
    asked = {}

    def stop(path, train, parameters):
        asked.update(parameters)
        raise InterruptedError

    main.__globals__["fit_or_read"] = stop
    with pytest.raises(InterruptedError):
        main(command.split("submit_bert.py ")[1].split())
    assert asked.keys() <= BertPairClassifier().get_params().keys()
    assert ("lora_rank" in asked) == (family == "lora-decoder")
    assert family.split("-")[0] in f"{asked['encoder'].lower()} lora"
