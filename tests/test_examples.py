"""The examples run: on battles they make themselves, fewer here, and on the competition's files."""

import argparse
import ast
import errno
import importlib
import importlib.util
import io
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

import joblib
import numpy as np
import pandas as pd
import pytest
from competition_files import write_competition_files
from memory import Memory
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from skorch.callbacks import Callback
from tiny_encoders import make_tiny_encoder
from tqdm import tqdm

import arena_estimators
from arena_estimators import (
    BertPairClassifier,
    DavidsonClassifier,
    PairStyleFeatures,
    PromptGroupKFold,
    PromptGroupShuffleSplit,
    load_arena,
    make_arena_pipeline,
    make_battles,
    swap_inconsistency,
)
from arena_estimators.exceptions import ArenaError, ArenaWarning
from arena_estimators.pipelines import _COMPOSE

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
COLUMNS = ["id", "winner_model_a", "winner_model_b", "winner_tie"]
needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="pip install optuna"
)
SUBMITTING = [
    "blend",
    "distill",
    "grid_search",
    pytest.param("optuna_search", marks=needs_optuna),
    "submit_baseline",
    "submit_bert",
    "submit_ensemble",
    "workflow",
]

FOLDING = [name for name in SUBMITTING if name != "submit_bert"]


@pytest.fixture
def example(monkeypatch, tmp_path):
    """Give a function that runs an example in an empty folder, on little: 100 battles, 9 trees."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)

    def few(n_battles, **options):
        return make_battles(min(n_battles, 100), **options)

    def small_forest(n_trees, **options):
        return RandomForestClassifier(min(n_trees, 9), **options)

    shared = importlib.import_module("submit_files")  # imported now, it has the real make_battles
    monkeypatch.setattr(arena_estimators, "make_battles", few)
    monkeypatch.setattr(shared, "make_battles", few)
    monkeypatch.setattr("arena_estimators.pipelines.RandomForestClassifier", small_forest)

    def run(name, *arguments):
        arguments = [[*map(str, arguments)]] if arguments else []
        monkeypatch.setattr(sys, "argv", [name])
        return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](*arguments)

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
        ("demo", "No data/train.csv here"),
        ("submit_baseline", "response length alone"),
        pytest.param("distill", "student of the blend", marks=pytest.mark.slow),
        pytest.param("grid_search", "best:", marks=pytest.mark.slow),
        pytest.param("submit_ensemble", "25,000 battles take about", marks=pytest.mark.slow),
        pytest.param("workflow", "the same, searched", marks=pytest.mark.slow),
    ],
)
def test_an_example_needs_no_files(example, capsys, name, said):
    example(name)
    out = capsys.readouterr().out
    assert "class prior" in out
    assert said in out
    check_submission("submission.csv" if name == "demo" else "made_submission.csv", 100)


def test_the_baseline_may_be_of_another_kind(example, module, capsys):
    assert module("submit_baseline").KINDS == list(_COMPOSE)
    example("submit_baseline", "--kind", "svm")
    assert "\n  svm  " in capsys.readouterr().out
    check_submission("made_submission.csv", 100)


def test_the_baseline_says_in_one_line_what_a_kind_lacks(example, monkeypatch):
    monkeypatch.setattr(BertPairClassifier.__init__, "__defaults__", ("./no/encoder",))
    with pytest.raises(SystemExit, match="no/encoder") as error:
        example("submit_baseline", "--kind", "bert")
    assert error.value.code.count("\n") == 0


@pytest.mark.parametrize("names", [["train.csv", "test.csv"], ["train.csv"], ["test.csv"], []])
def test_the_demo_takes_what_is_in_data_but_no_real_test_for_a_made_train(
    example, capsys, tmp_path, names
):
    data = tmp_path / "data"
    data.mkdir()
    write_competition_files(data, 80, 9)
    for missing in {"train.csv", "test.csv"} - {*names}:
        (data / missing).unlink()
    example("demo")
    made = "made_submission.csv" if names == ["train.csv"] else "submission.csv"
    check_submission(made, 9 if len(names) == 2 else 100)
    assert pathlib.Path("submission.csv").exists() == (made == "submission.csv")
    said = capsys.readouterr().out
    assert ("Fitting on all 80 battles" in said) == ("train.csv" in names)
    assert ("No data/train.csv here" in said) == ("train.csv" not in names)
    name = "linear" if "train.csv" in names else "made_linear"
    assert joblib.load(f"models/{name}.joblib").classes_.tolist() == ["model_a", "model_b", "tie"]
    assert len(list(pathlib.Path("models").iterdir())) == 1


def test_the_demo_replaces_its_own_submission_and_model_alone(example):
    pathlib.Path("models").mkdir()
    pathlib.Path("models/linear.joblib").write_bytes(b"\x80 of real battles")
    example("demo")
    first = pathlib.Path("submission.csv").read_bytes()
    example("demo")
    assert pathlib.Path("submission.csv").read_bytes() == first
    assert not pathlib.Path("made_submission.csv").exists()
    real = f"{','.join(COLUMNS)}\n136060,0.5,0.25,0.25\n"
    pathlib.Path("submission.csv").write_text(real)
    example("demo")
    assert pathlib.Path("submission.csv").read_text() == real
    check_submission("made_submission.csv", 100)
    assert pathlib.Path("models/linear.joblib").read_bytes() == b"\x80 of real battles"
    assert pathlib.Path("models/made_linear.joblib").exists()


def test_the_demo_says_what_it_does_before_it_does_it(example, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(EXAMPLES / "demo.py"))["main"]()
    assert "data/train.csv" in capsys.readouterr().out
    assert not pathlib.Path("submission.csv").exists()


@pytest.fixture
def gallery(monkeypatch):
    """A function that runs a script of the gallery and gives its names, and its figures."""
    matplotlib = pytest.importorskip("matplotlib", reason="the gallery needs it: make docs")
    matplotlib.use("agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    yield lambda name: (runpy.run_path(str(EXAMPLES / f"{name}.py")), pyplot.get_fignums())
    pyplot.close("all")


def test_plot_length_bias_finds_the_true_effect(gallery):
    names, figures = gallery("plot_length_bias")
    assert len(figures) == 2
    assert abs(names["model"].coef_[0] - 1) < 0.2


def test_plot_leaderboard_comes_nearer_to_the_truth_given_style(gallery):
    names, figures = gallery("plot_leaderboard")
    assert len(figures) == 1
    assert names["errors"]["given style"] < names["errors"]["as voted"] / 2
    assert names["rated"].mean().round(6).tolist() == [1000, 1000]


@pytest.mark.parametrize("option", ["--train", "--test"])
@pytest.mark.parametrize("name", SUBMITTING)
def test_train_and_test_are_given_both_or_neither(example, tmp_path, capsys, name, option):
    files = write_competition_files(tmp_path, 20, 9)
    with pytest.raises(SystemExit):
        example(name, *files[files.index(option) :][:2])
    assert "give both, or neither" in capsys.readouterr().err
    assert not pathlib.Path("submission.csv").exists()


@pytest.mark.parametrize(
    ("name", "option"),
    [("submit_baseline", "--model"), ("submit_baseline", "--test"), ("distill", "--unlabelled")],
)
def test_no_file_overwrites_another(example, tmp_path, capsys, name, option):
    write_competition_files(tmp_path, 20, 9)
    files = {"--train": "train.csv", "--test": "test.csv", "--out": "out.csv"}
    files |= {option: "out.csv"}
    with pytest.raises(SystemExit):
        example(name, *(word for pair in files.items() for word in pair))
    assert "out.csv would overwrite another" in capsys.readouterr().err


def test_the_battles_to_learn_are_not_those_to_predict(example, tmp_path, capsys):
    write_competition_files(tmp_path, 20, 9)
    with pytest.raises(SystemExit):
        example("submit_baseline", "--train", "train.csv", "--test", "train.csv")
    assert "--train and --test are the same file" in capsys.readouterr().err


def test_made_battles_can_be_too_few_for_folds(example):
    with pytest.raises(SystemExit, match="made battles: .*"):
        example("submit_ensemble", "--folds", 90)


def keep_battles(n_battles):
    """Give a function that cuts the file to learn from."""
    return lambda: pd.read_csv("train.csv").head(n_battles).to_csv("train.csv", index=False)


def keep_one_tie():
    train = pd.read_csv("train.csv")
    train.drop(index=train.index[train["winner_tie"] == 1][1:]).to_csv("train.csv", index=False)


def keep_one_prompt():
    pd.read_csv("train.csv").assign(prompt='["Why?"]').to_csv("train.csv", index=False)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (keep_battles(25), "are too few; take 30 or more"),
        (keep_one_tie, "no battle of 'tie'|fitted without ties"),
        (keep_one_prompt, "battles of 1 prompts"),
    ],
)
@pytest.mark.parametrize("name", FOLDING)
def test_too_few_battles_for_folds_are_refused_before_any_fit(
    example, tmp_path, capsys, name, spoil, message
):
    files = write_competition_files(tmp_path, 80, 9)
    spoil()
    with pytest.raises(SystemExit, match=rf"train\.csv: .*({message})") as error:
        example(name, *files)
    assert "\n" not in error.value.code
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", [*SUBMITTING, "demo", "families"])
def test_ctrl_c_ends_a_script_in_one_line(example, monkeypatch, name):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    assert example  # its folder and path
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.setattr(importlib.import_module("submit_files"), "read_train", interrupt)
    monkeypatch.setattr(arena_estimators, "make_battles", interrupt)
    with pytest.raises(SystemExit, match="Interrupted; no submission was written"):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


@pytest.mark.parametrize("name", SUBMITTING)
def test_a_file_that_is_no_submission_is_not_replaced(example, tmp_path, name):
    files = write_competition_files(tmp_path, 80, 9)
    battles = pathlib.Path("train.csv").read_bytes()
    pathlib.Path("other.csv").write_bytes(battles)
    pathlib.Path("other.csv.gz").write_bytes(b"not packed")
    for out in ("other.csv", "other.csv.gz"):
        with pytest.raises(SystemExit, match=rf"--out {out} is there already and no submission"):
            example(name, *files, "--out", out)
    assert pathlib.Path("other.csv").read_bytes() == battles


@pytest.mark.parametrize("name", SUBMITTING)
def test_a_file_that_is_no_model_is_not_replaced(example, tmp_path, name):
    files = write_competition_files(tmp_path, 80, 9)
    battles = pathlib.Path("train.csv").read_bytes()
    pathlib.Path("other.csv").write_bytes(battles)
    with pytest.raises(SystemExit, match=r"--model other.csv is there already and no model"):
        example(name, *files, "--model", "other.csv")
    assert pathlib.Path("other.csv").read_bytes() == battles


def test_examples_without_an_encoder_import_no_torch():
    names = ["blend", "demo", "distill", "grid_search", "optuna_search", "submit_ensemble"]
    names += ["workflow"]
    command = [sys.executable, "-c", f"import {', '.join(names)}, sys; print(*sys.modules)"]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"torch", "transformers"}.isdisjoint(done.stdout.split())


def test_output_that_cannot_show_a_name_ends_no_script(module, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    module("submit_files").start(lambda: print("m\xf6del", flush=True))
    assert shown.getvalue() == b"m\\xf6del\n"


def test_battles_without_labels_are_not_mixed_with_made_ones(example, capsys):
    with pytest.raises(SystemExit):
        example("distill", "--unlabelled", "more.csv")
    assert "--unlabelled needs --train and --test too" in capsys.readouterr().err


def drop(name, *columns):
    """Give a function that drops columns of a file."""
    return lambda: pd.read_csv(name).drop(columns=list(columns)).to_csv(name, index=False)


def drop_ties():
    train = pd.read_csv("train.csv")
    train[train["winner_tie"] == 0].to_csv("train.csv", index=False)


WRONG = {
    "out in no folder": (["--out", "none/out.csv"], None, "--out none/out.csv: no such folder"),
    "out of no kind": (["--out", "out.txt"], None, "--out out.txt: expected a name that ends"),
    "out a folder": (["--out", "folder.csv"], None, "folder.csv is a folder."),
    "model a folder": (["--model", "folder.csv"], None, "folder.csv is a folder."),
    "model in a file": (["--model", "test.csv/m.joblib"], None, "cannot write into .*test.csv"),
    "no train": ([], lambda: pathlib.Path("train.csv").unlink(), "No such file.*train.csv"),
    "no test": ([], lambda: pathlib.Path("test.csv").unlink(), "No such file.*test.csv"),
    "no ids": ([], drop("test.csv", "id"), "test.csv has no column 'id'"),
    "no winners": ([], drop("train.csv", *COLUMNS[1:]), "train.csv has no winners"),
    "no ties": ([], drop_ties, "train.csv: The estimator was fitted without ties"),
    "no prompt": ([], drop("train.csv", "prompt"), "train.csv has no column 'prompt'"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["submit_baseline", "submit_ensemble", "submit_bert"])
def test_what_is_wrong_is_said_in_one_line_before_any_fit(example, tmp_path, capsys, name, wrong):
    arguments, spoil, message = WRONG[wrong]
    files = write_competition_files(tmp_path, 80, 9)
    (tmp_path / "folder.csv").mkdir()
    if spoil:
        spoil()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match=message) as error:
        example(name, *files, *arguments)
    assert "\n" not in error.value.code
    assert capsys.readouterr().out == ""  # a script that begins to fit says so
    assert sorted(tmp_path.rglob("*")) == before


def test_a_cache_that_cannot_be_written_is_said_at_once(example, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit, match="--cache .*cannot write into"):
        example("grid_search", "--cache", "file")
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_search_finds_its_features_again(example, capsys, tmp_path):
    example("grid_search", "--cache", "kept")
    made = sorted(tmp_path.rglob("output.pkl"))
    example("grid_search", "--cache", "kept")
    assert sorted(tmp_path.rglob("output.pkl")) == made != []


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("submit_ensemble", ["--folds", 1], "--folds: expected 2 or more, got 1"),
        ("blend", ["--n-jobs", 0], "--n-jobs: expected 1 or more, or -1 for all cores, got 0"),
        ("submit_bert", ["--n-epochs", 0], "--n-epochs: expected 1 or more, got 0"),
        ("optuna_search", ["--trials", 0], "--trials: expected 1 or more, got 0"),
        ("submit_bert", ["--accumulate", "few"], "invalid whole number value: 'few'"),
        ("blend", ["--n-jobs", "few"], "invalid whole number value: 'few'"),
        ("submit_bert", ["--learning-rate", "low"], "invalid number value: 'low'"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(example, capsys, name, arguments, message):
    with pytest.raises(SystemExit):
        example(name, *arguments)
    assert message in capsys.readouterr().err


def test_a_student_is_judged_where_a_class_is_rare(example, capsys, tmp_path):
    files = write_competition_files(tmp_path, 100, 9)
    train = pd.read_csv("train.csv")
    unseen = next(PromptGroupShuffleSplit(random_state=0).split(load_arena("train.csv").X))[1]
    train = train.drop(index=[row for row in unseen if train["winner_tie"][row]])
    train.to_csv("train.csv", index=False)
    X = load_arena("train.csv").X
    again = next(PromptGroupShuffleSplit(random_state=0).split(X))[1]
    train.iloc[again] = train.iloc[again].assign(winner_tie=0, winner_model_a=1, winner_model_b=0)
    train.to_csv("train.csv", index=False)
    example("distill", *files)
    assert "student of the blend" in capsys.readouterr().out


def test_the_model_is_kept_when_the_submission_cannot_be_written(example, monkeypatch):
    def fail(frame, path):
        raise OSError("disk full")

    monkeypatch.setattr(importlib.import_module("submit_files"), "write_submission", fail)
    with pytest.raises(SystemExit, match="The submission is not written: disk full"):
        example("submit_baseline", "--model", "m/linear.joblib")
    assert joblib.load("m/linear.joblib").classes_.tolist() == ["model_a", "model_b", "tie"]


def test_the_submission_is_written_when_the_model_cannot_be_kept(example, monkeypatch, capsys):
    def fill_the_disk(model, path):
        path.write_bytes(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(joblib, "dump", fill_the_disk)
    with pytest.raises(SystemExit, match=r"not saved in m/linear\.joblib: disk full"):
        example("submit_baseline", "--model", "m/linear.joblib")
    assert "it predicts all the same" in capsys.readouterr().out
    assert list(pathlib.Path("m").iterdir()) == []
    check_submission("made_submission.csv", 100)


@needs_optuna
def test_optuna_search_submits_what_its_best_trial_is(example, capsys, tmp_path):
    files = write_competition_files(tmp_path, 80, 9)
    example("optuna_search", *files, "--trials", 3, "--model", "best.joblib")
    said = capsys.readouterr().out.split("best: ")[1]
    best = ast.literal_eval(said[: said.index("}") + 1])
    model = joblib.load("best.joblib")
    assert model[-1].alpha == best["alpha"]
    assert model[0].get_params()["words__min_df"] == best["min_df"]
    expected = model.predict_proba(load_arena("test.csv").X)
    np.testing.assert_allclose(pd.read_csv("submission.csv")[COLUMNS[1:]], expected, atol=1e-6)


def test_two_that_save_at_once_damage_no_model(module, tmp_path, monkeypatch):
    def dump_while_another_saves(model, path):
        monkeypatch.setattr(joblib, "dump", dump)
        with open(path, "wb") as file:
            assert save("another", tmp_path / "model.joblib") is None
            dump(model, file)

    save, dump = module("submit_files").save, joblib.dump
    monkeypatch.setattr(joblib, "dump", dump_while_another_saves)
    assert save("one", tmp_path / "model.joblib") is None
    assert joblib.load(tmp_path / "model.joblib") == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["model.joblib"]


@pytest.mark.parametrize("name", ["blend", "distill", "grid_search", "submit_baseline"])
def test_an_example_takes_the_competitions_files_and_keeps_its_model(example, tmp_path, name):
    files = write_competition_files(tmp_path, 80, 9)
    example(name, *files, "--out", "out.csv", "--model", "kept/model.joblib")
    check_submission("out.csv", 9)
    before = sorted(tmp_path.rglob("*"))
    expected = joblib.load("kept/model.joblib").predict_proba(load_arena("test.csv").X)
    np.testing.assert_allclose(pd.read_csv("out.csv")[COLUMNS[1:]], expected, atol=1e-6)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_the_ensemble_takes_the_competitions_files_and_is_saved(example, tmp_path, capsys):
    files = write_competition_files(tmp_path, 80, 9)
    example("submit_ensemble", *files, "--folds", 2, "--out", "out.csv", "--model", "m/e.joblib")
    check_submission("out.csv", 9)
    said = capsys.readouterr().out
    model = joblib.load("m/e.joblib")
    assert "Fitting linear, boosting, kernel on 80 battles: on 2 folds" in said
    losses = [f"{name:<12} log loss {loss:.4f}" for name, loss in model.oof_log_loss_.items()]
    assert len(losses) == 4
    assert all(line in said for line in losses)
    test = make_battles(9, random_state=1)
    assert swap_inconsistency(model, test.X) == 0


@pytest.fixture
def tiny_minilm(monkeypatch, tmp_path):
    """Let "bert" take a tiny encoder."""
    folder = make_tiny_encoder("bert", tmp_path / "tiny")
    monkeypatch.setattr(BertPairClassifier.__init__, "__defaults__", (folder,))
    monkeypatch.setitem(BertPairClassifier.__init__.__kwdefaults__, "batch_tokens", 1024)
    return folder


def test_the_ensemble_is_averaged_with_minilm(example, tiny_minilm, capsys):
    example("submit_ensemble", "--minilm", "--folds", 2, "--model", "m/both.joblib")
    check_submission("made_submission.csv", 100)
    said = capsys.readouterr().out
    assert "on 2 folds, and on all; then MiniLM on all" in said
    model = joblib.load("m/both.joblib")
    ensemble, minilm = model.estimators_
    assert "The ensemble without MiniLM:" in said
    assert f"blend        log loss {ensemble.oof_log_loss_['blend']:.4f}" in said
    assert model.network_.weights.tolist() == [0.5, 0.5]
    assert minilm.encoder == tiny_minilm
    assert list(pathlib.Path("m/both.checkpoints").iterdir()) == []


def test_an_interrupted_minilm_is_continued_and_not_submitted(example, tiny_minilm, monkeypatch):
    def interrupt(self, net, training=None, **options):
        if training and net.step_ == 3:
            raise KeyboardInterrupt

    arguments = ["submit_ensemble", "--minilm", "--folds", 2, "--model", "m/both.joblib"]
    with monkeypatch.context() as patch:
        patch.setattr(Callback, "on_batch_end", interrupt)
        with pytest.raises(SystemExit, match="continues"), pytest.warns(ArenaWarning):
            example(*arguments)
    assert not pathlib.Path("made_submission.csv").exists()
    assert not pathlib.Path("m/both.joblib").exists()
    assert len(list(pathlib.Path("m/both.checkpoints").iterdir())) == 1
    example(*arguments)
    check_submission("made_submission.csv", 100)


@pytest.mark.parametrize("name", ["submit_baseline", "workflow"])
def test_an_interrupted_bert_is_not_submitted(example, tiny_minilm, monkeypatch, name):
    def interrupt(self, net, training=None, **options):
        raise KeyboardInterrupt

    option = ["--kind", "bert"] if name == "submit_baseline" else ["--encoder", tiny_minilm]
    monkeypatch.setattr(Callback, "on_batch_end", interrupt)
    with pytest.raises(KeyboardInterrupt), pytest.warns(ArenaWarning, match="interrupted after"):
        example(name, *option)
    assert not pathlib.Path("made_submission.csv").exists()


def test_a_vote_with_an_interrupted_member_is_not_whole(module):
    part, whole = argparse.Namespace(interrupted_=True), argparse.Namespace(interrupted_=False)
    check_whole = module("submit_files").check_whole
    check_whole(argparse.Namespace(estimators_=[argparse.Namespace(net_=whole), DummyClassifier()]))
    with pytest.raises(KeyboardInterrupt):
        check_whole(argparse.Namespace(estimators_=[argparse.Namespace(net_=part)]))


def test_an_encoder_is_a_step_of_the_workflow_and_votes(module):
    make_steps = module("workflow").make_steps
    without, steps = make_steps(), make_steps(encoder="FOLDER")
    assert steps.keys() - without.keys() == {"BERT"}
    assert steps["BERT"].encoder == "FOLDER"
    assert steps["vote"].estimators[-1] == ("BERT", steps["BERT"])


@pytest.mark.parametrize(
    "family", ["bert", "roberta", "gpt2", "t5", "deberta-v3", "modernbert", "lora-decoder"]
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
    assert "pip install peft" in said
    check_command(said, "lora-decoder")


@pytest.mark.parametrize(("gap", "verdict"), [(-0.01, "better"), (0.01, "no better")])
def test_a_family_is_compared_with_the_class_prior(module, monkeypatch, capsys, gap, verdict):
    families, train = module("families"), make_battles(50, random_state=0)
    prior = module("blend").prior_log_loss(train.y)
    monkeypatch.setattr(families, "log_loss_of_tiny_model", lambda *_: prior + gap)
    families.run("gpt2", train, None)
    said = capsys.readouterr().out
    assert f"{prior + gap:.4f}, {verdict} than the class prior's\n  {prior:.4f}" in said


def check_command(said, family):
    """Hand the printed command to submit_bert and see what it would train."""
    write_competition_files(pathlib.Path(), 20, 3)
    (command,) = (line for line in said.splitlines() if "submit_bert.py" in line)
    main = runpy.run_path(str(EXAMPLES / "submit_bert.py"))["main"]
    asked = {}

    def stop(path, train, battles, parameters):
        asked.update(parameters)
        raise InterruptedError

    main.__globals__["train_model"] = stop
    with pytest.raises(InterruptedError):
        main(command.split("submit_bert.py ")[1].split())
    assert asked.keys() <= BertPairClassifier().get_params().keys()
    assert ("lora_rank" in asked) == (family == "lora-decoder")
    assert family.split("-")[0] in f"{asked['encoder'].lower()} lora"


@pytest.fixture
def module(monkeypatch):
    """Give a function that imports an example."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


def test_the_baseline_is_judged_on_prompts_it_has_not_seen(module):
    data = make_battles(100, random_state=0)
    found = module("submit_baseline").cross_validate({"memory": Memory()}, data.X, data.y)
    assert found["memory"] == pytest.approx(np.log(3))


@pytest.mark.parametrize(("name", "learnt"), [("alpha", "coef_"), ("tie_alpha", "tie_coef_")])
def test_the_grid_is_laid_around_the_default(module, name, learnt):
    """The stronger the penalty, the smaller the coefficients."""
    data = make_battles(150, random_state=0)
    D = PairStyleFeatures().fit_transform(data.X)
    default, weaker, stronger = module("grid_search").make_grid(150)[f"davidsonclassifier__{name}"]
    assert default == "auto" == make_arena_pipeline("linear")[-1].get_params()[name]
    sizes = [
        np.linalg.norm(getattr(DavidsonClassifier(**{name: value}).fit(D, data.y), learnt))
        for value in (weaker, default, stronger)
    ]
    assert sizes[0] > 1.01 * sizes[1] > 1.01**2 * sizes[2]


@pytest.mark.parametrize("flush", [True, False])
def test_output_that_nobody_reads_ends_no_script(module, monkeypatch, flush):
    done = []

    def main():
        for _ in tqdm(range(2)):
            print("something", flush=flush)
            done.append("a step")

    for name in ("stdout", "stderr"):
        reader, writer = os.pipe()
        os.close(reader)  # as `head` does when it has enough
        monkeypatch.setattr(sys, name, open(writer, "w"))
    module("submit_files").start(main)
    sys.stdout.close()  # as Python does at its end
    sys.stderr.close()
    assert len(done) == 2


def test_closed_output_ends_no_script(module, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as under >&-
    monkeypatch.setattr(sys, "stderr", None)
    module("submit_files").start(lambda: print(*tqdm(range(2)), flush=True))


def test_students_are_judged_on_prompts_they_have_not_seen(module, monkeypatch):
    distill, data, more = module("distill"), make_battles(100, random_state=0), make_battles(9)

    class Any(Memory):
        def __init__(self, *members, **options):
            pass

        def set_params(self, **options):
            return self

    for name in ("make_student", "make_blend", "DistillingClassifier"):
        monkeypatch.setattr(distill, name, Any)
    models, unseen = distill.fit_models(data, more.X)
    assert len(models) == 4 and len(unseen) > 10
    assert all(model.seen_.keys().isdisjoint(unseen) for model in models.values())
    assert models["student of the blend"].unlabelled_ is more.X
    assert models["student of itself"].unlabelled_ is None


def test_only_made_battles_are_taught_with_made_ones(module):
    distill = module("distill")
    real, made = (argparse.Namespace(unlabelled=None, train=train) for train in ("train.csv", None))
    assert distill.read_unlabelled(real) is None
    assert len(distill.read_unlabelled(made)) == distill.N_UNLABELLED


def test_the_class_priors_loss_is_a_dummys(module):
    y = make_battles(100, random_state=0).y
    proba = DummyClassifier().fit(y, y).predict_proba(y)
    assert module("blend").prior_log_loss(y) == pytest.approx(log_loss(y, proba))


def test_minutes_are_projected_from_a_sample(module, monkeypatch, capsys):
    shared, X = module("submit_files"), make_battles(300, random_state=0).X
    clock, sizes = [0.0], []

    class Model:
        def predict_proba(self, X):
            sizes.append(len(X))
            clock[0] += 1000 if len(sizes) == 1 else 0.06 * len(X)  # reading weights, say

    monkeypatch.setattr(shared, "time", argparse.Namespace(perf_counter=lambda: clock[0]))
    shared.project(Model(), X)
    assert sizes == [3, 256]
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[4]) for line in said] == [("300", "0.3"), ("25,000", "25.0")]
    monkeypatch.setattr(shared, "HIDDEN_TEST", 300)
    shared.project(Model(), X)
    assert capsys.readouterr().out.count("300 battles take about") == 1


def test_memory_may_be_asked_for_of_a_trained_model(module, tmp_path):
    model = BertPairClassifier(batch_tokens=4096)
    model.classes_ = np.array(["model_a", "model_b", "tie"])
    joblib.dump(model, tmp_path / "m.joblib")
    asked = {"batch_tokens": 1024, "accumulate": 4}
    read = module("submit_bert").read_model(tmp_path / "m.joblib", None, asked)
    assert (read.batch_tokens, read.accumulate) == (1024, 4)


def test_a_rate_is_a_number_above_zero(module):
    positive = module("submit_files").positive
    assert positive("2e-5") == 2e-5
    for text in ("0", "-0.1", "inf", "nan"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"a number above 0, got {text}"):
            positive(text)


def test_one_file_under_two_names_is_the_same(module, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    with pytest.raises(SystemExit):
        module("submit_files").parse(parser, ["--train", "a.csv", "--test", "./a.csv"], 10)
    assert "--train and --test are the same file" in capsys.readouterr().err


def test_a_file_that_cannot_be_replaced_is_told_of_at_once(module, tmp_path, monkeypatch):
    (tmp_path / "out.csv").touch()
    check_paths = module("submit_files").check_paths
    check_paths(str(tmp_path / "out.csv"), None)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SystemExit, match="out.csv is there already and cannot be replaced"):
        check_paths(str(tmp_path / "out.csv"), None)


def test_a_folder_that_may_not_be_looked_into_or_is_on_no_drive_is_told_of(
    module, tmp_path, monkeypatch
):
    check_writable = module("submit_files").check_writable
    path, stat, temporary = tmp_path / "private" / "m.joblib", os.stat, tempfile.TemporaryFile
    path.parent.mkdir()

    def forbidden(looked_at, *args, **options):
        if os.fspath(looked_at) == os.fspath(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(looked_at, *args, **options)

    def refused(dir):
        if dir == path.parent:
            raise PermissionError(errno.EACCES, "Permission denied")
        return temporary(dir=dir)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", forbidden)
        patch.setattr(tempfile, "TemporaryFile", refused)
        with pytest.raises(SystemExit, match="--model .*cannot write into .*private: Perm"):
            check_writable("--model", path)
    monkeypatch.setattr(os.path, "exists", lambda path: False)  # as on a drive that is not there
    with pytest.raises(SystemExit, match="cannot write into .*nowhere: No such file"):
        check_writable("--model", tmp_path / "nowhere" / "m.joblib")


class _Folds:
    """Two folds, the first half and the second."""

    def split(self, X):
        half = len(X) // 2
        rows = np.arange(len(X))
        return [(rows[half:], rows[:half]), (rows[:half], rows[half:])]


def test_a_fold_without_a_class_to_predict_is_refused(module):
    check_folds = module("submit_files").check_folds
    X = make_battles(60, random_state=0).X
    y = np.array(["model_a", "model_b", "tie"] * 20)
    check_folds(X, y, _Folds())
    thirds = [(np.arange(60), np.arange(start, start + 20)) for start in (0, 20, 40)]
    cv = argparse.Namespace(split=lambda _: thirds)
    y[:20] = "model_a"
    with pytest.raises(ArenaError, match="no battle of 'model_b' to learn from, or none to pred"):
        check_folds(X, y, cv)


def test_folds_within_folds_are_checked_too(module):
    check_folds = module("submit_files").check_folds
    X = make_battles(60, random_state=0).X
    y = np.array(["model_a", "model_b", "tie"] * 20)
    y[:15] = ["model_a", "model_b", "model_a"] * 5  # a quarter, which is one of the folds within
    check_folds(X, y, _Folds())
    with pytest.raises(ArenaError, match="no battle of 'tie' to learn from"):
        check_folds(X, y, _Folds(), _Folds())
    data = make_battles(200, random_state=0)
    check_folds(data.X, data.y, PromptGroupKFold(2), PromptGroupKFold(2), PromptGroupKFold(2))


def test_ids_that_name_no_battle_are_refused_before_any_fit(module, tmp_path):
    write_competition_files(tmp_path, 20, 9)
    path, read_test = str(tmp_path / "test.csv"), module("submit_files").read_test
    test = pd.read_csv(path)
    test.assign(id=[None, *test["id"][1:].astype(str)]).to_csv(path, index=False)
    with pytest.raises(SystemExit, match=r"test\.csv: .*id"):
        read_test(path)
    test.assign(id=7).to_csv(path, index=False)
    with pytest.warns(ArenaWarning, match="8 of 9 rows have an id .* before, such as 7"):
        read_test(path)


class _Counts:
    def __init__(self):
        self.sizes = []

    def predict_proba(self, X):
        self.sizes.append(len(X))


def test_few_battles_are_no_sample_and_others_stand_in_for_them(module, capsys):
    project, X = module("submit_files").project, make_battles(300, random_state=0).X
    model = _Counts()
    project(model, X[:49])
    assert (model.sizes, capsys.readouterr().out) == ([], "")
    project(model, X[:49], X)
    assert model.sizes == [3, 256]
    assert capsys.readouterr().out.split()[0] == "49"
    project(model, X[:60], X[:50])
    assert model.sizes[2:] == [3, 60]


def test_one_of_several_processes_speaks(module, monkeypatch, capsys):
    shared = module("submit_files")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        shared.say(rank)
    monkeypatch.delenv("RANK")
    shared.say("alone")
    assert capsys.readouterr().out.split() == ["0", "alone"]
