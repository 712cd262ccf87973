import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from arena_estimators import PromptGroupKFold, make_battles, prompt_groups
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


def test_features_in_place_of_battles_are_refused_with_advice():
    with pytest.raises(BattlesError, match="reads the prompts from X.*pipeline that holds all"):
        next(PromptGroupKFold(2).split(np.zeros((4, 2))))


def test_too_few_prompts(battles):
    with pytest.raises(ValueError, match="n_splits=5 greater than the number of groups"):
        next(PromptGroupKFold(5).split(battles.assign(prompt="same")))


def test_groups_of_another_length_are_refused():
    X = make_battles(30, random_state=0).X
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(PromptGroupKFold(2).split(X, groups=[1, 2, 3]))
