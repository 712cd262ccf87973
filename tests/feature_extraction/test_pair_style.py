import pickle
from math import log1p

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError

from arena_estimators import ArenaError, PairStyleFeatures, swap
from arena_estimators.datasets import load_arena, make_battles
from arena_estimators.feature_extraction import _pair_style

ODD = ("difference", "ratio", "tanh", "interaction")
SYMMETRIC = ("absolute", "sum", "similarity", "prompt")


@pytest.fixture(scope="module")
def made():
    return make_battles(n_samples=300, random_state=0).X


def frame(response_a, response_b="", prompt="What?"):
    return pd.DataFrame(
        {"prompt": [prompt], "response_a": [response_a], "response_b": [response_b]}
    )


def column(X, name, **parameters):
    block = name.split("__")[0]
    style = PairStyleFeatures(block, **parameters).set_output(transform="pandas")
    return style.fit_transform(X)[name]


@pytest.mark.parametrize(
    ("name", "text", "other"),
    [
        ("log_characters", "four words are here", "two words"),
        ("log_words", "four words are here", "two words"),
        ("log_sentences", "One. Two! Three?", "Only one."),
        ("log_paragraphs", "One.\n\nTwo.", "One. Two."),
        ("log_turns", ["Hello.", "Bye."], ["Hello."]),
        ("type_token_ratio", "all words differ", "word word word"),
        ("digits", "1 2 3", "a b c"),
        ("non_ascii", "Привет, мир", "Hello, world"),
        ("questions", "Why? How?", "So it is."),
        ("exclamations", "Great!", "Great."),
        ("refusals", "I’m sorry, but I can’t help with that.", "Here is how to do that."),
        ("apologies", "Sorry about that.", "Here is how to do that."),
        ("repeated_lines", "again\nagain\nagain", "one\ntwo\nthree"),
        ("finished", "It is done.", "It is"),
        ("cut_off", "This sentence goes on and on until it is", "This sentence ends here."),
        ("cut_off", "```python\nprint(1)", "```python\nprint(1)\n```"),
        ("emoji", "Hello 😀", "Hello"),
        ("names", "We met Ada in Paris", "We met her in town"),
        ("offers_more", "Yes. Let me know if you need more.", "Yes."),
        ("empty", None, "text"),
    ],
)
def test_measure_is_larger_for_the_text_that_shows_it(name, text, other):
    assert column(frame(text, other), f"difference__{name}")[0] > 0


def test_prompt_overlap_and_format_match():
    X = frame("- the red fox\n- a dog", "nothing alike", prompt="List animals: fox, dog, cat")
    assert column(X, "difference__prompt_overlap")[0] == pytest.approx(2 / 5)
    assert column(X, "difference__format_match")[0] == 1
    assert column(X, "prompt__asks_list")[0] == 1


def test_similarity_is_symmetric_and_one_for_equal_texts():
    assert column(frame("a b", "a c"), "similarity__shared_words")[0] == pytest.approx(1 / 3)
    assert column(frame("a b", "a b"), "similarity__identical")[0] == 1
    assert column(frame("", None), "similarity__shared_words")[0] == 1


@pytest.mark.parametrize("nothing", [None, float("nan"), "", " \n", [], [""], [None, " "], (None,)])
def test_nothing_measures_zero_but_for_empty(nothing):
    total = PairStyleFeatures("sum").set_output(transform="pandas")
    total = total.fit_transform(frame(nothing, nothing).astype(object))
    assert total.pop("sum__empty")[0] == 2
    assert (total.to_numpy() == 0).all()


def test_blocks_follow_their_formulas(made):
    blocks = {block: PairStyleFeatures(block).fit_transform(made) for block in (*ODD, *SYMMETRIC)}
    difference, total = blocks["difference"], blocks["sum"]
    np.testing.assert_array_equal(blocks["absolute"], np.abs(difference))
    safe = np.where(total > 0, total, 1)
    np.testing.assert_allclose(blocks["ratio"], difference / safe, atol=1e-5)
    scale = np.sqrt((difference.astype(float) ** 2).mean(0))
    expected = np.tanh(difference / np.where(scale > 0, scale, 1))
    np.testing.assert_allclose(blocks["tanh"], expected, atol=1e-5)
    spread = total.astype(float).std(0)
    level = (total - total.astype(float).mean(0)) / np.where(spread > 1e-6, spread, 1)
    np.testing.assert_allclose(blocks["interaction"], expected * np.tanh(level), atol=1e-4)


def test_odd_blocks_negate_exactly_and_the_others_stay(made):
    swapped = swap(made)
    odd = PairStyleFeatures(ODD).fit(made)
    assert np.array_equal(odd.transform(swapped), -odd.transform(made))
    again = PairStyleFeatures(ODD).fit(swapped)
    assert np.array_equal(again.transform(made), odd.transform(made))
    even = PairStyleFeatures(SYMMETRIC).fit(made)
    assert np.array_equal(even.transform(swapped), even.transform(made))


@pytest.mark.real_data
def test_odd_blocks_negate_exactly_on_real_battles(arena_data):
    X = load_arena(arena_data / "pandalm_human.parquet", non_text="json").X
    style = PairStyleFeatures().fit(X)
    D = style.transform(X)
    assert np.isfinite(D).all() and D.any()
    assert np.array_equal(style.transform(swap(X)), -D)


@pytest.mark.parametrize("size", [1, 5_000])
def test_chunks_and_row_order_do_not_matter(made, size, monkeypatch):
    style = PairStyleFeatures((*ODD, *SYMMETRIC)).fit(made)
    expected = style.transform(made)
    order = np.random.default_rng(0).permutation(len(made))
    assert np.array_equal(style.transform(made.iloc[order]), expected[order])
    monkeypatch.setattr(_pair_style, "_CHUNK", size)
    many = pd.concat([made] * 2)
    got = clone(style).fit(made).transform(many)
    assert np.array_equal(got, np.vstack([expected, expected]))


def test_more_short_texts_than_fit_one_chunk():
    X = pd.concat([frame(f"word {i}", f"word {i + 1}", f"prompt {i}") for i in range(1500)])
    style = PairStyleFeatures(["sum", "similarity"]).set_output(transform="pandas")
    out = style.fit_transform(X)
    assert (out["sum__log_words"] > 2).all()
    np.testing.assert_allclose(out["similarity__shared_words"], 1 / 3, rtol=1e-6)


def test_output_is_named_and_keeps_the_index(battles):
    style = PairStyleFeatures(["difference", "similarity", "prompt"])
    out = style.set_output(transform="pandas").fit_transform(battles)
    assert out.index.tolist() == battles.index.tolist()
    assert out.columns.tolist() == style.get_feature_names_out().tolist()
    assert out.columns.is_unique
    assert (out.dtypes == np.float32).all()


def test_survives_pickle_and_zero_rows(battles):
    style = PairStyleFeatures().fit(battles)
    again = pickle.loads(pickle.dumps(style))
    assert np.array_equal(again.transform(battles), style.transform(battles))
    assert style.transform(battles[:0]).shape == (0, len(style.get_feature_names_out()))


def test_texts_in_another_order_are_refused_beside_other_columns(battles):
    features = PairStyleFeatures().fit(battles)
    with pytest.raises(ValueError, match="same order"):
        features.transform(battles[battles.columns[::-1]].assign(id=1))


@pytest.mark.parametrize("blocks", [[], ["difference", "difference"], ("odd",), [1]])
def test_wrong_blocks_are_refused(battles, blocks):
    with pytest.raises(ArenaError, match="must hold one or more of 'difference'"):
        PairStyleFeatures(blocks).fit(battles)


def test_no_battles_to_fit_are_refused(battles):
    with pytest.raises(ArenaError, match="0 battles"):
        PairStyleFeatures().fit(battles[:0])


def test_unfitted_is_refused(battles):
    with pytest.raises(NotFittedError):
        PairStyleFeatures().transform(battles)


@pytest.mark.parametrize(
    ("prompt", "kept", "missed"),
    [
        ("Debug my code", "```\nprint(1)\n```", "print(1)"),
        ("Suggest ideas", "1. this\n2. that", "this and that"),
        ("Suggest ideas", "- this\n- that", "this and that"),
        ("As a spreadsheet", "| a | b |", "a and b"),
        ("Briefly, please", "It is.", "word " * 60),
    ],
)
def test_a_format_that_was_asked_for_is_kept(prompt, kept, missed):
    assert column(frame(kept, missed, prompt), "difference__format_match")[0] == 1
    assert column(frame(kept, missed, "Hm."), "sum__format_match")[0] == 0


def test_a_response_is_measured_against_its_prompt():
    X = frame("The red dog runs", "Да да", prompt="the red fox. да")
    sides = PairStyleFeatures(["difference", "sum"]).set_output(transform="pandas")
    found = sides.fit_transform(X).iloc[0]

    def a_and_b(name):
        difference, total = found[f"difference__{name}"], found[f"sum__{name}"]
        return pytest.approx(((total + difference) / 2, (total - difference) / 2), abs=1e-6)

    assert a_and_b("prompt_overlap") == (1 / 3, 1 / 3)  # of red, fox, да
    assert a_and_b("log_new_words") == (log1p(2), 0)  # dog, runs
    assert a_and_b("script_match") == (1 - 2 / 15, 1 - (4 / 5 - 2 / 15))


def test_prompts_are_measured_as_responses_are_and_by_their_kinds():
    asked = ["I ask: who, 12 times?", "Why so, é! And how.\n```\nx\n```"]
    style = PairStyleFeatures(["difference", "prompt"]).set_output(transform="pandas")
    found = style.fit_transform(frame(asked, "", asked)).iloc[0]
    prompt = found[found.index.str.startswith("prompt__")].rename(lambda name: name[8:])
    kinds = prompt[prompt.index.str.startswith("asks_")]
    assert set(kinds.index[kinds == 1]) == {"asks_fact", "asks_how"}
    same = prompt.drop(["empty", *kinds.index])
    assert same.to_dict() == {name: found[f"difference__{name}"] for name in same.index}
    assert (same > 0).all() and prompt["empty"] == 0


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("code", "code Python javascript java html css SQL bash script program function regex api"),
        ("code", "class c algorithm debug compile"),
        ("list", "list lists steps ways ideas tips examples items bullet recipe recommend suggest"),
        ("list", "suggestions names reasons things"),
        ("table", "table spreadsheet CSV columns"),
        ("brief", "brief briefly short concise summarize summarise summary shorten tldr sentence"),
        ("prose", "story poem song lyrics essay haiku joke letter email blog article post speech"),
        ("prose", "paragraph write"),
        ("edit", "rewrite translate correct paraphrase edit fix improve proofread rephrase"),
        ("edit", "convert classify extract"),
        ("fact", "what who when where which whose"),
        ("how", "how why explain describe"),
        ("number", "calculate solve equation sum many much percent probability average"),
    ],
)
def test_what_a_prompt_asks_for(kind, words):
    prompts = [f"Xx {word}, yy" for word in words.split()]
    X = pd.DataFrame({"prompt": prompts, "response_a": "x", "response_b": ""})
    found = PairStyleFeatures("prompt").set_output(transform="pandas").fit_transform(X)
    asks = found.filter(like="prompt__asks_")
    asked = asks.apply(lambda row: row.index[row == 1].tolist(), axis=1).tolist()
    assert asked == [[f"prompt__asks_{kind}"]] * len(asked)


def test_rounding_is_no_spread():
    """A sum that is the same in all battles, up to the rounding of its mean, has no spread."""
    short, long = "one two.", "word " * 5 + "end."
    sides = pd.DataFrame({"prompt": "p", "response_a": [short, long], "response_b": [long, short]})
    for n_battles in range(3, 40):
        X = sides.iloc[np.arange(n_battles) % 2]
        style = PairStyleFeatures("interaction").fit(X)
        assert style.sum_scale_.tolist() == [1] * len(style.sum_scale_)
        np.testing.assert_allclose(style.transform(X), 0, atol=1e-6)


def test_a_brief_answer_has_at_most_53_words():
    X = pd.DataFrame({"prompt": ["Briefly, please"], "response_a": ["word " * 53]})
    style = PairStyleFeatures("difference").set_output(transform="pandas")
    found = style.fit_transform(X.assign(response_b="word " * 54))
    assert found["difference__format_match"][0] == 1


def test_a_response_that_is_empty_in_part_is_measured_against_its_prompt():
    assert column(frame(["fox", None], prompt="fox"), "sum__prompt_overlap")[0] == 1


def test_only_equal_texts_are_identical():
    assert column(frame("red fox", "fox red"), "similarity__identical")[0] == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", ["", [], "?!"])
def test_texts_without_words_are_divided_by_nothing(text):
    out = PairStyleFeatures((*ODD, *SYMMETRIC)).fit_transform(frame(text, text, text))
    assert np.isfinite(out).all()


def test_what_is_measured_of_prompts():
    style = PairStyleFeatures("prompt").fit(frame("x"))
    assert style.get_feature_names_out().tolist() == [
        f"prompt__{measure}"
        for measure in (
            "log_characters log_words log_sentences log_turns code_blocks digits non_ascii "
            "questions exclamations first_person empty asks_code asks_list asks_table asks_brief "
            "asks_prose asks_edit asks_fact asks_how asks_number"
        ).split()
    ]


def test_tuples_of_turns_are_measured_like_lists():
    X = frame(("One.", "Two."), ["One.", "Two."])
    assert column(X, "similarity__identical")[0] == 1
    assert column(X, "sum__log_turns")[0] == pytest.approx(2 * log1p(2))


def test_missing_responses_are_identical_whatever_they_are_written_as():
    X = pd.concat([frame(None, float("nan")).astype(object), frame(pd.NA, None)])
    assert column(X, "similarity__identical").tolist() == [1, 1]


@pytest.mark.parametrize(
    ("a", "b"), [("Hi", ["Hi"]), (("Hi",), "Hi"), (None, [None]), ([None], float("nan"))]
)
def test_one_turn_is_identical_to_its_text(a, b):
    X = pd.DataFrame({"prompt": ["What?"], "response_a": [a], "response_b": [b]}, dtype=object)
    assert column(X, "similarity__identical")[0] == 1


def test_one_digit_in_a_long_response_is_all_the_digits_there_are():
    assert column(frame("x" * 99_999 + "1", "x" * 100_000), "ratio__digits")[0] == 1


@pytest.mark.parametrize("blocks", ["odd", 5, None, {"difference"}])
def test_blocks_are_a_name_or_a_list(battles, blocks):
    with pytest.raises(InvalidParameterError, match="'blocks'"):
        PairStyleFeatures(blocks).fit(battles)


def test_odd_blocks_of_single_floats_are_the_default(battles):
    out = PairStyleFeatures().fit_transform(battles)
    expected = PairStyleFeatures(["difference", "ratio", "tanh"]).fit_transform(battles)
    np.testing.assert_array_equal(out, expected)
    assert get_tags(PairStyleFeatures()).transformer_tags.preserves_dtype == []


def test_unfitted_has_no_names():
    with pytest.raises(NotFittedError):
        PairStyleFeatures().get_feature_names_out()


def test_the_docstring_says_what_each_measure_is(made):
    features = PairStyleFeatures(("difference", "similarity", "prompt")).fit(made)
    names = [name.partition("__")[2] for name in features.get_feature_names_out()]
    said = PairStyleFeatures.__doc__.partition("The measures of a response")[2]
    assert [name for name in names if f"`{name}`" not in said] == []
