import functools
import os
import pathlib
import pickle
import re
import shutil
import sys
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import transformers
from tiny_encoders import FAMILIES
from tqdm.auto import tqdm

from arena_estimators import swap
from arena_estimators._encoder import _texts
from arena_estimators._encoder._layout import TRUNCATIONS, Plan, _fill, cut, special_tokens
from arena_estimators._encoder._load import load_tokenizer
from arena_estimators._encoder._tokenise import tokenise
from arena_estimators.exceptions import ArenaError

LONG = " ".join(f"word{number}" for number in range(400))
# What each family puts before and after a text.
SPECIAL = {
    "bert": (1, 1),
    "roberta": (1, 1),
    "distilbert": (1, 1),
    "electra": (1, 1),
    "mpnet": (1, 1),
    "deberta-v2": (1, 1),
    "modernbert": (1, 1),
    "gpt2": (0, 0),
    "qwen2": (0, 0),
    "llama": (1, 0),
    "gemma": (1, 0),
    "t5": (0, 1),
}


@pytest.fixture
def bert(tiny):
    return load_tokenizer(tiny("bert"))


def one_battle(prompt="Why?", a="yes", b="no"):
    return pd.DataFrame({"prompt": [prompt], "response_a": [a], "response_b": [b]}, dtype=object)


def read(tokenised, tokenizer, row=0, side=0):
    return tokenizer.decode(ids_of(tokenised, row, side))


def ids_of(tokenised, row=0, side=0):
    place = tokenised.rows[row, side]
    sequences = tokenised.sequences
    return sequences.ids[sequences.offsets[place] : sequences.offsets[place + 1]]


@pytest.mark.parametrize("layout", ["siamese", "cross"])
@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_are_those_of_the_family(tiny, battles, family, layout):
    tokenizer = load_tokenizer(tiny(family))
    tokenised = tokenise(battles, tokenizer, layout=layout, max_length=60)
    n_before, n_after = SPECIAL[family]
    ordinary = tokenizer("Hello", add_special_tokens=False)["input_ids"]
    whole = tokenizer("Hello")["input_ids"]
    assert len(whole) == len(ordinary) + n_before + n_after
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    for row in range(len(battles)):
        ids = ids_of(tokenised, row).tolist()
        assert len(ids) <= 60
        assert ids[:n_before] == whole[:n_before]
        assert ids[len(ids) - n_after :] == whole[len(whole) - n_after :]
        assert not special & set(ids[n_before : len(ids) - n_after])


@pytest.mark.parametrize("family", FAMILIES)
def test_no_text_makes_a_special_token(tiny, family):
    tokenizer = load_tokenizer(tiny(family))
    text = " and ".join(tokenizer.all_special_tokens)
    tokenised = tokenise(one_battle(text, text + text, [text, None]), tokenizer, max_length=300)
    special = np.setdiff1d(tokenizer.all_special_ids, [tokenizer.unk_token_id])
    for side in (0, 1):
        assert np.isin(ids_of(tokenised, side=side), special).sum() == sum(SPECIAL[family])


@pytest.mark.parametrize("family", ["bert", "llama", "t5"])
def test_unknown_characters_stay_visible(tiny, family):
    tokenizer = load_tokenizer(tiny(family))
    tokenised = tokenise(one_battle(a="\u4e2d \u6587"), tokenizer)
    assert (ids_of(tokenised) == tokenizer.unk_token_id).sum() >= 2


@pytest.mark.parametrize("family", ["bert", "roberta", "t5"])
def test_surrogates_do_not_stop_the_tokenizer(tiny, family):
    tokenizer = load_tokenizer(tiny(family))
    broken = one_battle("a\ud800b \ud83d\ude00", "\udfff", "good")
    expected = one_battle("a?b \U0001f600", "?", "good")
    for side in (0, 1):
        np.testing.assert_array_equal(
            ids_of(tokenise(broken, tokenizer), side=side),
            ids_of(tokenise(expected, tokenizer), side=side),
        )


def test_siamese_layout(bert):
    tokenised = tokenise(one_battle("Hello world", "yes", "no"), bert)
    assert read(tokenised, bert) == "[CLS] prompt : hello world response : yes [SEP]"
    assert read(tokenised, bert, side=1) == "[CLS] prompt : hello world response : no [SEP]"
    assert tokenised.sequences.types.max() == 0


def test_cross_layout_is_the_battle_in_both_orders(bert):
    tokenised = tokenise(one_battle("Hello", "yes", "no"), bert, layout="cross")
    first, second = (read(tokenised, bert, side=side) for side in (0, 1))
    assert first == "[CLS] prompt : hello response a : yes response b : no [SEP]"
    assert second == "[CLS] prompt : hello response a : no response b : yes [SEP]"
    types = tokenised.sequences.types[: len(ids_of(tokenised))]
    assert (np.diff(types.astype(int)) >= 0).all()
    second_part = ids_of(tokenised)[types == 1]
    assert bert.decode(second_part) == "response b : no [SEP]"


def test_turns_are_laid_out_round_by_round(bert):
    X = one_battle(["Hello", "Why?"], ["yes", "no"], ["maybe", None])
    tokenised = tokenise(X, bert)
    assert read(tokenised, bert) == (
        "[CLS] prompt : hello response : yes prompt : why? response : no [SEP]"
    )
    assert read(tokenised, bert, side=1) == (
        "[CLS] prompt : hello response : maybe prompt : why? response : [SEP]"
    )


@pytest.mark.parametrize("layout", ["siamese", "cross"])
def test_each_distinct_sequence_is_there_once(bert, battles, layout):
    X = pd.concat([battles, battles, swap(battles)])
    tokenised = tokenise(X, bert, layout=layout)
    once = tokenise(battles, bert, layout=layout)
    assert len(tokenised.sequences) == len(once.sequences)
    np.testing.assert_array_equal(tokenised.rows[:6], tokenised.rows[6:12])
    np.testing.assert_array_equal(tokenised.rows[12:], tokenised.rows[:6, ::-1])


@pytest.mark.parametrize("layout", ["siamese", "cross"])
def test_identical_responses_share_one_sequence(bert, layout):
    tokenised = tokenise(one_battle("Why?", "same", "same"), bert, layout=layout)
    assert tokenised.rows.tolist() == [[0, 0]]
    assert len(tokenised.sequences) == 1


def test_every_kind_of_nothing_is_the_same(bert):
    nothing = [None, float("nan"), "", [], [None], [""], ()]
    X = pd.DataFrame({"prompt": nothing, "response_a": nothing, "response_b": nothing[::-1]})
    tokenised = tokenise(X, bert)
    assert len(tokenised.sequences) == 1
    assert read(tokenised, bert) == "[CLS] prompt : response : [SEP]"
    blank = tokenise(one_battle(" ", "\n", "\t"), bert)
    np.testing.assert_array_equal(ids_of(blank), ids_of(tokenised), strict=True)


def test_no_battles(bert, battles):
    tokenised = tokenise(battles.iloc[:0], bert)
    assert tokenised.rows.shape == (0, 2)
    assert len(tokenised.sequences) == 0
    assert (tokenised.report == 0).all(axis=None)


@pytest.mark.parametrize("layout", ["siamese", "cross"])
@pytest.mark.parametrize("truncation", TRUNCATIONS)
def test_every_cut_is_marked_and_within_the_budget(bert, layout, truncation):
    X = one_battle(LONG, LONG, LONG + " and more")
    tokenised = tokenise(X, bert, layout=layout, max_length=64, truncation=truncation)
    marker = Plan(bert, layout, 64, 0.25, truncation).marker
    n_sections = 2 if layout == "siamese" else 3
    for side in (0, 1):
        ids = ids_of(tokenised, side=side)
        assert 60 <= len(ids) <= 64
        assert (
            sum((ids[i : i + len(marker)] == marker).all() for i in range(len(ids))) == n_sections
        )
    assert tokenised.report["cut"].tolist() == [1, 1, 1]


def test_what_a_cut_keeps():
    ids, marker = np.arange(100), np.array([-1])
    kept = {name: cut(ids, 9, marker, name).tolist() for name in TRUNCATIONS}
    assert kept["head"] == [*range(8), -1]
    assert kept["tail"] == [-1, *range(92, 100)]
    assert kept["middle"] == [0, 1, 2, 3, -1, 96, 97, 98, 99]
    assert kept["head_tail"] == [0, 1, 2, 3, 4, 5, -1, 98, 99]
    assert cut(ids, 100, marker, "head") is ids


def test_unused_budget_flows_to_the_others(bert):
    short = tokenise(one_battle("Why?", LONG, LONG[:-1]), bert, max_length=100, prompt_share=0.5)
    assert 98 <= len(ids_of(short)) <= 100
    long = tokenise(one_battle(LONG, "yes", "no"), bert, max_length=100, prompt_share=0.1)
    assert 98 <= len(ids_of(long)) <= 100
    kept = long.report["tokens_kept"]
    assert kept["prompt"] > 80


def test_prompt_share(bert):
    kept = []
    for share in (0.2, 0.6):
        report = tokenise(one_battle(LONG, LONG, LONG), bert, prompt_share=share).report
        kept.append(report["tokens_kept"]["prompt"] / 512)
    np.testing.assert_allclose(kept, [0.2, 0.6], atol=0.02)


def test_the_budget_of_a_response_does_not_depend_on_the_other(bert):
    alone = tokenise(one_battle(LONG, LONG, "no"), bert, max_length=90)
    beside = tokenise(one_battle(LONG, LONG, LONG[::-1]), bert, max_length=90)
    np.testing.assert_array_equal(ids_of(alone), ids_of(beside))


def test_cross_treats_both_responses_alike(bert):
    tokenised = tokenise(one_battle(LONG, LONG, LONG + " x"), bert, layout="cross", max_length=99)
    kept = tokenised.report["tokens_kept"]
    assert kept["response_a"] == kept["response_b"]


@pytest.mark.parametrize("layout", ["siamese", "cross"])
def test_no_round_is_lost_while_headings_fit(bert, layout):
    prompts = [f"question {i} " * 30 for i in range(8)]
    firsts = [f"answer {i} " * 30 for i in range(8)]
    X = one_battle(prompts, firsts, firsts[::-1])
    tokenised = tokenise(X, bert, layout=layout, max_length=200, truncation="head")
    assert read(tokenised, bert).count("prompt") == 8
    assert (tokenised.report["rounds_left_out"] == 0).all()
    assert (tokenised.report["cut"] == 1).all()
    for turn in [*prompts, *firsts]:
        start = bert(turn, add_special_tokens=False)["input_ids"][0]
        assert start in ids_of(tokenised)


@pytest.mark.parametrize("layout", ["siamese", "cross"])
def test_too_many_rounds_keep_the_first_and_the_last(bert, layout):
    turns = [f"{word} and much more text" for word in ["hello", *["good"] * 40, "sorry"]]
    X = one_battle(turns, turns, turns)
    tokenised = tokenise(X, bert, layout=layout, max_length=128, truncation="head")
    text = read(tokenised, bert)
    assert len(ids_of(tokenised)) <= 128
    assert "hello" in text
    assert "sorry" in text.split("prompt")[-1]
    left_out = tokenised.report["rounds_left_out"]
    assert left_out.tolist() == [42 - text.count("prompt")] * 3
    whole = tokenise(X, bert, layout=layout, max_length=2000)
    assert (whole.report["rounds_left_out"] == 0).all()


@pytest.mark.parametrize("layout", ["siamese", "cross"])
def test_random_battles_keep_to_the_budget(bert, layout):
    rng = np.random.default_rng(0)

    def cell():
        kind = rng.integers(4)
        texts = [LONG[: rng.integers(0, 900)] for _ in range(rng.integers(1, 9))]
        return [texts, texts[0], None, [None, *texts]][kind]

    X = pd.DataFrame([[cell() for _ in range(3)] for _ in range(60)])
    X.columns = ["prompt", "response_a", "response_b"]
    for max_length in (40, 77, 300):
        tokenised = tokenise(X, bert, layout=layout, max_length=max_length)
        assert tokenised.sequences.lengths.max() <= max_length
        report = tokenised.report
        assert (report["tokens_kept"] <= report["tokens"]).all()
        assert (report["battles"] == 60).all()


def test_too_short_a_budget_is_refused(bert):
    with pytest.raises(ArenaError, match="max_length=9 is too short.* at least 1"):
        tokenise(one_battle(), bert, max_length=9)


def test_report(bert):
    X = pd.concat([one_battle(), one_battle(a=LONG)])
    report = tokenise(X, bert, max_length=50).report
    assert report["battles"].tolist() == [2, 2, 2]
    assert report["cut"].tolist() == [0, 1, 0]
    assert report.loc["prompt", "tokens"] == report.loc["prompt", "tokens_kept"]
    assert report.loc["response_a", "tokens_kept"] < 50 < report.loc["response_a", "tokens"]


@pytest.mark.parametrize("truncation", TRUNCATIONS)
@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_the_report_and_the_marks_are_those_of_the_sequence(tiny, family, truncation):
    tokenizer = load_tokenizer(tiny(family))
    rounds = [[f"{word} {number} " * 40 for number in range(5)] for word in ("why", "yes", "no")]
    rounds[1][2] = "short"
    tokenised = tokenise(
        one_battle(*rounds), tokenizer, layout="cross", max_length=300, truncation=truncation
    )
    plan = Plan(tokenizer, "cross", 300, 0.25, truncation)
    ids, marker = ids_of(tokenised), plan.marker.tolist()
    n_marks = sum(ids[at : at + len(marker)].tolist() == marker for at in range(len(ids)))
    assert n_marks == 14  # all texts but the short one
    kept = tokenised.report["tokens_kept"].sum()
    headings = len(plan.first) + 4 * len(plan.again) + 5 * sum(map(len, plan.others))
    n_special = sum(SPECIAL[family])
    assert len(ids) == n_special + headings + n_marks * len(marker) + kept
    assert tokenised.report["rounds_left_out"].tolist() == [0, 0, 0]
    lengths = [sum(len(_texts.raw_ids([turn], tokenizer)[0]) for turn in turns) for turns in rounds]
    assert tokenised.report["tokens"].tolist() == lengths


@pytest.mark.parametrize(("layout", "n_sections"), [("siamese", 2), ("cross", 3)])
@pytest.mark.parametrize("n_rounds", [1, 2, 10, 20])
def test_no_more_stays_empty_than_a_round_can_share(bert, layout, n_sections, n_rounds):
    turns = [LONG] * n_rounds
    tokenised = tokenise(one_battle(turns, turns, turns), bert, layout=layout, max_length=512)
    assert 512 - n_sections < len(ids_of(tokenised)) <= 512
    kept = tokenised.report["tokens_kept"]
    assert kept["response_a"] == kept["response_b"]


def test_texts_are_tokenised_once(bert, battles, monkeypatch):
    _texts.clear_cache()
    calls = []
    monkeypatch.setattr(_texts, "raw_ids", _spy(_texts.raw_ids, calls))
    first = tokenise(battles, bert)
    assert len(calls) == len(set(calls))
    assert "Hi" in calls
    n_calls = len(calls)
    again = tokenise(battles.iloc[::-1], pickle.loads(pickle.dumps(bert)), layout="cross")
    assert len(calls) == n_calls
    assert len(again.sequences) > 0
    np.testing.assert_array_equal(ids_of(first), ids_of(tokenise(battles, bert)))


def test_another_tokenizer_has_its_own_texts(tiny, battles):
    bert, gpt2 = load_tokenizer(tiny("bert")), load_tokenizer(tiny("gpt2"))
    assert _texts.fingerprint(bert) != _texts.fingerprint(gpt2)
    assert _texts.fingerprint(bert) == _texts.fingerprint(load_tokenizer(tiny("bert")))
    found = {name: tokenise(battles, name).sequences.ids for name in (bert, gpt2)}
    assert len(found[bert]) != len(found[gpt2])


def test_the_memory_is_bounded(bert, monkeypatch):
    _texts.clear_cache()
    monkeypatch.setattr(_texts, "_ROOM", 20_000)
    texts = [f"hello {number}" for number in range(300)]
    found = _texts.tokenise_texts(texts, bert)
    assert len(found) == 300
    sizes = [sys.getsizeof(text) + sys.getsizeof(ids) for (_, text), ids in _texts._CACHE.items()]
    assert 10_000 < sum(sizes) + 200 * len(sizes) == _texts._held <= 20_000
    assert (_texts.fingerprint(bert), texts[-1]) in _texts._CACHE
    _texts.clear_cache()


def _spy(function, calls):
    def spied(texts, tokenizer):
        calls.extend(texts)
        return function(texts, tokenizer)

    return spied


@pytest.mark.parametrize("layout", ["siamese", "cross"])
@pytest.mark.parametrize("family", ["bert", "roberta", "t5"])
def test_many_rounds_fit_into_the_shortest_length(tiny, layout, family):
    tokenizer = load_tokenizer(tiny(family))
    X = one_battle(["word word word"] * 10, ["x y z w"] * 10, ["q r s t"] * 7)
    with pytest.raises(ArenaError, match="too short") as error:
        tokenise(X, tokenizer, layout=layout, max_length=5)
    least = int(re.search(r"at least (\d+) tokens", str(error.value)).group(1))
    for max_length in range(least, least + 12):
        tokenised = tokenise(X, tokenizer, layout=layout, max_length=max_length)
        assert tokenised.sequences.lengths.max() <= max_length


def test_the_prompt_counts_as_it_was_cut_most(bert):
    """Beside a long response the prompt keeps less than beside a short one."""
    kept = [
        tokenise(one_battle(LONG, a, b), bert, max_length=100).report["tokens_kept"]["prompt"]
        for a, b in [(LONG, "no"), ("no", LONG), (LONG, LONG), ("no", "no")]
    ]
    assert kept[0] == kept[1] == kept[2] < kept[3]


def test_a_text_counts_as_cut_whichever_turn_was(bert):
    X = one_battle(["Why?", "Why?"], [LONG, "yes"], ["no", LONG])
    assert tokenise(X, bert, max_length=64).report["cut"].tolist() == [0, 1, 1]


def test_a_tokenizer_without_an_ellipsis_marks_with_dots(tiny, tmp_path):
    folder = shutil.copytree(tiny("bert"), tmp_path / "dots")
    file = pathlib.Path(folder, "tokenizer.json")
    text = file.read_text(encoding="utf-8")
    assert "\u2026" in text
    file.write_text(text.replace("\u2026", "\u2020"), encoding="utf-8")
    tokenizer = load_tokenizer(folder)
    marker = Plan(tokenizer, "siamese", 64, 0.25, "head").marker
    assert tokenizer.convert_ids_to_tokens(marker) == [".", ".", "."]


@pytest.mark.parametrize("layout", ["siamese", "cross"])
def test_prompt_share_in_either_layout(bert, layout):
    kept = []
    for share in (0.2, 0.6):
        battle = one_battle(LONG, LONG, LONG)
        report = tokenise(battle, bert, layout=layout, prompt_share=share).report
        kept.append(report["tokens_kept"]["prompt"] / 512)
    np.testing.assert_allclose(kept, [0.2, 0.6], atol=0.02)


def test_what_rounding_leaves_goes_to_the_last_round():
    wanted = np.full((3, 2), 9)
    sizes = _fill(wanted, np.ones_like(wanted), np.array([0.5, 0.5]), 8)
    assert sizes.tolist() == [[1, 1], [1, 1], [2, 2]]
    wanted[2] = 1
    for room, expected in [(7, [[1, 1]] * 3), (8, [[1, 1], [2, 2], [1, 1]])]:
        sizes = _fill(wanted, np.ones_like(wanted), np.array([0.5, 0.5]), room)
        assert sizes.tolist() == expected


def test_tokens_that_are_added_later_are_another_tokenizer(bert):
    before = _texts.tokenise_texts(["excellent"], bert)["excellent"]
    mark = _texts.fingerprint(bert)
    bert.add_tokens(["excellent"])
    assert _texts.fingerprint(bert) != mark
    after = _texts.tokenise_texts(["excellent"], bert)["excellent"]
    assert after.tolist() == [bert.convert_tokens_to_ids("excellent")] != before.tolist()


@pytest.mark.parametrize("family", ["bert", "llama", "t5"])
def test_a_surrogate_beside_a_special_token_does_not_stop_the_tokenizer(tiny, family):
    tokenizer = load_tokenizer(tiny(family))
    names = " and ".join(tokenizer.all_special_tokens)
    broken, whole = f"{names} \ud800", f"{names} ?"
    found = _texts.tokenise_texts([broken, whole], tokenizer)
    np.testing.assert_array_equal(found[broken], found[whole])


def test_a_special_token_of_one_character_is_made_by_no_text(bert):
    bert.add_special_tokens({"additional_special_tokens": ["a"]})
    found = _texts.tokenise_texts(["what a day"], bert)["what a day"]
    assert len(found) > 0
    assert not np.isin(found, bert.all_special_ids).any()


def test_a_token_that_becomes_special_makes_another_tokenizer(bert):
    before = _texts.tokenise_texts(["what a day"], bert)["what a day"]
    special = bert.convert_tokens_to_ids("a")
    size, mark = len(bert), _texts.fingerprint(bert)
    bert.add_special_tokens({"additional_special_tokens": ["a"]})
    assert len(bert) == size
    assert _texts.fingerprint(bert) != mark
    after = _texts.tokenise_texts(["what a day"], bert)["what a day"]
    assert special in before
    assert special not in after


def test_what_was_asked_for_last_is_remembered_longest(bert, monkeypatch):
    _texts.clear_cache()
    monkeypatch.setattr(_texts, "_ROOM", 20_000)
    tokenise_some = Mock(wraps=_texts.raw_ids)
    monkeypatch.setattr(_texts, "raw_ids", tokenise_some)
    for number in range(300):
        _texts.tokenise_texts(["asked for again", f"hello {number}"], bert)
    read = [text for call in tokenise_some.call_args_list for text in call.args[0]]
    assert read.count("asked for again") == 1
    assert len(_texts._CACHE) < 300
    _texts.clear_cache()


@pytest.mark.parametrize(("max_length", "n_last"), [(44, 6), (43, 5), (39, 5), (38, 4), (11, 0)])
def test_as_many_of_the_last_rounds_are_kept_as_fit(bert, max_length, n_last):
    """Every text is one token, a round six, the mark one, and two tokens are special."""
    turns = ["hello", *["good"] * 5, "sorry"]
    tokenised = tokenise(one_battle(turns, turns, turns), bert, max_length=max_length)
    first, *others = [f"prompt : {turn} response : {turn}" for turn in turns]
    mark = ["\u2026"] if n_last < 6 else []
    kept = [first, *mark, *others[6 - n_last :]]
    assert read(tokenised, bert) == " ".join(["[CLS]", *kept, "[SEP]"])
    assert tokenised.report["tokens"].tolist() == [7] * 3
    assert tokenised.report["tokens_kept"].tolist() == [1 + n_last] * 3
    assert tokenised.report["rounds_left_out"].tolist() == [6 - n_last] * 3
    assert tokenised.report["cut"].tolist() == [n_last < 6] * 3


@pytest.mark.parametrize("layout", ["siamese", "cross"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_a_conversation_that_just_fits_is_left_whole(tiny, layout, family):
    """Where white space counts, the first heading is shorter than the others."""
    tokenizer = load_tokenizer(tiny(family))
    X = one_battle(["a", "b", "c"], ["d", None, "e"], ["f", "", "g"])
    whole = tokenise(X, tokenizer, layout=layout)
    length = whole.sequences.lengths.max()
    exact = tokenise(X, tokenizer, layout=layout, max_length=int(length))
    assert exact.sequences.ids.tolist() == whole.sequences.ids.tolist()
    assert exact.report["rounds_left_out"].tolist() == [0] * 3


def test_no_round_is_kept_before_one_that_is_left_out(bert):
    turns = ["hello", "", "good", "sorry"]
    tokenised = tokenise(one_battle(turns, turns, turns), bert, max_length=20)
    assert read(tokenised, bert) == (
        "[CLS] prompt : hello response : hello \u2026 prompt : sorry response : sorry [SEP]"
    )


def test_empty_responses_leave_their_room_to_the_prompts(bert):
    prompts, responses = [LONG] * 20, [None] * 20
    tokenised = tokenise(one_battle(prompts, responses, responses), bert, max_length=125)
    assert len(ids_of(tokenised)) == 125
    assert tokenised.report["rounds_left_out"].tolist() == [0] * 3


def test_of_a_single_token_a_cut_keeps_the_first():
    ids, marker = np.arange(100), np.array([-1])
    kept = [cut(ids, 2, marker, name).tolist() for name in ("head_tail", "middle")]
    assert kept == [[0, -1], [0, -1]]
    assert cut(ids, 10, marker, "head_tail").tolist() == [*range(7), -1, 98, 99]


def test_the_mark_of_rounds_left_out_is_of_neither_response(bert):
    turns = ["hello"] * 20
    tokenised = tokenise(one_battle(turns, turns, turns), bert, layout="cross", max_length=40)
    (mark,) = Plan(bert, "cross", 40, 0.25, "head").marker
    types = tokenised.sequences.types[: len(ids_of(tokenised))]
    assert types[ids_of(tokenised) == mark].tolist() == [0]


def test_the_layout_where_white_space_counts(tiny):
    tokenizer = load_tokenizer(tiny("gpt2"))
    X = one_battle(["Hello", "Why?"], ["yes", "no"], ["maybe", None])
    assert read(tokenise(X, tokenizer), tokenizer) == (
        "Prompt:\nHello\n\nResponse:\nyes\n\nPrompt:\nWhy?\n\nResponse:\nno"
    )
    assert read(tokenise(one_battle(), tokenizer, layout="cross"), tokenizer) == (
        "Prompt:\nWhy?\n\nResponse A:\nyes\n\nResponse B:\nno"
    )


def test_more_texts_than_are_tokenised_at_once(bert, monkeypatch):
    _texts.clear_cache()
    texts = [f"hello {number}" for number in range(10)]
    expected = _texts.tokenise_texts(texts, bert)
    _texts.clear_cache()
    monkeypatch.setattr(_texts, "_CHUNK", 3)
    found = _texts.tokenise_texts(texts, bert)
    assert list(found) == texts
    for text in texts:
        np.testing.assert_array_equal(found[text], expected[text])


def test_only_a_worker_leaves_the_other_cores_alone(bert, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "set, so that it is put back")
    monkeypatch.delenv("TOKENIZERS_PARALLELISM")
    _texts.raw_ids(["hello"], bert)
    assert "TOKENIZERS_PARALLELISM" not in os.environ
    monkeypatch.setattr(_texts.multiprocessing, "parent_process", Mock())
    _texts.raw_ids(["hello"], bert)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    _texts.raw_ids(["hello"], bert)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_how_a_tokenizer_was_called_does_not_make_it_another(tiny):
    used, new = load_tokenizer(tiny("bert")), load_tokenizer(tiny("bert"))
    used(["hello", "hello world"], padding=True, truncation=True, max_length=3)
    assert _texts.fingerprint(used) == _texts.fingerprint(new)


def test_tokenizers_in_python_differ_by_their_vocabulary():
    class InPython:
        all_special_tokens = ("[UNK]",)
        init_kwargs = {"do_lower_case": True}

        def __init__(self, *words):
            self.words = words

        def __len__(self):
            return len(self.words)

        def get_vocab(self):
            return {word: number for number, word in enumerate(self.words)}

    one, other = InPython("[UNK]", "yes"), InPython("[UNK]", "no")
    assert _texts.fingerprint(one) != _texts.fingerprint(other)
    assert _texts.fingerprint(one) == _texts.fingerprint(InPython("[UNK]", "yes"))


def test_tokenizers_in_python_differ_by_their_rules_too(tmp_path):
    """They have no backend that would tell its rules."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Paris", "paris"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    make = functools.partial(
        transformers.BertJapaneseTokenizer, tmp_path / "vocab.txt", word_tokenizer_type="basic"
    )
    lower, cased = make(do_lower_case=True), make(do_lower_case=False)
    assert _texts.tokenise_texts(["Paris"], lower)["Paris"].tolist() == [6]
    assert _texts.tokenise_texts(["Paris"], cased)["Paris"].tolist() == [5]


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_the_name_of_a_special_token_is_read_as_text(tiny, family):
    tokenizer = load_tokenizer(tiny(family))
    name = tokenizer.eos_token
    apart = f"yes {name[0]} {name[1:]} no"
    found = _texts.tokenise_texts(["yes", apart, f"yes {name} no"], tokenizer)
    np.testing.assert_array_equal(found[f"yes {name} no"], found[apart])


def test_a_text_that_two_threads_tokenise_takes_its_room_once(bert, monkeypatch):
    _texts.clear_cache()
    raw_ids, other_thread = _texts.raw_ids, iter([_texts.tokenise_texts])

    def meanwhile(texts, tokenizer):
        for tokenise_texts in other_thread:
            tokenise_texts(texts, tokenizer)
        return raw_ids(texts, tokenizer)

    monkeypatch.setattr(_texts, "raw_ids", meanwhile)
    found = _texts.tokenise_texts(["hello"], bert)
    assert len(_texts._CACHE) == 1
    assert _texts._held == _texts._size("hello", found["hello"])


def test_special_tokens_are_looked_up_without_changing_what_another_thread_may_be_using(bert):
    """A change would raise "Already borrowed" in the libraries, or alter what that thread gets."""
    _texts.raw_ids(["hello"], bert)
    assert bert.backend_tokenizer.encode_special_tokens
    special_tokens(bert)
    assert bert.backend_tokenizer.encode_special_tokens


@pytest.mark.parametrize("layout", ["siamese", "cross"])
def test_sequences_are_taken_with_their_types(bert, battles, layout):
    sequences = tokenise(battles, bert, layout=layout).sequences
    order = [3, 0, 3]
    taken = sequences.take(order)
    assert len(taken) == 3
    for place, number in enumerate(order):
        one = slice(*taken.offsets[place : place + 2])
        given = slice(*sequences.offsets[number : number + 2])
        np.testing.assert_array_equal(taken.ids[one], sequences.ids[given])
        np.testing.assert_array_equal(taken.types[one], sequences.types[given])
    nothing = tokenise(battles.iloc[:0], bert, layout=layout).sequences
    assert len(nothing.take([])) == 0


def test_it_shows_how_far_it_is_if_told_to(bert, monkeypatch, capsys):
    monkeypatch.setattr(
        _texts, "tqdm", lambda **options: tqdm(**{**options, "delay": 0, "mininterval": 0})
    )
    monkeypatch.setattr(_texts, "_CHUNK", 2)
    _texts.clear_cache()
    tokenise(one_battle(), bert, progress=True)
    assert re.search(r"tokenise: +67%.*2/3.*tokenise: 100%.*3/3", capsys.readouterr().err, re.S)
    tokenise(one_battle("Why not?"), bert)
    assert capsys.readouterr().err == ""
