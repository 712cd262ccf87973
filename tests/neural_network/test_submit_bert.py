"""The example trains, writes a submission, and picks up where it was."""

import pathlib
import runpy

import pandas as pd
from competition_files import write_competition_files

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "submit_bert.py"


def test_it_writes_a_submission_and_then_reuses_the_model(tmp_path, tiny, capsys):
    main = runpy.run_path(EXAMPLE)["main"]
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
    assert "is used" in capsys.readouterr().out
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), first)
