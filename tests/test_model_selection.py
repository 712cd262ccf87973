import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    cross_validate,
    learning_curve,
)

from arena_estimators import (
    PromptGroupKFold,
    PromptGroupShuffleSplit,
    load_arena,
    make_arena_pipeline,
    make_battles,
    model_selection,
    prompt_groups,
)
from arena_estimators.exceptions import BattlesError


def test_groups_ignore_case_space_and_row_order(battles):
    X = battles.assign(prompt=["Why  not?", " why not?\n", "b", ["b"], None, ""])
    groups = prompt_groups(X)
    assert groups.tolist() == [2, 2, 1, 1, 0, 0]
    np.testing.assert_array_equal(prompt_groups(X[::-1]), groups[::-1])


@pytest.mark.parametrize("shuffle", [False, True])
def test_no_prompt_is_on_both_sides_and_every_row_is_tested_once(shuffle):
    X = make_battles(200, random_state=0).X
    groups = prompt_groups(X)
    assert len(np.unique(groups)) < len(X)
    cv = PromptGroupKFold(4, shuffle=shuffle, random_state=0 if shuffle else None)
    tested = []
    for train, test in cv.split(X):
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == len(X)
        tested.extend(test)
    assert sorted(tested) == list(range(len(X)))
    assert cv.get_n_splits() == 4


def test_folds_are_those_of_group_k_fold_and_groups_can_be_passed():
    X = make_battles(100, random_state=0).X
    ours = PromptGroupKFold(3, shuffle=True, random_state=5)
    theirs = GroupKFold(3, shuffle=True, random_state=5)
    groups = np.arange(100) // 7
    for given, expected in [(None, prompt_groups(X)), (groups, groups)]:
        pairs = zip(ours.split(X, groups=given), theirs.split(X, groups=expected), strict=True)
        for (_, test), (_, expected_test) in pairs:
            np.testing.assert_array_equal(test, expected_test)


@pytest.mark.parametrize("test_size", [0.25, 10])
def test_parts_held_out_are_those_of_group_shuffle_split(test_size):
    X = make_battles(100, random_state=0).X
    options = {"test_size": test_size, "random_state": 5}
    ours, theirs = PromptGroupShuffleSplit(3, **options), GroupShuffleSplit(3, **options)
    groups = np.arange(100) // 7
    for given, expected in [(None, prompt_groups(X)), (groups, groups)]:
        pairs = zip(ours.split(X, groups=given), theirs.split(X, groups=expected), strict=True)
        for (train, test), (expected_train, expected_test) in pairs:
            np.testing.assert_array_equal(train, expected_train)
            np.testing.assert_array_equal(test, expected_test)
            assert not set(expected[train]) & set(expected[test])
    assert ours.get_n_splits() == 3


def test_a_search_takes_one_part_held_out():
    data = make_battles(150, random_state=0)
    search = GridSearchCV(
        make_arena_pipeline("linear").set_params(davidsonclassifier__tie_alpha=0.1),
        {"davidsonclassifier__alpha": [0.01, 0.1]},
        cv=PromptGroupShuffleSplit(random_state=0),
        scoring="neg_log_loss",
    ).fit(data.X, data.y)
    assert search.n_splits_ == 1
    assert repr(search.cv) == "PromptGroupShuffleSplit(n_splits=1, random_state=0, test_size=0.25)"


def test_a_learning_curve_takes_battles():
    data = make_battles(90, random_state=0)
    sizes, _, scores = learning_curve(
        make_arena_pipeline("linear"),
        data.X,
        data.y,
        train_sizes=[20, 50],
        cv=PromptGroupKFold(3),
        scoring="neg_log_loss",
        shuffle=True,
        random_state=0,
    )
    assert sizes.tolist() == [20, 50]
    assert scores.shape == (2, 3) and np.isfinite(scores).all()


@pytest.mark.parametrize("splitter", [PromptGroupKFold(2), PromptGroupShuffleSplit()])
def test_features_in_place_of_battles_are_refused_with_advice(splitter):
    with pytest.raises(BattlesError, match="reads the prompts from X.*pipeline that holds all"):
        next(splitter.split(np.zeros((4, 2))))


def test_too_few_prompts(battles):
    with pytest.raises(
        BattlesError, match="cannot split 6 battles of 1 prompts: .*n_splits=5 greater than"
    ):
        next(PromptGroupKFold(5).split(battles.assign(prompt="same")))


@pytest.mark.parametrize("splitter", [PromptGroupKFold(2), PromptGroupShuffleSplit()])
def test_groups_of_another_length_are_refused(splitter):
    X = make_battles(30, random_state=0).X
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(splitter.split(X, groups=[1, 2, 3]))


@pytest.mark.parametrize("splitter", [PromptGroupKFold(2), PromptGroupShuffleSplit(random_state=0)])
def test_groups_may_stand_in_a_column_but_not_in_several(splitter):
    X = make_battles(60, random_state=0).X
    groups = np.arange(60) // 7
    train, _ = next(splitter.split(X, groups=groups))
    for column in (groups[:, None], pd.DataFrame({"group": groups}), groups[:, None].tolist()):
        np.testing.assert_array_equal(next(splitter.split(X, groups=column))[0], train)
    with pytest.raises(BattlesError, match=r"groups has the shape \(60, 2\)"):
        next(splitter.split(X, groups=np.column_stack([groups, groups])))
    with pytest.raises(BattlesError, match="one group a battle: .*inhomogeneous"):
        next(splitter.split(X, groups=[(1,), *[(1, 2)] * 59]))


@pytest.mark.parametrize("splitter", [PromptGroupKFold(2), PromptGroupShuffleSplit()])
def test_groups_are_routed_to_the_splitter(splitter):
    data = make_battles(60, random_state=0)
    groups = np.arange(60) % 2
    with config_context(enable_metadata_routing=True):
        found = cross_validate(
            DummyClassifier(),
            data.X,
            data.y,
            cv=splitter,
            params={"groups": groups},
            return_indices=True,
        )
    for test in found["indices"]["test"]:
        assert len(set(groups[test])) == 1


def test_a_column_says_what_belongs_together():
    X = pd.DataFrame({"prompt": ["a", "b", "c"], "prompt_group": ["x", "y", "x"]})
    assert prompt_groups(X).tolist() == [0, 1, 0]
    with pytest.raises(BattlesError, match="'prompt_group' must say a group for every battle"):
        prompt_groups(X.assign(prompt_group=["x", None, "x"]))
    with pytest.raises(BattlesError, match="'prompt_group' mixes kinds of values"):
        prompt_groups(X.assign(prompt_group=["x", 1, "x"]))
    with pytest.raises(BattlesError, match="more than one column named 'prompt_group'"):
        prompt_groups(pd.concat([X, X[["prompt_group"]]], axis=1))


def test_groups_that_cannot_be_sorted_are_refused():
    X = make_battles(60, random_state=0).X
    with pytest.raises(BattlesError, match="cannot split"):
        next(PromptGroupKFold(2).split(X, groups=[None] * 60))
    with pytest.raises(BattlesError, match="cannot split"):
        next(PromptGroupKFold(2).split(X, groups=np.array([{"a": 1}] * 60, dtype=object)))


def test_case_is_that_of_any_script():
    assert prompt_groups(pd.DataFrame({"prompt": ["Straße", "STRASSE", "x"]})).tolist() == [0, 0, 1]
    # An iota subscript: before the accent, and in one character with the vowel.
    composed = pd.DataFrame({"prompt": ["\u03b1\u0345\u0301", "\u1fb4"]})
    assert prompt_groups(composed).tolist() == [0, 0]


def test_numbers_of_groups_follow_the_sorted_prompts():
    assert prompt_groups(pd.DataFrame({"prompt": list("edcba")})).tolist() == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("text", ["Café", "가나다", "が", "Việt", "कि़", "İ", "ᾴ"])
def test_a_letter_and_its_mark_are_one_however_they_are_encoded(text):
    ways = [
        f(unicodedata.normalize(form, text)) for form in ("NFC", "NFD") for f in (str, str.upper)
    ]
    groups = prompt_groups(pd.DataFrame({"prompt": [*ways, "Cafe"]})).tolist()
    assert len(set(groups[:-1])) == 1 and groups[-1] != groups[0]


@pytest.mark.parametrize("name", ["response_a", "prompt_group"])
def test_a_frame_without_prompts_is_refused(name):
    X = pd.DataFrame({name: list("abcd")})
    with pytest.raises(BattlesError, match="X has no column 'prompt'"):
        prompt_groups(X)
    with pytest.raises(BattlesError, match="X has no column 'prompt'.* Split before features"):
        next(PromptGroupKFold(2).split(X))


def test_any_white_space_is_one_space_and_nothing_else_is():
    X = pd.DataFrame({"prompt": ["a b", "a\tb", "a\n\u3000 b", "ab", "a b\0"]})
    groups = prompt_groups(X).tolist()
    assert len(set(groups[:3])) == 1
    assert len(set(groups)) == 3


def test_white_space_is_what_patterns_take_for_it():
    every = list(map(chr, range(0x110000)))
    prompts = [f"{c}a{c}{c}b{c}" for c in every]
    groups = prompt_groups(pd.DataFrame({"prompt": prompts}, dtype=object))
    space = [re.match(r"\s", c) is not None for c in every]
    assert (groups == groups[ord(" ")]).tolist() == space


def test_five_folds_are_the_default_and_a_random_state_without_use_is_taken():
    X = make_battles(60, random_state=0).X
    folds = list(PromptGroupKFold().split(X))
    assert len(folds) == 5
    for (_, test), (_, again) in zip(folds, PromptGroupKFold(random_state=0).split(X), strict=True):
        np.testing.assert_array_equal(test, again)


@pytest.mark.parametrize("name", ["battles.csv", "battles.parquet", None])
def test_a_missing_group_is_refused_whatever_the_file(tmp_path, name):
    columns = ("prompt", "response_a", "response_b")
    frame = pd.DataFrame(dict.fromkeys(columns, list("abcd")))
    frame["prompt_group"] = ["x", None, None, "y"]
    path = frame if name is None else tmp_path / name
    if name == "battles.csv":
        frame.to_csv(path, index=False)
    elif name:
        frame.to_parquet(path)
    with pytest.raises(BattlesError, match="'prompt_group' must say a group for every battle"):
        prompt_groups(load_arena(path).X)


def test_a_group_of_white_space_is_missing():
    X = pd.DataFrame({"prompt": ["a", "b"], "prompt_group": ["x", " \t"]})
    with pytest.raises(BattlesError, match="'prompt_group' must say a group for every battle"):
        prompt_groups(X)


def test_a_prompt_that_comes_again_is_made_normal_once(monkeypatch):
    made, normal = [], model_selection._normal
    monkeypatch.setattr(model_selection, "_normal", lambda text: made.append(text) or normal(text))
    prompts = [["Où ?"], "où ?", "Où ?", "Why?"] * 50
    groups = prompt_groups(pd.DataFrame({"prompt": prompts}))
    assert groups.tolist() == [0, 0, 0, 1] * 50
    assert sorted(made) == ["Où ?", "Why?", "où ?"]
