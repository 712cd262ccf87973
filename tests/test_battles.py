import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal
from sklearn.utils import get_tags

from arena_estimators import (
    CachedTransformer,
    NLTKCleaner,
    PairStyleFeatures,
    PairTfidfVectorizer,
    check_battles,
    check_labels,
    expected_calibration_error,
    make_battles,
    swap,
    swap_proba,
)
from arena_estimators._frames import stack
from arena_estimators._validation import look_like_json
from arena_estimators.battles import (
    COLUMNS,
    swap_labels,
    text_of,
    texts,
    turns_of,
)
from arena_estimators.exceptions import ArenaWarning, BattlesError, LabelsError


def test_swap_exchanges_the_responses_and_nothing_else(battles):
    X = battles.assign(id=range(6))
    swapped = swap(X)
    assert swapped.columns.tolist() == X.columns.tolist()
    assert swapped.response_a.tolist() == X.response_b.tolist()
    assert swapped.prompt.tolist() == X.prompt.tolist()
    assert swapped.index.tolist() == X.index.tolist()
    assert_frame_equal(swap(swapped), X)


def test_swap_exchanges_own_columns_that_come_in_pairs(battles):
    own = {"words_a": [1.0, 2.0], "words_b": [3, 4], "model_a": ["x", "y"], "model_b": ["z", "x"]}
    kept = {"day": [5, 6], "only_a": [7, 8], 9: [0, 1]}
    X = battles.iloc[:2].assign(**own).join(pd.DataFrame(kept, index=battles.index[:2]))
    swapped = swap(X)
    assert swapped.columns.equals(X.columns)
    for a, b in [("words_a", "words_b"), ("model_a", "model_b"), ("response_a", "response_b")]:
        assert swapped[a].tolist() == X[b].tolist()
        assert swapped[b].tolist() == X[a].tolist()
    pd.testing.assert_frame_equal(swapped[[*kept, "prompt"]], X[[*kept, "prompt"]])
    pd.testing.assert_frame_equal(swap(swapped), X)
    kinds = X.assign(kind_a=pd.Categorical(["x", "y"]), kind_b=pd.Categorical(["z", "x"]))
    assert swap(kinds)[["kind_a", "kind_b"]].to_numpy().tolist() == [["z", "x"], ["x", "y"]]
    assert swap(kinds).kind_a.dtype == swap(kinds).kind_b.dtype == "category"
    with pytest.raises(BattlesError, match="2 columns named 'words_b'"):
        swap(X.rename(columns={"day": "words_b"}))


def test_check_battles_returns_the_frame_itself(battles):
    assert check_battles(battles) is battles


@pytest.mark.parametrize("frame", [np.zeros((2, 3)), ["text"], None])
def test_check_battles_wants_a_frame(frame):
    with pytest.raises(BattlesError, match="must be a pandas DataFrame with the columns 'prompt'"):
        check_battles(frame)


class _OtherFrame:
    """A frame as other libraries have it, such as Polars."""

    def __init__(self, frame):
        self.frame, self.shape = frame, frame.shape

    @property
    def columns(self):
        return list(self.frame)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.frame, dtype)

    def __len__(self):
        return self.shape[0]


def _arrow(frame):
    return pa.Table.from_pandas(frame, preserve_index=False)


def test_a_frame_of_another_library_is_told_from_pandas(battles):
    for other in (_OtherFrame(battles), battles.to_numpy()):
        kind = re.escape(f"got <class '{type(other).__module__}.{type(other).__qualname__}'>. ")
        with pytest.raises(BattlesError, match=rf"{kind}.*to_pandas\(\).*transform='pandas'"):
            check_battles(other)


@pytest.mark.parametrize("make", [_OtherFrame, _arrow])
def test_columns_of_another_librarys_frame_are_found_by_name(make):
    named = pd.DataFrame({"tie": [0.2], "model_a": [0.7], "model_b": [0.1]})
    other = make(named)
    np.testing.assert_array_equal(check_labels(other)[1], check_labels(named)[1])
    np.testing.assert_array_equal(swap_proba(other), swap_proba(named))
    np.testing.assert_array_equal(swap_labels(other), swap_labels(named))
    classes = ["model_a", "model_b", "tie"]
    assert expected_calibration_error(["model_a"], other, labels=classes) == pytest.approx(0.3)
    with pytest.raises(LabelsError, match=r"columns \['winner'\]"):
        check_labels(make(pd.DataFrame({"winner": ["model_a", "model_b"]})))
    with pytest.raises(LabelsError, match=r"columns \['tie', 'model_a', 'model_b'\]; expected"):
        expected_calibration_error(["model_a"], other)


def test_a_row_of_labels_may_be_called_columns():
    y = pd.Series(["model_b", "model_a"], index=["rows", "columns"])
    assert check_labels(y)[1].tolist() == [1, 0]
    assert swap_labels(y).tolist() == ["model_a", "model_b"]


def test_missing_and_doubled_columns_are_named(battles):
    with pytest.raises(BattlesError, match="no column 'prompt'.*found 'response_a', 'response_b'"):
        check_battles(battles.drop(columns="prompt"))
    with pytest.raises(
        BattlesError, match="no column 'prompt'.* 'winner'. load_arena makes them of these"
    ):
        check_battles(battles.set_axis(["conversation_a", "conversation_b", "winner"], axis=1))
    with pytest.raises(BattlesError, match="2 columns named 'prompt'"):
        check_battles(pd.concat([battles, battles[["prompt"]]], axis=1))


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (3, "a cell of type int"),
        (True, "a cell of type bool"),
        (b"bytes", "a cell of type bytes"),
        ({"role": "user"}, "a cell of type dict"),
        (["ok", 3], "turn 1 of type int"),
        ([["nested"]], "turn 0 of type list"),
    ],
)
def test_a_cell_that_is_no_text_is_named(battles, cell, found):
    cells = battles["response_b"].tolist()
    cells[2] = cell
    X = battles.assign(response_b=pd.Series(cells, index=battles.index, dtype=object))
    with pytest.raises(BattlesError, match=rf"{found}.*'response_b', row 2 \(index 3\)"):
        check_battles(X)


@pytest.mark.parametrize(
    "missing", [pd.Series(["a", None, "b"]), pd.Series(["a", pd.NA, "b"], dtype="string")]
)
def test_missing_cells_are_allowed(missing):
    check_battles(pd.DataFrame(dict.fromkeys(("prompt", "response_a", "response_b"), missing)))


def test_labels_of_every_kind():
    y = ["tie", "model_b", "model_a"]
    for labels in (y, np.array(y), np.array(y, dtype=object), pd.Series(y, index=[5, 6, 7])):
        classes, codes = check_labels(labels)
        assert classes.tolist() == ["model_a", "model_b", "tie"]
        assert codes.tolist() == [2, 1, 0]
    classes, codes = check_labels([2, 1, 0])
    assert classes.tolist() == [0, 1, 2]
    assert codes.tolist() == [2, 1, 0]
    classes, _ = check_labels(["model_a", "model_b"])
    assert classes.tolist() == ["model_a", "model_b"]
    assert check_labels(pd.Categorical(y))[1].tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    "label", ["Tie", "tie (bothbad)", "a", None, float("nan"), 3, -1, 0.5, True]
)
def test_an_unknown_label_is_named_with_its_row(label):
    y = np.array([0, 1, label]) if isinstance(label, int | float) else ["model_a", "model_b", label]
    if label is True:
        y = np.array([True, False, True])
    with pytest.raises(LabelsError, match="Unknown label .* in y, row [02]"):
        check_labels(y)


@pytest.mark.parametrize("label", [float("nan"), 1])
def test_a_label_that_is_no_text_is_not_shown_as_text(label):
    with pytest.raises(LabelsError, match=f"Unknown label {label} in y, row 2"):
        check_labels(["model_a", "model_b", label])


@pytest.mark.parametrize("label", [np.str_("Tie"), np.array("Tie"), np.float64("nan"), np.int64(7)])
def test_a_label_of_numpys_is_shown_as_pythons(label):
    with pytest.raises(LabelsError, match=f"Unknown label {label.item()!r} in y, row 2"):
        check_labels(["model_a", "model_b", label])


@pytest.mark.parametrize("label", [[0, 1, 0], np.array([0, 1, 0]), {"winner": "tie"}])
def test_a_label_that_has_no_hash_is_named_with_its_row(label):
    """As a column of one-hot lists, or of arrays that `pandas.read_parquet` makes of them."""
    with pytest.raises(LabelsError, match="Unknown label .* in y, row 1"):
        check_labels(pd.Series(["model_a", label]))


def test_labels_may_be_what_only_numpy_makes_text_of():
    class Column:
        def __array__(self):
            return np.array(["tie", "model_b", "model_a"])

    for y in (Column(), [np.array(label) for label in ("tie", "model_b", "model_a")]):
        assert check_labels(y)[1].tolist() == [2, 1, 0]


@pytest.mark.parametrize("y", [["model_a"] * 3, ["model_a", "tie"], [1, 2], []])
def test_a_task_needs_both_sides(y):
    with pytest.raises(LabelsError, match="needs both 'model_a' and 'model_b'"):
        check_labels(y)


def test_label_count_must_match():
    with pytest.raises(LabelsError, match="X has 3 battles but y has 2 labels"):
        check_labels(["model_a", "model_b"], n_battles=3)


def test_soft_labels_by_position_and_by_name():
    soft = np.array([[0.5, 0.25, 0.25], [0, 1, 0]])
    classes, target = check_labels(soft)
    assert classes.tolist() == ["model_a", "model_b", "tie"]
    np.testing.assert_array_equal(target, soft)
    frame = pd.DataFrame(soft, columns=["winner_model_a", "winner_model_b", "winner_tie"])
    np.testing.assert_array_equal(check_labels(frame.iloc[:, ::-1])[1], soft)
    with pytest.raises(LabelsError, match="columns"):
        check_labels(frame.rename(columns={"winner_tie": "x"}))
    with pytest.raises(LabelsError, match=r"y\['winner'\]"):
        check_labels(pd.DataFrame({"winner": ["model_a", "model_b"]}))
    with pytest.raises(LabelsError, match=r"columns \['winner_model_a'\]. Expected soft labels"):
        check_labels(frame.iloc[:, :1])
    with pytest.raises(LabelsError, match=r"shape \(2, 1\).*one label a battle"):
        check_labels([["model_a"], ["model_b"]])


@pytest.mark.parametrize("row", [[0.5, 0.6, 0.1], [-0.1, 0.6, 0.5], [np.nan, 0.5, 0.5]])
def test_soft_labels_must_be_probabilities(row):
    with pytest.raises(LabelsError, match="row 1"):
        check_labels([[1, 0, 0], row])


def test_integers_in_an_object_array_are_labels():
    classes, codes = check_labels(np.array([0, 1, 2], dtype=object))
    assert classes.tolist() == codes.tolist() == [0, 1, 2]
    with pytest.raises(LabelsError, match="Unknown label 0"):
        check_labels(np.array([0, "model_a", "model_b"], dtype=object))


def test_swap_proba_and_swap_labels():
    P = np.array([[0.1, 0.2, 0.7]])
    np.testing.assert_array_equal(swap_proba(P), [[0.2, 0.1, 0.7]])
    np.testing.assert_array_equal(swap_proba([[0.1, 0.9]]), [[0.9, 0.1]])
    with pytest.raises(LabelsError, match="shape"):
        swap_proba([0.1, 0.9])
    assert swap_labels(["model_a", "model_b", "tie"]).tolist() == ["model_b", "model_a", "tie"]
    assert swap_labels([0, 1]).tolist() == [1, 0]
    named = pd.DataFrame({"tie": [0.2], "model_a": [0.7], "model_b": [0.1]})
    assert swap_labels(named).tolist() == [[0.1, 0.7, 0.2]]
    np.testing.assert_array_equal(swap_proba(named), swap_labels(named))
    np.testing.assert_array_equal(swap_labels(P), [[0.2, 0.1, 0.7]])


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_frames_of_arrow_lists_and_others_stack(battles, kind):
    lists = pa.array([["Hi", None], [], ["Why?"]], kind(pa.string()))
    arrow = pd.DataFrame(dict.fromkeys(COLUMNS, pd.arrays.ArrowExtensionArray(lists)))
    stacked = stack(battles, arrow)
    assert stacked.index.tolist() == [*battles.index, 0, 1, 2]
    check_battles(stacked)
    assert stacked["prompt"].tolist()[-3:] == lists.to_pylist()
    assert all("list<" in str(dtype) for dtype in arrow.dtypes)  # as they were


def test_columns_of_one_kind_stack_to_that_kind(battles):
    X = battles[:1].astype({"prompt": "category", "response_a": "string"})
    assert stack(X, X).dtypes.tolist() == X.dtypes.tolist()


def test_turns_and_texts():
    assert turns_of("a") == ["a"]
    assert turns_of(None) == [None]
    assert turns_of(("a", None)) == ["a", None]
    assert text_of(["a", None, "", "b"]) == "a\n\nb"
    assert texts(["a", None, [None], float("nan")]) == ["a", "", "", ""]


def test_cells_of_other_kinds_are_no_empty_text():
    """As `pandas.read_parquet` gives lists of turns."""
    with pytest.raises(BattlesError, match="cell of type ndarray .* Expected text, None, or a lis"):
        texts([np.array(["Hi"], dtype=object)])
    for turn, kind in [(0, "int"), (float("nan"), "float"), (["Hi"], "list")]:
        with pytest.raises(BattlesError, match=f"turn 1 of type {kind} "):
            texts([["Hi", turn]])


@pytest.mark.parametrize(
    "transformer",
    [PairTfidfVectorizer(), PairStyleFeatures(), NLTKCleaner()],
    ids=repr,
)
def test_transformers_refuse_labels_that_are_not_the_arenas(transformer):
    data = make_battles(30, random_state=0)
    foreign = np.where(data.y == "tie", "draw", data.y)
    with pytest.raises(LabelsError, match="Unknown label 'draw'"):
        transformer.fit(data.X, foreign)


def test_columns_of_the_competition_are_no_labels():
    """As `frame[columns].idxmax(axis=1)` gives them."""
    with pytest.raises(LabelsError, match="'winner_tie' in y, row 1: drop its prefix"):
        check_labels(["model_a", "winner_tie", "model_b"])


def test_cells_that_are_still_json_are_warned_of():
    X = make_battles(30, random_state=0).X
    raw = X.map(lambda cell: json.dumps([cell] if isinstance(cell, str) else cell))
    with pytest.warns(ArenaWarning, match="load_arena"):
        PairStyleFeatures().fit(raw)
    with pytest.warns(ArenaWarning, match="load_arena"):
        PairStyleFeatures().fit(X.assign(prompt=[*["[null]"] * 3, *raw.prompt[3:]]))
    model = PairStyleFeatures().fit(X)
    for some in (raw, raw[:2]):
        with pytest.warns(ArenaWarning, match="load_arena"):
            model.transform(some)
    model.transform(raw[:1])  # one may well be a list
    model.transform(X.assign(prompt=raw.prompt))


def test_missing_labels_are_explained():
    with pytest.raises(LabelsError, match="y is None; battles of a test file have no winners"):
        check_labels(None, n_battles=3)
    with pytest.raises(LabelsError, match="one label a battle"):
        check_labels("tie", n_battles=3)


def test_rounded_soft_labels_are_made_to_sum_to_one():
    target = check_labels([[0.33333, 0.33333, 0.33333], [0.5, 0.25, 0.25]])[1]
    np.testing.assert_allclose(target, [[1 / 3] * 3, [0.5, 0.25, 0.25]], rtol=1e-12)
    with pytest.raises(LabelsError, match="row 0"):
        check_labels([[0.5, 0.25, 0.251]])


@pytest.mark.filterwarnings("error")
def test_text_in_brackets_is_no_json():
    PairStyleFeatures().fit(make_battles(30, random_state=0).X.assign(response_a="[laughs]"))


def test_every_kind_of_missing_cell_stands_beside_turns(battles):
    check_battles(battles.assign(prompt=[["a"], pd.NA, None, float("nan"), "b", ("c",)]))


@pytest.mark.parametrize("missing", [None, pd.NA, float("nan")])
def test_a_missing_label_among_numbers_is_named_by_its_row(missing):
    for y in ([0, 1, missing], np.array([0, 1, missing], dtype=object)):
        with pytest.raises(LabelsError, match="Unknown label nan in y, row 2"):
            check_labels(y)


@pytest.mark.parametrize(
    "transformer",
    [
        PairTfidfVectorizer(),
        PairStyleFeatures(),
        NLTKCleaner(),
        CachedTransformer(PairStyleFeatures()),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_transformers_refuse_labels_of_other_battles(transformer):
    data = make_battles(30, random_state=0)
    with pytest.raises(LabelsError, match="X has 30 battles but y has 29 labels"):
        transformer.fit(data.X, data.y[1:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool, object])
def test_soft_labels_become_float64(dtype):
    target = check_labels(np.eye(3).astype(dtype))[1]
    assert target.dtype == np.float64
    np.testing.assert_array_equal(target, np.eye(3))


def test_soft_labels_that_sum_to_one_but_for_rounding_are_left_as_they_are():
    soft = [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]
    assert np.sum(soft, axis=1)[0] != 1
    assert check_labels(soft)[1].tolist() == soft


def test_space_around_json_does_not_hide_it():
    assert look_like_json(pd.Series([' ["Hi"]\n', "[null] "]))
    assert not look_like_json(pd.Series([" Hi\n", '["Hi"]']))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "float16"])
def test_an_unknown_number_is_named_whatever_its_type(dtype):
    with pytest.raises(LabelsError, match=r"Unknown label 3(\.0)? in y, row 3"):
        check_labels(np.array([0, 1, 2, 3], dtype=dtype))


@pytest.mark.parametrize("X", [np.zeros((2, 3)), None])
def test_only_a_frame_with_both_responses_is_swapped(battles, X):
    with pytest.raises(BattlesError, match="must be a pandas DataFrame"):
        swap(X)
    for column in ("response_a", "response_b"):
        with pytest.raises(BattlesError, match=f"X has no column '{column}'"):
            swap(battles.drop(columns=column))


def test_columns_of_one_letter_are_no_pair(battles):
    X = battles.assign(a=range(6), b=range(6, 12), data=1, datb=2)
    assert_frame_equal(swap(X)[["a", "b", "data", "datb"]], X[["a", "b", "data", "datb"]])


def test_categories_are_swapped_in_their_order_and_beside_text(battles):
    X = battles.iloc[:2].assign(
        size_a=pd.Categorical(["long", "short"], ["short", "long"], ordered=True),
        size_b=pd.Categorical(["long", "epic"], ["long", "epic"], ordered=True),
        kind_a=pd.Categorical(["x", "y"]),
        kind_b=["z", "x"],
    )
    swapped = swap(X)
    assert swapped.size_b.cat.categories.tolist() == ["short", "long", "epic"]
    assert swapped[["kind_a", "kind_b"]].to_numpy().tolist() == [["z", "x"], ["x", "y"]]


@pytest.mark.parametrize("shape", [(2, 2, 3), (2, 4), (2, 1)])
def test_probabilities_of_other_shapes_are_refused(shape):
    P = np.full(shape, 1 / shape[-1])
    with pytest.raises(LabelsError, match="swap_proba expects shape"):
        swap_proba(P)
    with pytest.raises(LabelsError, match=r"y has the shape|Soft labels must have 3 columns"):
        check_labels(P)


def test_soft_labels_of_text_are_refused():
    with pytest.raises(LabelsError, match="must be numbers: could not convert string.*'many'"):
        check_labels([["0.5", "many", "0.25"]])


def test_soft_labels_without_ties_are_a_task():
    soft = np.array([[0.25, 0.75], [1, 0]])
    frame = pd.DataFrame(soft[:, ::-1], columns=["winner_model_b", "winner_model_a"])
    for labels in (soft, frame):
        classes, target = check_labels(labels)
        assert classes.tolist() == ["model_a", "model_b"]
        np.testing.assert_array_equal(target, soft)
        np.testing.assert_array_equal(swap_labels(labels), soft[:, ::-1])


def test_more_labels_than_battles_are_refused():
    with pytest.raises(LabelsError, match="X has 2 battles but y has 3 labels"):
        check_labels(["model_a", "model_b", "tie"], n_battles=2)


def test_the_first_wrong_label_is_named():
    with pytest.raises(LabelsError, match="Unknown label 'x' in y, row 1"):
        check_labels(["model_a", "x", "model_b", "y"])
    with pytest.raises(LabelsError, match="row 1 is"):
        check_labels([[1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0]])


@pytest.mark.parametrize("turn", [0, False, []])
def test_a_turn_that_is_empty_and_no_text_is_named(battles, turn):
    X = battles.assign(response_a=[["ok", turn]] * 6)
    kind = type(turn).__name__
    with pytest.raises(BattlesError, match=rf"turn 1 of type {kind} \({re.escape(str(turn))}\)"):
        check_battles(X)


def test_the_first_ten_cells_say_whether_they_are_json():
    json_like, text = ['["Hi"]'], ["Hi"]
    assert look_like_json(pd.Series(json_like * 10 + text))
    assert not look_like_json(pd.Series(json_like * 9 + text))


@pytest.mark.parametrize("turns", [["Hi"], ["It's", "so"], ["so", "It's"]])
def test_lists_that_python_wrote_are_known_too(turns):
    """As after to_csv and read_csv of a frame of turns."""
    assert look_like_json(pd.Series([str(turns), "[None]"]))


@pytest.mark.parametrize("cell", ["[laughs", '["one" laughs]', '[laughs "two"]'])
def test_brackets_and_quotes_alone_are_no_json(cell):
    assert not look_like_json(pd.Series([cell]))


def test_a_bracket_that_is_not_closed_is_no_json_beside_lists():
    assert not look_like_json(pd.Series(['["Hi"]', "[laughs"]))


@pytest.mark.parametrize(
    "transformer", [PairTfidfVectorizer(), PairStyleFeatures(), NLTKCleaner()], ids=repr
)
def test_scikit_learn_is_told_that_battles_are_text(transformer):
    tags = get_tags(transformer).input_tags
    assert tags.string and not tags.two_d_array
