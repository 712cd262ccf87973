"""The example trains, writes a submission, and picks up where it was."""

import os
import pathlib
import runpy

import joblib
import pandas as pd
import pytest
from competition_files import write_competition_files
from skorch.callbacks import Callback

from arena_estimators.exceptions import ArenaWarning

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def main(monkeypatch, tmp_path):
    """Give the example's main function, in an empty folder."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    return runpy.run_path(str(EXAMPLES / "submit_bert.py"))["main"]


def test_its_help_tells_what_differs_for_made_battles(main, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "tokens of a sequence (default: 512; if made, 64)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_it_writes_a_submission_and_then_reuses_the_model(main, tmp_path, tiny, capsys):
    arguments = ["--encoder", tiny(), "--max-length", "64", "--learning-rate", "1e-3"]
    arguments += write_competition_files(tmp_path, 60, 7)
    arguments += [
        "--out",
        str(tmp_path / "out.csv"),
        "--model",
        str(tmp_path / "m" / "bert.joblib"),
    ]
    main(arguments)
    said = capsys.readouterr().out
    assert "Fine-tuning on 60 battles" in said
    assert "25,000 battles take about" in said
    first = pd.read_csv(tmp_path / "out.csv")
    assert first.columns.tolist() == ["id", "winner_model_a", "winner_model_b", "winner_tie"]
    assert len(first) == 7
    (tmp_path / "train.csv").unlink()
    main(arguments)
    said = capsys.readouterr().out
    assert "learning_rate=0.001, max_length=64) is used, and nothing is trained" in said
    assert "train.csv is no file that can be read, so the model is not compared" in said
    assert not (tmp_path / "m" / "bert.checkpoints").exists()
    assert "25,000" not in said  # seven battles tell nothing
    arguments[1] = os.path.relpath(arguments[1])
    write_competition_files(tmp_path, 60, 7)
    main([*arguments, "--batch-tokens", "8192"])
    assert "25,000 battles take about" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="with max_length=64, not 128. Name another file"):
        main([*arguments, "--max-length", "128"])
    with open(tmp_path / "train.csv", "a") as file:
        file.write((tmp_path / "train.csv").read_text().splitlines()[-1] + "\n")
    with pytest.raises(SystemExit, match=r"trained on other battles than .*train\.csv holds. Name"):
        main(arguments)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), first)


def test_a_made_run_needs_no_files_and_leaves_the_place_of_the_real_model(main, tiny, capsys):
    main(["--encoder", tiny(), "--learning-rate", "1e-3", "--batch-tokens", "auto"])
    assert "Fine-tuning on 120 battles" in capsys.readouterr().out
    assert len(pd.read_csv("made_submission.csv")) == 100
    assert not pathlib.Path("submission.csv").exists()
    assert joblib.load("models/made_bert.joblib").max_length == 64
    assert not pathlib.Path("models/bert.joblib").exists()


def test_a_model_of_made_battles_is_not_taken_for_one_of_real_ones(main, tiny, capsys):
    """Whoever tries the script out may name the file that the real run names."""
    made = ["--encoder", tiny(), "--batch-tokens", "auto", "--model", "m.joblib"]
    main(made)
    real = [*made, *write_competition_files(pathlib.Path.cwd(), 60, 7)]
    with pytest.raises(SystemExit, match=r"trained on other battles than .*train\.csv holds"):
        main(real)
    model = joblib.load("m.joblib")
    del model.trained_on_  # as of one that was saved by hand
    joblib.dump(model, "m.joblib")
    main(real)
    assert "m.joblib does not say which battles its model was trained on" in capsys.readouterr().out


def test_errors_of_the_encoder_and_of_another_model_take_one_line(main, tmp_path):
    with pytest.raises(SystemExit, match="made_encoder"):
        main(["--encoder", str(tmp_path / "made_encoder")])
    assert not list(pathlib.Path().glob("models/*"))
    joblib.dump("text", "m.joblib")
    with pytest.raises(SystemExit, match="m.joblib holds a str; expected a BertPairClassifier"):
        main(["--model", "m.joblib"])
    pathlib.Path("broken.joblib").touch()
    with pytest.raises(SystemExit, match="broken.joblib is no model that can be read: EOFError"):
        main(["--model", "broken.joblib"])


def test_a_model_that_is_only_read_may_be_where_nothing_can_be_written(main, monkeypatch):
    joblib.dump("text", "m.joblib")
    monkeypatch.setattr(os, "access", lambda *_: False)  # as in the input folder of a notebook
    with pytest.raises(SystemExit, match="m.joblib holds a str; expected a BertPairClassifier"):
        main(["--model", "m.joblib"])


@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_a_model_that_joblib_packed_is_read(main, kind):
    joblib.dump("text", "m.joblib", compress=(kind, 1))
    with pytest.raises(SystemExit, match="m.joblib holds a str; expected a BertPairClassifier"):
        main(["--model", "m.joblib"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("--learning-rate", "0"), ("--random-state", "-1"), ("--batch-tokens", "0")],
)
def test_numbers_out_of_range_are_refused_at_once(main, capsys, option, value):
    with pytest.raises(SystemExit):
        main([option, value])
    assert f"argument {option}: expected" in capsys.readouterr().err


def test_what_is_no_number_is_refused_by_a_name_the_user_knows(main, capsys):
    with pytest.raises(SystemExit):
        main(["--batch-tokens", "all"])
    assert "argument --batch-tokens: invalid tokens value: 'all'" in capsys.readouterr().err


def test_an_interrupted_run_is_continued_and_not_submitted(main, tiny, capsys, monkeypatch):
    arguments = ["--encoder", tiny(), "--learning-rate", "1e-3", "--n-epochs", "2"]

    def interrupt(self, net, **options):
        if len(net.history) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Callback, "on_epoch_begin", interrupt)
        with pytest.raises(SystemExit, match="continues"), pytest.warns(ArenaWarning):
            main(arguments)
    assert not pathlib.Path("made_submission.csv").exists()
    assert not pathlib.Path("models/made_bert.joblib").exists()
    assert list(pathlib.Path("models/made_bert.checkpoints").iterdir())
    main(arguments)
    assert len(pd.read_csv("made_submission.csv")) == 100


def test_a_trained_model_is_kept_though_nobody_reads_on(main, tiny, monkeypatch):
    said = main.__globals__["say"]

    def break_off(text):
        if text.startswith("Trained"):
            raise BrokenPipeError
        said(text)

    monkeypatch.setitem(main.__globals__, "say", break_off)
    with pytest.raises(BrokenPipeError):
        main(["--encoder", tiny(), "--learning-rate", "1e-3"])
    assert joblib.load("models/made_bert.joblib").classes_.tolist() == ["model_a", "model_b", "tie"]
