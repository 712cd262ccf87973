"""Each example runs on few battles: those it makes, and those of the competition's files."""

import argparse
import importlib
import importlib.util
import pathlib
import runpy
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from competition_files import write_competition_files
from memory import Memory
from sklearn.ensemble import RandomForestClassifier
from tiny_encoders import make_tiny_encoder

import arena_estimators
from arena_estimators import (
    BertPairClassifier,
    TrainingOptions,
    load_arena,
    make_arena_pipeline,
    make_battles,
)

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
COLUMNS = ["id", "winner_model_a", "winner_model_b", "winner_tie"]
FAMILIES = ["bert", "roberta", "gpt2", "t5", "deberta-v3", "modernbert", "lora-decoder"]


def needs(package):
    there = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not there, reason=f"pip install {package}")


# What each script says of made battles, and the options that make it fast.
SUBMITTING = [
    pytest.param("blend", [], "temperature", id="blend"),
    pytest.param("distill", [], "student of the blend", id="distill"),
    pytest.param("grid_search", [], "best:", id="grid_search"),
    pytest.param("optuna_search", ["--trials", 2], "best:", id="optuna", marks=needs("optuna")),
    pytest.param("submit_baseline", ["--kind", "svm"], "response length alone", id="baseline"),
    pytest.param("submit_bert", ["--encoder", "tiny"], "Fine-tuning on", id="bert"),
    pytest.param("submit_ensemble", ["--folds", 2], "temperature", id="ensemble"),
    pytest.param("workflow", [], "the same, searched", id="workflow", marks=pytest.mark.slow),
]


@pytest.fixture
def module(monkeypatch):
    """Give a function that imports an example."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


@pytest.fixture
def example(monkeypatch, tmp_path, module):
    """Give a function that runs an example in an empty folder, on little: 100 battles, 9 trees."""
    monkeypatch.chdir(tmp_path)
    make_tiny_encoder("bert", tmp_path / "tiny")

    def few(n_battles, **options):
        return make_battles(min(n_battles, 100), **options)

    def small_forest(n_trees, **options):
        return RandomForestClassifier(min(n_trees, 9), **options)

    shared = module("submit_files")  # imported now, it has the real make_battles
    monkeypatch.setattr(arena_estimators, "make_battles", few)
    monkeypatch.setattr(shared, "make_battles", few)
    monkeypatch.setattr("arena_estimators.pipelines.RandomForestClassifier", small_forest)
    monkeypatch.setattr(BertPairClassifier.__init__, "__defaults__", ("tiny",))  # of "bert"

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")

    return run


def check_submission(path, n_battles):
    frame = pd.read_csv(path)
    assert frame.columns.tolist() == COLUMNS
    assert len(frame) == n_battles
    np.testing.assert_allclose(frame[COLUMNS[1:]].sum(axis=1), 1)


@pytest.mark.parametrize(("name", "options", "said"), SUBMITTING)
def test_an_example_needs_no_files(example, capsys, name, options, said):
    example(name, *options)
    assert said in capsys.readouterr().out
    check_submission("made_submission.csv", 100)
    assert not pathlib.Path("submission.csv").exists()


@pytest.mark.parametrize(("name", "options", "said"), SUBMITTING)
def test_an_example_takes_the_competitions_files_and_keeps_its_model(
    example, tmp_path, name, options, said
):
    files = write_competition_files(tmp_path, 80, 9)
    example(name, *files, *options, "--out", "out.csv", "--model", "kept/model.joblib")
    check_submission("out.csv", 9)
    expected = joblib.load("kept/model.joblib").predict_proba(load_arena("test.csv").X)
    np.testing.assert_allclose(pd.read_csv("out.csv")[COLUMNS[1:]], expected, atol=1e-5)
    assert [path.name for path in pathlib.Path("kept").glob("*.joblib*")] == ["model.joblib"]


@pytest.mark.parametrize("names", [["train.csv", "test.csv"], ["train.csv"], []])
def test_the_demo_takes_what_is_in_data_and_replaces_no_submission(example, tmp_path, names):
    (tmp_path / "data").mkdir()
    write_competition_files(tmp_path / "data", 80, 9)
    for missing in {"train.csv", "test.csv"} - {*names}:
        (tmp_path / "data" / missing).unlink()
    example("demo")
    out = "made_submission.csv" if names == ["train.csv"] else "submission.csv"
    check_submission(out, 9 if len(names) == 2 else 100)
    (model,) = pathlib.Path("models").iterdir()
    assert model.name == ("linear.joblib" if names else "made_linear.joblib")
    if not names:
        pathlib.Path("submission.csv").write_text("of real battles")
        example("demo")
        assert pathlib.Path("submission.csv").read_text() == "of real battles"
        check_submission("made_submission.csv", 100)


def test_submit_bert_reads_its_model_back(example, tmp_path, capsys):
    files = [*write_competition_files(tmp_path, 60, 9), "--encoder", "tiny", "--max-length", 16]
    example("submit_bert", *files)
    first = pathlib.Path("submission.csv").read_bytes()
    assert joblib.load("models/bert.joblib").max_length == 16
    capsys.readouterr()
    pathlib.Path("train.csv").unlink()
    example("submit_bert", *files)
    assert "The model in models/bert.joblib is used as it is" in capsys.readouterr().out
    assert pathlib.Path("submission.csv").read_bytes() == first


@pytest.mark.parametrize(
    ("columns", "message"), [(["id"], "expected a column 'id'"), (COLUMNS[1:], "expected winners")]
)
def test_files_that_lack_what_is_needed_are_refused_first(
    example, tmp_path, capsys, columns, message
):
    files = write_competition_files(tmp_path, 40, 9)
    for name in ("train.csv", "test.csv"):
        pd.read_csv(name).drop(columns=columns, errors="ignore").to_csv(name, index=False)
    with pytest.raises(SystemExit, match=message):
        example("submit_baseline", *files)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "a.csv"], "give both, or neither"),
        (["--test", "a.csv"], "give both, or neither"),
        (["--train", "a.csv", "--test", "./a.csv"], "are the same file"),
        (["--train", "a.csv", "--test", "b.csv", "--out", "a.csv"], "are the same file"),
        (["--out", "a.csv", "--model", "a.csv"], "are the same file"),
        (["--out", "out.txt"], "expected a .csv"),
        (["--out", "none/out.csv"], "in a folder that is there"),
    ],
)
def test_arguments_that_cannot_work_are_refused(example, capsys, arguments, message):
    with pytest.raises(SystemExit):
        example("submit_baseline", *arguments)
    assert message in capsys.readouterr().err


def test_the_ensemble_is_averaged_with_minilm(example, capsys):
    example("submit_ensemble", "--minilm", "--folds", 2, "--model", "m/both.joblib")
    check_submission("made_submission.csv", 100)
    assert "The ensemble without MiniLM:" in capsys.readouterr().out
    assert joblib.load("m/both.joblib").weights_.tolist() == [0.5, 0.5]


def test_a_training_that_was_interrupted_is_not_submitted(module):
    """Whether it is the model's own training or that of a member of a vote."""
    check_complete = module("submit_files").check_complete
    part, whole = argparse.Namespace(interrupted_=True), argparse.Namespace(interrupted_=False)
    check_complete(argparse.Namespace(estimators_=[whole, Memory()]))
    for model in (part, argparse.Namespace(estimators_=[whole, part])):
        with pytest.raises(SystemExit, match="continues from a checkpoint"):
            check_complete(model)


def test_an_encoder_is_a_step_of_the_workflow_and_votes(module):
    steps = module("workflow").make_steps(encoder="FOLDER")
    assert steps["BERT"].encoder == "FOLDER"
    assert steps["vote"].estimators[-1] == ("BERT", steps["BERT"])


def test_the_baseline_knows_every_kind_and_is_judged_on_prompts_it_has_not_seen(module):
    baseline, data = module("submit_baseline"), make_battles(100, random_state=0)
    assert all(map(make_arena_pipeline, baseline.KINDS))
    found = baseline.cross_validate({"memory": Memory()}, data.X, data.y)
    assert found["memory"] == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    "family", [*FAMILIES[:-1], pytest.param(FAMILIES[-1], marks=needs("peft"))]
)
def test_a_family_is_tried_and_its_command_is_one_that_submit_bert_takes(
    example, module, capsys, family
):
    example("families", "--family", family, "--battles", 40)
    said = capsys.readouterr().out
    assert "tiny model, random weights: log loss" in said
    (command,) = (line for line in said.splitlines() if "submit_bert.py" in line)
    _, asked = module("submit_bert").parse_arguments(command.split("submit_bert.py ")[1].split())
    assert asked.keys() <= BertPairClassifier(training=TrainingOptions()).get_params().keys()
    assert family.split("-")[0] in f"{asked['encoder'].lower()} lora"


def test_examples_without_an_encoder_import_no_torch():
    names = "blend, demo, distill, grid_search, submit_ensemble, workflow"
    command = [sys.executable, "-c", f"import {names}, sys; print(*sys.modules)"]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=True)
    assert {"torch", "transformers"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("name", ["plot_length_bias", "plot_leaderboard"])
def test_a_plot_of_the_gallery_finds_the_truth(monkeypatch, name):
    matplotlib = pytest.importorskip("matplotlib", reason="the gallery needs it: make docs")
    matplotlib.use("agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    names = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    pyplot.close("all")
    if name == "plot_length_bias":
        assert abs(names["model"].coef_[0] - 1) < 0.2
    else:
        assert names["errors"]["given style"] < names["errors"]["as voted"] / 2
        assert names["rated"].mean().round(6).tolist() == [1000, 1000]
