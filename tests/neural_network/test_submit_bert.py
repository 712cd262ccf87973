"""The example trains, writes a submission, and picks up where it was."""

import json
import pathlib
import runpy

import pandas as pd
import pytest

from arena_estimators import make_battles

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "submit_bert.py"


@pytest.fixture
def folder(tmp_path):
    data = make_battles(60, random_state=0)
    cells = data.X.map(lambda cell: json.dumps(cell if isinstance(cell, list) else [cell]))
    winners = {
        f"winner_{name}": (data.y == name).astype(int) for name in ("model_a", "model_b", "tie")
    }
    train = pd.concat([pd.Series(data.id, name="id"), cells, pd.DataFrame(winners)], axis=1)
    train.to_csv(tmp_path / "train.csv", index=False)
    train.iloc[:7, :4].to_csv(tmp_path / "test.csv", index=False)
    return tmp_path


def test_it_writes_a_submission_and_then_reuses_the_model(folder, tiny, capsys):
    main = runpy.run_path(EXAMPLE)["main"]
    arguments = ["--encoder", tiny(), "--max-length", "64", "--learning-rate", "1e-3"]
    for name in ("train", "test"):
        arguments += [f"--{name}", str(folder / f"{name}.csv")]
    arguments += ["--out", str(folder / "out.csv"), "--model", str(folder / "m" / "bert.joblib")]
    main(arguments)
    said = capsys.readouterr().out
    assert "Fine-tuning on 60 battles" in said
    assert "25,000 battles take about" in said
    first = pd.read_csv(folder / "out.csv")
    assert first.columns.tolist() == ["id", "winner_model_a", "winner_model_b", "winner_tie"]
    assert len(first) == 7
    (folder / "train.csv").unlink()
    main(arguments)
    assert "is used" in capsys.readouterr().out
    pd.testing.assert_frame_equal(pd.read_csv(folder / "out.csv"), first)
