"""load_arena and iter_arena: every schema, every quirk, and what is said about a broken file."""

import errno
import functools
import gc
import gzip
import json
import os
import re
import sys
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils._param_validation import InvalidParameterError
from tqdm.auto import tqdm

from arena_estimators import check_battles, iter_arena, load_arena, make_battles, prompt_groups
from arena_estimators.battles import COLUMNS
from arena_estimators.datasets import _arena
from arena_estimators.datasets._schemas import CONVERSATIONS
from arena_estimators.exceptions import ArenaWarning, FileFormatError

HEADER = (
    "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
)
HEAD = "prompt,response_a,response_b\n"
LINE = b'{"prompt":"a","response_a":"b","response_b":"c"}'
LONE = "half an emoji \ud83d"
CELLS = {
    "prompt": [["Hi"], ["a", "b"], ["x"], ["what/now?"], [LONE], ["Hi"]],
    "response_a": [["Hello"], ["1", None], [None], ["NA"], ["ok"], ["Hello"]],
    "response_b": [[], ["1", "2", "3"], [""], ['q"uo"te\n, and, commas'], [LONE, "ü😀"], []],
}


def _raw(json_cells=True):
    """Give the quirky battles as the competition writes them."""
    cells = {
        name: [json.dumps(cell).replace("/", "\\/") for cell in column] if json_cells else column
        for name, column in CELLS.items()
    }
    return pd.DataFrame(
        {
            "id": [7, 9, 9, 3, 100, 7],
            "model_a": list("abcdef"),
            "model_b": list("uvwxyz"),
            **cells,
            "winner_model_a": [1, 0, 0, 0, 0, 0],
            "winner_model_b": [0, 1, 0, 0, 0, 1],
            "winner_tie": [0, 0, 1, 1, 1, 0],
        }
    )


def _write(frame, path):
    if path.name.endswith(".parquet"):
        frame.to_parquet(path)
    elif path.name.endswith(".jsonl"):
        rows = frame.to_dict("records")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.fixture(params=["train.csv", "train.csv.gz", "train.parquet", "train.jsonl"])
def path(request, tmp_path):
    return tmp_path / request.param


def test_competition_file(path):
    data = load_arena(_write(_raw(), path))
    assert {name: data.X[name].tolist() for name in COLUMNS} == CELLS
    assert data.X.columns.tolist() == list(COLUMNS)
    assert data.X.index.equals(pd.RangeIndex(6))
    assert data.y.tolist() == ["model_a", "model_b", "tie", "tie", "tie", "model_b"]
    assert data.y.dtype.kind == "U"
    assert data.id.tolist() == [7, 9, 9, 3, 100, 7]
    assert data.id.dtype == np.int64
    assert data.model_a.tolist() == list("abcdef")
    assert data.model_b.tolist() == list("uvwxyz")
    assert check_battles(data.X) is data.X


def test_test_file_has_no_labels_and_no_models(path):
    data = load_arena(_write(_raw()[["id", *COLUMNS]], path))
    assert data.y is None
    assert data.model_a is None
    assert data.model_b is None
    assert len(data.X) == 6


@pytest.mark.parametrize("name", ["turns.jsonl", "turns.parquet"])
def test_real_lists(tmp_path, name):
    frame = _raw(json_cells=False)
    if name == "turns.parquet":  # parquet is UTF-8 and cannot hold half a character
        frame = frame[frame.id != 100]
    X = load_arena(_write(frame, tmp_path / name)).X
    assert X.prompt.tolist() == frame.prompt.tolist()
    assert X.response_a.tolist() == frame.response_a.tolist()
    assert X.response_b.tolist() == frame.response_b.tolist()
    assert all(type(cell) is list for cell in X.response_b)


def test_plain_text_is_kept_to_the_letter(path):
    text = ["NA", "None", "007", "", "[1, 2]", "true", 'a "b", c\r\nd\\n']
    frame = pd.DataFrame({"prompt": text, "response_a": text, "response_b": text})
    frame["winner"] = [
        "model_a",
        "model_b",
        "tie",
        "tie (bothbad)",
        "tie (inconsistent)",
        "tie",
        "tie",
    ]
    data = load_arena(_write(frame, path))
    assert data.X.response_b.tolist() == text
    assert data.X.prompt.tolist() == text
    assert data.y.tolist() == ["model_a", "model_b", "tie", "tie", "tie", "tie", "tie"]
    assert data.id is None


def test_other_columns_may_share_a_name(tmp_path):
    rows = '{"prompt": "p", "response_a": "a", "response_b": "b", "x": 1, "x": 2}\n'
    (tmp_path / "battles.jsonl").write_text(rows)
    (tmp_path / "battles.csv").write_text("prompt,response_a,response_b,,,x,x\np,a,b,,,1,2\n")
    names = ["prompt", "response_a", "response_b", "x", "x"]
    frame = pd.DataFrame([["p", "a", "b", "1", "2"]], columns=names)
    table = pa.Table.from_arrays([pa.array([value]) for value in frame.iloc[0]], names=names)
    pq.write_table(table, tmp_path / "battles.parquet")
    for source in (frame, *sorted(tmp_path.iterdir())):
        assert load_arena(source).X.loc[0].tolist() == ["p", "a", "b"]


def test_synthetic_battles_survive_a_file(tmp_path):
    data = make_battles(150, random_state=0)
    frame = data.X.assign(winner=data.y, id=data.id)
    loaded = load_arena(_write(frame, tmp_path / "battles.jsonl"))
    pd.testing.assert_frame_equal(loaded.X, data.X.astype(object))
    assert loaded.y.tolist() == data.y.tolist()
    assert loaded.id.tolist() == data.id.tolist()


def test_cells_says_what_text_is(tmp_path):
    path = _write(_raw(), tmp_path / "train.csv")
    assert load_arena(path, cells="text").X.response_a[1] == '["1", null]'
    path.write_text('prompt,response_a,response_b\n"[""a""]",plain,also plain\n')
    assert load_arena(path).X.prompt.tolist() == ['["a"]']
    with pytest.raises(FileFormatError, match="row 0, column response_a: 'plain' is not JSON"):
        load_arena(path, cells="json")


def test_missing_cells_are_none(tmp_path):
    for name in ("train.jsonl", "train.parquet", "train.csv"):
        frame = _raw().astype({"response_a": object})
        frame.loc[2, "response_a"] = None
        X = load_arena(_write(frame, tmp_path / name)).X
        assert X.response_a.tolist()[1:4] == [["1", None], None, ["NA"]]


def _conversation(*messages, system=None):
    roles = {"u": "user", "a": "assistant", "s": "system"}
    return [{"role": roles[who], "content": content} for who, content in messages]


ARENA = pd.DataFrame(
    {
        "question_id": ["58210e", "00123a", "x"],
        "model_a": ["m1", "m2", "m3"],
        "model_b": ["m2", "m3", "m1"],
        "winner": ["model_b", "tie (bothbad)", "tie"],
        "conversation_a": [
            _conversation(("u", "Hi"), ("a", "Hello")),
            _conversation(("u", "Q1"), ("u", "Q2"), ("a", "A2")),
            _conversation(("u", "Q1"), ("a", None), ("u", "Q2"), ("a", "A2")),
        ],
        "conversation_b": [
            _conversation(("u", "Hi"), ("a", "[1]")),
            _conversation(("u", "Q1"), ("a", "B1"), ("u", "Q2")),
            _conversation(("u", "Q1"), ("a", "B1")),
        ],
    }
)


@pytest.mark.parametrize("name", ["battles.parquet", "battles.jsonl"])
def test_arena_file_with_messages_in_parts(tmp_path, name):
    """As in the arena's newer files, from the file itself or as pandas reads it."""

    def parts(*texts):
        return [{"type": "text", "text": text, "image": None} for text in texts]

    frame = pd.DataFrame(
        {
            "conversation_a": [_conversation(("u", parts("Hi")), ("a", parts("Hello", "you")))] * 2,
            "conversation_b": [_conversation(("u", parts("Hi")), ("a", parts()))] * 2,
            "winner": ["both_bad", "model_b"],
        }
    )
    path = _write(frame, tmp_path / name)
    for source in (path, READ[name](path)):
        data = load_arena(source)
        assert data.X.loc[0].tolist() == [["Hi"], ["Hello\nyou"], [""]]
        assert data.y.tolist() == ["tie", "model_b"]
    frame.at[1, "conversation_b"][1]["content"] = [{"type": "text", "text": 5}]
    with pytest.raises(FileFormatError, match="conversation_b: 5, which is not text.*non_text"):
        load_arena(frame)
    assert load_arena(frame, non_text="json").X.response_b[1] == ["5"]
    frame.at[1, "conversation_a"][0]["content"] = [{"type": "image", "image": "x.png"}]
    with pytest.raises(FileFormatError, match="conversation_a: .*image.*parts with text"):
        load_arena(frame)


def test_arena_file(path):
    frame = ARENA
    if ".csv" in path.name:
        conversations = ARENA[["conversation_a", "conversation_b"]].map(json.dumps)
        frame = ARENA.assign(**conversations)
    data = load_arena(_write(frame, path))
    assert data.X.prompt.tolist() == [["Hi"], ["Q1", "Q2"], ["Q1", "Q2"]]
    assert data.X.response_a.tolist() == [["Hello"], [None, "A2"], [None, "A2"]]
    assert data.X.response_b.tolist() == [["[1]"], ["B1", None], ["B1", None]]
    assert data.y.tolist() == ["model_b", "tie", "tie"]
    assert data.id.tolist() == ["58210e", "00123a", "x"]
    assert data.model_b.tolist() == ["m2", "m3", "m1"]


def test_either_conversation_may_have_a_turn_more():
    long = _conversation(("u", "Hi"), ("a", "Hello"), ("u", "Why?"), ("a", "So"))
    short = _conversation(("u", "Hi"), ("a", "Hey"))
    for a, b in [(long, short), (short, long)]:
        X = load_arena(pd.DataFrame({"conversation_a": [a], "conversation_b": [b]})).X
        assert X.prompt[0] == ["Hi", "Why?"]
        assert [len(X.response_a[0]), len(X.response_b[0])] == [2, 2]


def test_turns_after_the_one_that_was_judged_are_left_out(path):
    """As in MT-bench, where both turns of a conversation stand beside the vote on the first."""
    messages = ("u", "Q1"), ("a", "A1"), ("u", "Q2"), ("a", "A2")
    other = ("u", "Q1"), ("a", "B1"), ("u", "another"), ("a", "B2")
    frame = pd.DataFrame({"turn": [1, 2, 3, None]})
    frame["conversation_a"] = [_conversation(*messages)] * 4
    frame["conversation_b"] = [_conversation(*other)] + [_conversation(*messages)] * 3
    if ".csv" in path.name:
        for name in ("conversation_a", "conversation_b"):
            frame[name] = frame[name].map(json.dumps)
    path = _write(frame, path)
    for source in (path, frame):
        X = load_arena(source).X
        assert X.prompt.tolist() == [["Q1"], *[["Q1", "Q2"]] * 3]
        assert X.response_a.tolist() == [["A1"], *[["A1", "A2"]] * 3]
        assert X.response_b.tolist() == [["B1"], *[["A1", "A2"]] * 3]


@pytest.mark.parametrize("turn", [0, -1, 1.5, "second", True, "²", [1], "9" * 5000])
def test_a_turn_that_is_no_number_of_one_is_refused(turn):
    frame = ARENA.assign(turn=pd.Series([1, turn, 1], dtype=object))
    with pytest.raises(FileFormatError, match=r"row 1 .id 00123a., column turn: .*from 1"):
        load_arena(frame)
    texts = dict(zip(COLUMNS, ("p", "a", "b"), strict=True))
    assert len(load_arena(frame.assign(**texts)).X) == 3  # where it means nothing


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        (_conversation(("s", "Be nice"), ("u", "Hi")), "role 'system'.*first user's message"),
        (_conversation(("u", "Hi"), ("s", "Be nice")), "role 'system'.*first user's message"),
        (_conversation(("a", "Hello"), ("u", "Hi")), "follows no user's message"),
        (_conversation(("u", "Hi"), ("a", "1"), ("a", "2")), "follows no user's message"),
        (_conversation(("u", "Ho"), ("a", "1")), "user's messages differ"),
        (_conversation(("u", "Hi"), ("a", [1])), "not text"),
        (_conversation(("u", "Hi"), ("a", [{"text": None}])), "parts with text"),
        ([{"role": "user"}], "role and content"),
        (["Hi"], "role and content"),
        (None, "list of messages"),
    ],
)
def test_broken_conversations_are_refused(tmp_path, conversation, expected):
    frame = ARENA.head(1).assign(conversation_b=[conversation])
    path = _write(frame, tmp_path / "arena.jsonl")
    with pytest.raises(FileFormatError, match=f"arena.jsonl: row 0 .id 58210e.*{expected}"):
        load_arena(path)


def test_non_text_turns_are_refused_or_kept_as_json(tmp_path):
    frame = _raw()
    frame.loc[3, "response_a"] = "[true, 2.5, null]"
    path = _write(frame, tmp_path / "train.csv")
    with pytest.raises(FileFormatError, match="row 3 .id 3., column response_a: True.*non_text="):
        load_arena(path)
    data = load_arena(path, non_text="json")
    assert data.X.response_a[3] == ["true", "2.5", None]
    frame.loc[3, "response_a"] = '[{"image": 1}]'
    with pytest.raises(FileFormatError, match="row 3"):
        load_arena(_write(frame, path), non_text="json")


@pytest.mark.parametrize("winners", [(0, 0, 0), (1, 1, 0), (0.5, 0.5, 0), (2, 0, 0), ("", 0, 1)])
def test_winners_that_are_not_one_hot_are_refused(path, winners):
    frame = _raw().astype(dict.fromkeys(HEADER.strip().split(",")[6:], object))
    frame.iloc[2, 6:] = winners
    if path.name.endswith(".parquet"):
        frame = frame.astype(dict.fromkeys(frame.columns[6:], str))
    with pytest.raises(FileFormatError, match=r"row 2 \(id 9\), column winner_model_a, winner_mo"):
        load_arena(_write(frame, path))


@pytest.mark.parametrize("kind", [float, bool])
def test_winners_may_be_floats_or_booleans(path, kind):
    frame = _raw().astype(dict.fromkeys(HEADER.strip().split(",")[6:], kind))
    assert load_arena(_write(frame, path)).y.tolist()[:3] == ["model_a", "model_b", "tie"]


@pytest.mark.parametrize("winner", ["both", "", "Model_A", None, 1, ["tie"]])
def test_unknown_winner_is_refused(tmp_path, winner):
    frame = ARENA.astype({"winner": object})
    frame.at[1, "winner"] = winner
    path = _write(frame, tmp_path / "arena.jsonl")
    with pytest.raises(FileFormatError, match="row 1 .id 00123a., column winner: .*'model_a'"):
        load_arena(path)


@pytest.mark.parametrize("missing", ["prompt", "response_b", "winner_tie"])
def test_missing_column_is_refused(path, missing):
    with pytest.raises(FileFormatError, match=f"no column '{missing}'"):
        load_arena(_write(_raw().drop(columns=missing), path))


BROKEN = {
    "empty.csv": (b"", "no battles"),
    "header.csv": (HEADER.encode(), "no battles"),
    "twice.csv": (b"prompt,prompt,response_a,response_b\na,b,c,d\n", "more than one.*prompt"),
    "latin.csv": (b"prompt,response_a,response_b\ncaf\xe9,b,c\n", "not UTF-8"),
    "long.csv": (b"prompt,response_a,response_b\na,b,c,d\n", "Expected 3 fields in line 2, saw 4"),
    "later.csv": (b"prompt,response_a,response_b\na,b,c\na,b,c,d\n", "cannot be read"),
    "short.csv": (b"prompt,response_a,response_b\na,b,c\na,b\n", "Expected 3 columns, got 2"),
    "cut.csv": (b'prompt,response_a,response_b\na,b,"c', "cut off"),
    "quote.csv": (b'prompt,response_a,response_b\na,b,"c ""', "cut off"),
    "line.csv": (b'prompt,response_a,response_b\na,b,"c\n', "cut off"),
    "semicolons.csv": (b"\xef\xbb\xbfprompt;response_a\r\na;b\r\n", "separated by ';'.*sep=';'"),
    "tabs.csv": (b"prompt\tresponse_a\na\tb, c\n", r"separated by '\\t'.*sep='\\t'"),
    "bars.csv": (b'\n"a, b"|prompt|c\n1|2|3, 4\n', r"separated by '\|'"),
    "blank.csv": (f"{HEAD}p,a,b\n \t\n\xa0\n".encode(), "Expected 3 columns, got 1"),
    "ideographic.csv": (f"{HEAD}p,a,b\n\u3000\n".encode(), "Expected 3 columns, got 1"),
    "form_feed.csv": (f"{HEAD}p,a,b\n\x0c\n".encode(), "Expected 3 columns, got 1"),
    "tab.csv": (f"{HEAD}p,a,b\n \x0b\n".encode(), "Expected 3 columns, got 1"),
    **{
        f"{words[:3]}.csv": (
            (HEAD + "a,b,c\n" * 5000 + f"{words},d\n" + "a,b,c\n" * 50).encode(),
            "Expected 3 columns, got 2",
        )
        for words in ("Empty CSV file", "EOF inside string")
    },
    "third.csv": (f"{HEAD}a,b,c\na,b,c,d\n".encode(), "read: .*Expected 3 fields in line 3, saw 4"),
    "wide.csv": (b"\xfe\xff" + "prompt,a\nb,c\n".encode("utf-16-be"), "UTF-16"),
    "wide.jsonl": ("{}\n".encode("utf-16"), "UTF-16"),
    "old_excel.csv": (b"\xd0\xcf\x11\xe0\xa1", "Excel file"),
    "packed.jsonl": (gzip.compress(b"{}"), "gzip file; add .gz"),
    "marked.csv": ("prompt,response_a,response_b\na,b,c\n".encode("utf-16"), "UTF-16"),
    "packed.csv": (gzip.compress(HEADER.encode()), "gzip file; add .gz"),
    "excel.csv": (b"PK\x03\x04 and more", "zip file, such as Excel's"),
    "table.csv": (b"PAR1 and more", r"parquet file.*\.parquet"),
    "cut.csv.gz": (gzip.compress(HEADER.encode() * 999)[:-20], "gzip"),
    "bad.csv.gz": (gzip.compress(HEADER.encode())[:10] + b"\xff" * 99, "damaged or cut-off gzip"),
    "bad.jsonl.gz": (gzip.compress(LINE)[:10] + b"\xff" * 99, "damaged or cut-off gzip"),
    "no.csv.gz": (HEADER.encode(), "gzip"),
    "no.parquet": (HEADER.encode(), "cannot be read"),
    "empty.jsonl": (b"\n\n", "no battles"),
    "no.jsonl": (b'{"prompt": "a"', "line 1 is not JSON"),
    "list.jsonl": (b'["a", "b"]\n', "line 1 is not a JSON object"),
    "twice.jsonl": (b'{"prompt": "a", "prompt": "b"}', "line 1: more than one.*prompt"),
    "deep.jsonl": (b'{"prompt": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", "line 1 is not JSON"),
    "nothing.jsonl": (b"{}\n" + LINE, "line 1 is not a JSON object with"),
    "later.jsonl": (LINE + b"\n{}", "line 2 is not a JSON object with"),
    "more.jsonl": (
        LINE + b"\n" + LINE.replace(b"{", b'{"winner": "tie", '),
        "line 2 and line 1 differ in the keys winner",
    ),
    "latin.jsonl": (b'{"prompt": "caf\xe9"}', "not UTF-8.*Save it as UTF-8.$"),
    "unlike.jsonl": (
        b'{"prompt":"a","response_a":"b","response_b":"c"}\n{"prompt":"a","response_a":"b"}',
        "line 2 and line 1 differ in the keys response_b",
    ),
    "battles.XLSX": (b"", "unknown format.*jsonl.*as CSV, or pass what pandas.read_excel gives"),
    "battles.txt": (b"", r"unknown format.*\.gz\.$"),
    "battles.json": (
        b"",
        "unknown format.*jsonl if each line is an object, or.*read_json gives with dtype=False",
    ),
    "battles.tsv": (b"", r"unknown format.*with commas, or.* sep='\\t', dtype=str, keep_def"),
    "train.csv.zip": (b"", "unknown format.*Unzip it first"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused(tmp_path, name):
    content, expected = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=rf"{name}.*({expected})"):
        load_arena(tmp_path / name)
    with pytest.raises(FileFormatError, match=rf"{name}.*({expected})"):
        list(iter_arena(tmp_path / name, 1))


READABLE = {
    "empty_last.csv": (f"{HEAD}a,b,\n\n,,\n", [["a", "b", ""], ["", "", ""]]),
    "numbers.csv": (f"{HEAD}1,02,3.50\n4,05,6.10\n", [["1", "02", "3.50"], ["4", "05", "6.10"]]),
    "header.csv": (f'"x;\ny",a|b,{HEAD}1,2,p,a,b\n', [["p", "a", "b"]]),
    "comma.csv": ("prompt,response_a,response_b,\nwhy,so,because,\n", [["why", "so", "because"]]),
    "spaces.csv": (f"{HEAD}a,b,c\n \n\t\nd,e,\n \n", [["a", "b", "c"], ["d", "e", ""]]),
    "marked.csv": (
        "\ufeffprompt,response_a,response_b\r\na,b,c\r\n\r\nd,e,f\r\n",
        [["a", "b", "c"], ["d", "e", "f"]],
    ),
    "marked.jsonl": (f"\ufeff{LINE.decode()}\r\n\r\n", [["a", "b", "c"]]),
    "packed.jsonl.gz": (LINE.decode(), [["a", "b", "c"]]),
    "CAPITALS.CSV.GZ": (f"{HEAD}why,so,\n", [["why", "so", ""]]),
    "control.csv": (f'{HEAD}"[""a\tb\nc""]","[""x""]",[]\n', [[["a\tb\nc"], ["x"], []]]),
    "control.jsonl": (
        '{"prompt": ["a\tb"], "response_a": ["x"], "response_b": []}',
        [[["a\tb"], ["x"], []]],
    ),
    # What cells are is decided once, by most of those in the first hundred rows that have any.
    "once.csv": (f"{HEAD}[1],[2],007\n" + "h,a,b\n" * 5, [["[1]", "[2]", "007"], *["hab"] * 5]),
    "half.csv": (f"{HEAD}[x],[x],[x]\nt,t,t\n", [["[x]"] * 3, ["t"] * 3]),
    "late.csv": (HEAD + ",,\n" * 50 + "[],[],[]\n", [[None] * 3] * 50 + [[[]] * 3]),
    "beside.csv": (f"{HEAD}[x],1,1\n[x],02,02\n", [["[x]", "1", "1"], ["[x]", "02", "02"]]),
    "hundred.csv": (
        HEAD + "t,t,t\n" * 100 + "[x],[x],[x]\n" * 300,
        [["t"] * 3] * 100 + [["[x]"] * 3] * 300,
    ),
}


@pytest.mark.parametrize("name", READABLE)
def test_readable_files(tmp_path, name):
    content, expected = READABLE[name]
    content, path = content.encode(), tmp_path / name
    path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    expected = list(map(list, expected))
    X = load_arena(path).X
    assert X.to_numpy().tolist() == expected
    pd.testing.assert_frame_equal(pd.concat([part.X for part in iter_arena(path, 2)]), X)


def alike(*cells):
    """Give a frame whose three columns hold the same cells."""
    return pd.DataFrame(dict.fromkeys(COLUMNS, pd.Series(cells, dtype=object)))


@pytest.mark.parametrize(
    ("frame", "options", "expected"),
    [
        (alike("a", np.nan), {}, ["a", None]),
        *[(alike(("a", None)), {"cells": cells}, [["a", None]]) for cells in ("json", "text")],
        *[
            (alike(' ["a"]\n', "\t[null] "), {"cells": c}, [["a"], [None]])
            for c in ("auto", "json")
        ],
        (alike('["a"]', "null"), {"cells": "json"}, [["a"], None]),
        (
            alike(f"[1, -9{'9' * 400}, 2.5, false]"),
            {"non_text": "json"},
            [["1", f"-9{'9' * 400}", "2.5", "false"]],
        ),
        (ARENA.assign(**dict.fromkeys(COLUMNS, "text")), {}, ["text"] * 3),
    ],
)
def test_cells_of_a_frame(frame, options, expected):
    X = load_arena(frame, **options).X
    assert X.prompt.tolist() == X.response_b.tolist() == expected


def change(row, column, cell):
    """Give the quirky battles with another cell."""
    frame = _raw().astype({column: object})
    frame.at[row, column] = cell
    return frame


NO_LISTS = ['["cut', "plain", '{"a": 1}', '"text"', '""', "{}", '["a"] x', "[" * 10**5, "5"]
NO_LISTS += ['["x"],["y"]', 5, True, {"a": 1}, 0, False]


@pytest.mark.parametrize("non_text", ["raise", "json"])
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("cell", NO_LISTS, ids=lambda cell: f"{cell!r:.9}")
def test_cells_that_are_no_json_lists_are_refused(cell, column, non_text):
    with pytest.raises(FileFormatError, match=rf"row 4 \(id 100\), column {column}: .*JSON list"):
        load_arena(change(4, column, cell), non_text=non_text)


@pytest.mark.parametrize(
    ("frame", "options", "match"),
    [
        (_raw().iloc[:0], {}, "The DataFrame: there are no battles"),
        (_raw().drop(columns="prompt"), {}, "The DataFrame has no column 'prompt'"),
        (_raw().assign(winner_tie=1), {}, r"The DataFrame: row 0 \(id 7\)"),
        (_raw().set_axis(["id"] * 9, axis=1), {}, "more than one column is named id"),
        (_raw().assign(winner="tie"), {}, "drop one"),
        (_raw().assign(prompt="['Hi']"), {}, "row 0.*column prompt.*json.dumps"),
        (_raw().assign(prompt='[{"a": 1}]'), {"non_text": "json"}, "Expected text or null[.]"),
        (
            change(1, "winner_model_a", [1]),
            {},
            r"row 1 .*column winner_model_a, .*: \[1\], 1, 0[.]",
        ),
        (
            pd.DataFrame(columns=["prompt", "chosen", "rejected"], index=[0]),
            {},
            "half of the chosen",
        ),
        (alike('["a"', '"b"],["c"]'), {"cells": "json"}, "row 0, column prompt"),
        (alike('["a]', '[b"]', '["c"],["d"]'), {"cells": "json"}, "row 0.* is not JSON"),
        (
            alike('["a",["x"]', '["b"],["y"]', '["c"]]', '["d"],5,["e"]'),
            {"cells": "json"},
            "row 0, column prompt: .* is not JSON",
        ),
    ],
)
def test_frames_that_are_refused(frame, options, match):
    with pytest.raises(FileFormatError, match=match):
        load_arena(frame, **options)


def test_labels_and_ids_are_read_as_they_are_written(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(HEADER + "007, m, n, p, a, b, 1, 0, 0 \n8, m, n, p, a, b, 0, False, True\n")
    data = load_arena(path)
    assert data.y.tolist() == ["model_a", "tie"]
    assert data.id.tolist() == ["007", "8"]


@pytest.mark.parametrize("name", ["battles.csv", "battles.jsonl"])
def test_what_the_system_refuses_is_no_matter_of_the_file(tmp_path, monkeypatch, name):
    def refuse(path, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    path = _write(_raw(), tmp_path / name)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError, match=name):
        load_arena(path)


def test_a_folder_is_no_file(tmp_path):
    frame = pd.DataFrame({"prompt": ["p"], "response_a": ["a"], "response_b": ["b"]})
    for part in range(2):
        frame.to_parquet(tmp_path / f"{part}.parquet")
    with pytest.raises(FileFormatError, match="is a folder; expected a file.*by pandas.read_parq"):
        load_arena(tmp_path)
    assert len(load_arena(pd.read_parquet(tmp_path)).X) == 2


@pytest.mark.parametrize("written", [{"sep": ";"}, {"encoding": "cp1252"}])
def test_what_is_advised_for_other_separators_and_encodings_works(tmp_path, written):
    path = tmp_path / "train.csv"
    raw = _raw().assign(id=["007", *"12345"], model_a="caf\xe9")
    raw.to_csv(path, index=False, **written)
    with pytest.raises(FileFormatError) as error:
        load_arena(path)
    advised = re.search(r"load_arena\(.*\)\)", str(error.value)).group()
    data = eval(advised, {"load_arena": load_arena, "pandas": pd})
    assert data.X.response_b.tolist() == CELLS["response_b"]
    assert data.id.tolist() == ["007", *"12345"]
    assert data.model_a[0] == "caf\xe9"
    assert data.y is not None


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("gb18030", "为什么？"), ("cp932", "なぜ？"), ("cp949", "왜?"), ("cp1251", "Почему?")],
)
def test_no_western_encoding_alone_is_advised_for_other_scripts(tmp_path, encoding, text):
    path = tmp_path / "train.csv"
    path.write_bytes(f"prompt,response_a,response_b\n{text},b,c\n".encode(encoding))
    with pytest.raises(FileFormatError, match=f"wrong letters.*{encoding}") as error:
        load_arena(path)
    advised = re.search(r"load_arena\(.*\)\)", str(error.value)).group()
    advised = advised.replace("cp1252", encoding)
    data = eval(advised, {"load_arena": load_arena, "pandas": pd})
    assert data.X.prompt.tolist() == [text]


def test_other_encodings_are_named_behind_empty_cells_too(tmp_path):
    path = tmp_path / "train.csv"
    rows = b"a,b,\n" * 2100  # cells at the end of rows may be empty or not there
    path.write_bytes(b"prompt,response_a,response_b\n" + rows + b"caf\xe9,b,c\n")
    with pytest.raises(FileFormatError, match="not UTF-8.*encoding='cp1252'"):
        load_arena(path)


@pytest.mark.parametrize("name", ["absent.csv", "https://example.org/absent.csv"])
def test_absent_file(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
        load_arena(name)


@pytest.mark.parametrize("name", ["b.csv", "b.parquet", "b.jsonl", None])
@pytest.mark.parametrize("groups", [[4, 4, 0], ["x", "x", "007"]])
def test_groups_of_prompts_are_kept(tmp_path, name, groups):
    frame = make_battles(3, random_state=0).X.map(json.dumps).assign(prompt_group=groups)
    path = frame if name is None else tmp_path / name
    if name:
        _write(frame, path)
    kept = load_arena(path).X
    assert kept.columns.tolist() == [*COLUMNS, "prompt_group"]
    assert kept["prompt_group"].tolist() == groups
    if name:
        assert [part.X["prompt_group"].tolist() for part in iter_arena(path, 2)] == [
            groups[:2],
            groups[2:],
        ]


def test_other_columns_are_ignored(tmp_path):
    path = tmp_path / "train.csv"
    _raw().assign(turn=["1", "x", "", "2.5", "y", ""]).to_csv(path)  # with the index
    assert load_arena(path).X.prompt.tolist() == CELLS["prompt"]
    rows = [{"prompt": "a", "response_a": "b", "response_b": "c", key: 1} for key in "xy"]
    path = _write(pd.DataFrame(rows), tmp_path / "extra.jsonl")
    path.write_text("\n".join(map(json.dumps, rows)))
    assert len(load_arena(path).X) == 2


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize(
    "last", ["c", '"c"', '""', "", '"say ""c"""', '"c\n"', "c’s", '"ça, 日本"']
)
def test_the_end_of_a_whole_file_is_recognised(tmp_path, last, end):
    path = tmp_path / "end.csv"
    path.write_bytes(f"response_a,response_b,prompt\na,b,{last}{end}".encode())
    expected = last[1:-1].replace('""', '"') if last.startswith('"') else last
    assert load_arena(path).X.prompt.tolist() == [expected]


@pytest.mark.parametrize("end", ["\r\n", "\n" * 5000])
def test_line_breaks_in_text_and_blank_lines_at_the_end(tmp_path, end):
    path = tmp_path / "train.csv"
    path.write_bytes((HEAD + 'a,b,"c\r\nd"\n' * 5000 + end).encode())
    assert load_arena(path).X.response_b.tolist() == ["c\r\nd"] * 5000


def test_a_parquet_file_that_is_no_utf8_is_refused(tmp_path):
    sizes, cell = np.array([0, 5], dtype=np.int32), b'["\xff"]'
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(sizes), pa.py_buffer(cell)])
    pq.write_table(pa.table(dict.fromkeys(COLUMNS, text)), tmp_path / "train.parquet")
    with pytest.raises(FileFormatError, match="not UTF-8"):
        load_arena(tmp_path / "train.parquet")


@pytest.mark.parametrize("chunk_rows", [1, 4, 6, 100])
def test_parts_make_the_whole(path, chunk_rows):
    whole = load_arena(_write(_raw(), path))
    parts = list(iter_arena(path, chunk_rows))
    assert [len(part.y) for part in parts][:-1] == [chunk_rows] * (len(parts) - 1)
    pd.testing.assert_frame_equal(pd.concat([part.X for part in parts]), whole.X)
    for name in ("y", "id", "model_a", "model_b"):
        assert np.concatenate([part[name] for part in parts]).tolist() == whole[name].tolist()


def test_parts_name_the_row_of_the_file(tmp_path):
    frame = _raw()
    frame.loc[5, "prompt"] = "[1]"
    parts = iter_arena(_write(frame, tmp_path / "train.csv"), 2)
    assert len([next(parts), next(parts)]) == 2
    with pytest.raises(FileFormatError, match="row 5 .id 7."):
        next(parts)


def test_arguments_are_checked_at_the_call(tmp_path):
    with pytest.raises(ValueError, match="chunk_rows"):
        iter_arena("battles.csv", 0)
    with pytest.raises(FileFormatError, match="unknown format"):
        iter_arena("battles.txt")
    with pytest.raises(ValueError, match="cells"):
        load_arena("battles.csv", cells="yaml")


def test_more_rows_than_a_batch(tmp_path):
    frame = pd.concat([_raw()] * 400, ignore_index=True).assign(id=range(2400))
    for name in ("many.csv", "many.parquet", "many.jsonl"):
        data = load_arena(_write(frame, tmp_path / name))
        assert data.X.response_a.tolist() == CELLS["response_a"] * 400
        assert data.id.tolist() == list(range(2400))


def test_verbose_is_quiet_when_fast(tmp_path, capsys):
    load_arena(_write(_raw(), tmp_path / "train.csv"), verbose=True)
    assert capsys.readouterr() == ("", "")


TURNS = st.lists(st.none() | st.text(st.characters(codec=None, exclude_categories=())), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TURNS, TURNS, TURNS), min_size=1, max_size=5), st.booleans())
def test_any_turns_survive_a_file(tmp_path_factory, rows, gz):
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).map(json.dumps)
    path = tmp_path_factory.mktemp("any") / ("any.csv.gz" if gz else "any.csv")
    X = load_arena(_write(frame, path)).X
    assert list(X.itertuples(index=False, name=None)) == rows


@pytest.mark.real_data
def test_real_files(arena_data):
    data = load_arena(arena_data / "pandalm_human.parquet", non_text="json")
    assert len(data.y) == 999
    assert ["true"] in data.X.response_a.tolist()
    with pytest.raises(FileFormatError, match="pandalm_human.parquet: row 157 .*non_text='json'"):
        load_arena(arena_data / "pandalm_human.parquet")
    harmless = load_arena(arena_data / "hh_harmless_human.parquet")
    assert set(harmless.y) == {"model_a", "model_b"}
    assert harmless.X.prompt.map(len).max() > 1


@pytest.mark.parametrize("n_lists", [5, 10])
def test_lists_among_texts_are_said(tmp_path, n_lists):
    cells = ["['Hi', 'Why?']"] * n_lists + ["Hello"] * (30 - n_lists)
    frame = pd.DataFrame(np.reshape(cells, (10, 3)), columns=COLUMNS)
    frame.to_csv(tmp_path / "battles.csv", index=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        X = load_arena(tmp_path / "battles.csv").X
        assert load_arena(tmp_path / "battles.csv", cells="text").X.equals(X)
    assert X.to_numpy().ravel().tolist() == cells
    said = [str(warning.message) for warning in caught]
    assert len(said) == (n_lists == 10)
    assert all("10 of the first 30 cells look like lists of turns" in text for text in said)


READ = {
    "battles.csv": functools.partial(pd.read_csv, keep_default_na=False),
    "battles.parquet": pd.read_parquet,
    "battles.jsonl": functools.partial(pd.read_json, lines=True, dtype=False),
}


@pytest.mark.parametrize("kind", ["competition", "lists", "arena", "text"])
@pytest.mark.parametrize("name", READ)
def test_a_frame_is_read_like_its_file(tmp_path, kind, name):
    frame = ARENA if kind == "arena" else _raw(json_cells=kind == "competition")
    frame = frame[frame.iloc[:, 0] != 100]  # half a character, which pandas loses
    if kind == "text":
        frame = frame.assign(prompt="Hi", response_a=["", "NA", "[1]", "x", "y"], response_b="b")
    elif name == "battles.csv" and kind != "competition":
        long = [column for column in (*COLUMNS, *CONVERSATIONS) if column in frame]
        frame = frame.assign(**frame[long].map(json.dumps))
    path = _write(frame, tmp_path / name)
    expected = load_arena(path)
    for found in (load_arena(READ[name](path)), load_arena(frame)):
        assert found.X.to_numpy().tolist() == expected.X.to_numpy().tolist()
        for part in ("y", "id", "model_a", "model_b"):
            assert found[part].tolist() == expected[part].tolist()
        assert found.filename is None


def test_a_part_of_a_frame_keeps_its_index():
    frame = _raw().set_index(pd.Index(list("uvwxyz")))
    part = load_arena(frame[frame["winner_tie"] == 1])
    assert part.X.index.tolist() == ["w", "x", "y"]
    assert part.X.response_a.tolist() == CELLS["response_a"][2:5]
    assert part.y.tolist() == ["tie"] * 3


def test_the_file_is_named_as_it_was_given(tmp_path):
    path = _write(_raw(), tmp_path / "train.csv")
    assert load_arena(path).filename == str(path)
    assert [part.filename for part in iter_arena(str(path), 4)] == [str(path)] * 2


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(tmp_path, enabled):
    path = _write(_raw(), tmp_path / "train.csv")
    try:
        gc.enable() if enabled else gc.disable()
        load_arena(path)
        assert gc.isenabled() == enabled
        with pytest.raises(FileFormatError):
            load_arena(_write(_raw().drop(columns="prompt"), path))
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


def test_the_id_is_taken_before_the_id_of_the_question():
    frame = _raw().assign(question_id=range(6))
    for names in (frame.columns, frame.columns[::-1]):
        assert load_arena(frame[names]).id.tolist() == [7, 9, 9, 3, 100, 7]


def test_what_is_said_to_be_text_stays_text_after_many_lists(tmp_path):
    cells = ["[x]"] * 100 + ["007"]
    pd.DataFrame(dict.fromkeys(COLUMNS, cells)).to_csv(tmp_path / "battles.csv", index=False)
    parts = iter_arena(tmp_path / "battles.csv", 100, cells="text")
    assert [cell for part in parts for cell in part.X.response_a] == cells


def test_a_file_that_is_not_there_is_missed_at_once(tmp_path):
    for read in (load_arena, iter_arena):
        with pytest.raises(FileNotFoundError, match=r"none\.csv"):
            read(tmp_path / "none.csv")


def test_ids_larger_than_any_machine_integer_are_kept():
    frame = pd.DataFrame([["p", "a", "b"]] * 2, columns=COLUMNS)
    ids = [2**70, 7]
    assert load_arena(frame.assign(id=pd.Series(ids, dtype=object))).id.tolist() == ids
    assert load_arena(frame.assign(id=list(map(str, ids)))).id.tolist() == list(map(str, ids))


def test_a_parquet_file_with_a_name_twice_is_refused(tmp_path):
    names = [*COLUMNS, "prompt"]
    pq.write_table(pa.table([pa.array([name]) for name in "pabq"], names), tmp_path / "a.parquet")
    with pytest.raises(FileFormatError, match="more than one column is named prompt"):
        load_arena(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("path", "options", "name"),
    [
        ("battles.csv", {"non_text": "drop"}, "non_text"),
        ("battles.csv", {"verbose": "yes"}, "verbose"),
        ([["a", "b"]], {}, "path"),
    ],
)
def test_options_that_are_unknown_are_refused(path, options, name):
    with pytest.raises(InvalidParameterError, match=f"'{name}'"):
        load_arena(path, **options)


def test_a_part_has_ten_thousand_battles_if_not_said(tmp_path):
    row = '{"prompt": "p", "response_a": "a", "response_b": "b"}\n'
    (tmp_path / "battles.jsonl").write_text(row * 10_001)
    assert [len(part.X) for part in iter_arena(tmp_path / "battles.jsonl")] == [10_000, 1]


@pytest.mark.parametrize("name", ["id", "model_a", "model_b", "prompt_group"])
@pytest.mark.parametrize("values", [["gpt", 2], [7, None]])
def test_names_and_ids_of_several_kinds_are_kept(name, values):
    frame = pd.DataFrame([["p", "a", "b"]] * 2, columns=COLUMNS)
    data = load_arena(frame.assign(**{name: pd.Series(values, dtype=object)}))
    assert (data.X if name == "prompt_group" else data)[name].tolist() == values


def test_an_address_is_no_path(path):
    for read in (load_arena, iter_arena):
        with pytest.raises(FileNotFoundError):
            read(_write(_raw(), path).as_uri())


def test_a_large_file_may_hold_line_breaks_and_text_after_numbers(tmp_path):
    """The lengths of its rows are checked in blocks, none of which says what the next may hold."""
    path = tmp_path / "large.csv"
    with open(path, "w") as file:
        file.write(HEAD + "text,1,\n" * 100)
        file.writelines(['"' + "long\n" * 200_000 + '",2,\n'] * 70)
        file.write("text,three,\n")
    assert next(iter_arena(path, 50)).X.response_a.tolist() == ["1"] * 50


def test_the_parts_of_a_message_may_be_a_tuple():
    parts = ({"text": "Hi"}, {"text": "you"})
    frame = ARENA.head(1).assign(
        conversation_a=[_conversation(("u", parts), ("a", "Yes?"))],
        conversation_b=[_conversation(("u", "Hi\nyou"), ("a", parts))],
    )
    assert load_arena(frame).X.loc[0].tolist() == [["Hi\nyou"], ["Yes?"], ["Hi\nyou"]]


@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.parquet", "b.jsonl", "b.jsonl.gz", None])
def test_the_progress_grows_while_a_source_is_read(tmp_path, monkeypatch, name):
    seen = []

    class Bar(tqdm):
        def update(self, n=1):
            super().update(n)
            seen.append(self.n)

    bars = []
    monkeypatch.setattr(_arena, "tqdm", lambda **options: bars.append(Bar(**options)) or bars[0])
    monkeypatch.setattr(_arena, "_BATCH_ROWS", 800)
    rng = np.random.default_rng(0)
    cells = [[rng.bytes(250).hex() for _ in COLUMNS] for _ in range(2000)]
    frame = source = pd.DataFrame(cells, columns=COLUMNS)
    if name is not None:
        source = tmp_path / name
        plain = _write(frame, tmp_path / name.removesuffix(".gz"))
        if plain != source:
            source.write_bytes(gzip.compress(plain.read_bytes()))
    load_arena(source, verbose=True)
    assert seen == sorted(seen)
    assert any(0.1 < share < 0.9 for share in seen)
    assert seen[-1] == pytest.approx(1)
    assert bars[0].desc.startswith(f"Loading {name or 'The DataFrame'}")


def test_what_is_advised_for_other_separators_keeps_text_to_the_letter(tmp_path):
    (tmp_path / "text.csv").write_text("prompt;response_a;response_b\nNA;007;\n")
    with pytest.raises(FileFormatError) as error:
        load_arena(tmp_path / "text.csv")
    advised = re.search(r"load_arena\(.*\)\)", str(error.value)).group()
    data = eval(advised, {"load_arena": load_arena, "pandas": pd})
    assert data.X.loc[0].tolist() == ["NA", "007", ""]


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_damaged_parquet_file_is_refused(tmp_path, place):
    rng = np.random.default_rng(0)
    cells = [[rng.bytes(100).hex() for _ in COLUMNS] for _ in range(500)]
    path = _write(pd.DataFrame(cells, columns=COLUMNS), tmp_path / "battles.parquet")
    content = bytearray(path.read_bytes())
    start = int(place * len(content))
    content[start : start + 2000] = b"\xff" * len(content[start : start + 2000])
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="battles.parquet: cannot be read"):
        load_arena(path)


@pytest.mark.parametrize("name", ["b.jsonl", "b.parquet", None])
@pytest.mark.parametrize("last", [[1, 3], [1]])
def test_groups_and_names_may_be_lists(tmp_path, name, last):
    frame = make_battles(3, random_state=0).X.map(json.dumps)
    frame["prompt_group"] = frame["model_a"] = [[1, 2], [1, 2], last]
    path = frame if name is None else tmp_path / name
    if name:
        _write(frame, path)
    data = load_arena(path)
    X = data.X
    assert X["prompt_group"].tolist() == data.model_a.tolist() == [[1, 2], [1, 2], last]
    assert prompt_groups(X)[0] == prompt_groups(X)[1] != prompt_groups(X)[2]


def test_lone_surrogates_may_be_in_groups(tmp_path):
    row = dict.fromkeys((*COLUMNS, "prompt_group"), LONE)
    path = tmp_path / "battles.jsonl"
    path.write_text(json.dumps(row))
    assert load_arena(path).X.iloc[0].to_dict() == row


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.parquet", "b.jsonl"])
def test_a_file_may_have_a_name_that_is_no_utf8(tmp_path, name):
    _write(_raw().assign(notes=""), tmp_path / name)  # a row of an empty cell is looked at twice
    path = (tmp_path / name).rename(tmp_path / os.fsdecode(b"\xe4" + name.encode()))
    assert load_arena(path).X["prompt"].tolist() == CELLS["prompt"]


@pytest.mark.parametrize("chunk_rows", [2, 3, 4, 7, 100])
def test_categories_in_row_groups_are_read_like_other_columns(tmp_path, chunk_rows):
    cells = ["[x]"] * 3 + list("text for the rest")
    frame = pd.DataFrame(dict.fromkeys(COLUMNS, cells), dtype="category")
    path = tmp_path / "battles.parquet"
    frame.to_parquet(path, row_group_size=3)
    parts = [part.X.prompt.tolist() for part in iter_arena(path, chunk_rows)]
    assert parts == [cells[i : i + chunk_rows] for i in range(0, len(cells), chunk_rows)]
    assert load_arena(path).X.prompt.tolist() == cells


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_numbers_that_json_has_not_are_no_text(tmp_path, number):
    path = tmp_path / "battles.jsonl"
    path.write_text(f'{{"id": 7, "prompt": "p", "response_a": {number}, "response_b": "b"}}\n')
    said = r"row 0 \(id 7\), column response_a: (nan|-?inf), which is not text. Expected text or n"
    for non_text in ("raise", "json"):
        with pytest.raises(FileFormatError, match=said) as error:
            load_arena(path, non_text=non_text)
        assert "non_text=" not in str(error.value)  # it would not help


def test_conversations_that_pandas_wrote_as_python_lists_are_explained(tmp_path):
    ARENA.to_csv(tmp_path / "arena.csv", index=False)
    for cells in ("auto", "text"):
        with pytest.raises(FileFormatError, match="row 0.*conversation_a.*json.dumps") as error:
            load_arena(tmp_path / "arena.csv", cells=cells)
        assert "Expected a JSON list of messages. Rows" in str(error.value)
    frame = ARENA.assign(conversation_b='"Hi"')
    with pytest.raises(FileFormatError, match="conversation_b: .*Expected a JSON list of messages"):
        load_arena(frame)


def test_the_first_hundred_rows_are_no_more():
    frame = pd.DataFrame(dict.fromkeys(COLUMNS, ["text"] * 50 + ["[1]"] * 51))
    with pytest.warns(ArenaWarning, match="150 of the first 300 cells look like lists"):
        assert load_arena(frame).X.prompt[100] == "[1]"
