"""The checks for estimators of battles notice what is wrong: each class here has one mistake."""

import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from arena_estimators import (
    PairStyleFeatures,
    PairTfidfVectorizer,
    SwapSymmetricClassifier,
    check_battles,
)
from arena_estimators.battles import swap_labels
from arena_estimators.exceptions import ArenaError, BattlesError, LabelsError
from arena_estimators.utils.estimator_checks import (
    battle_checks,
    check_bad_input,
    check_bad_labels,
    check_clone_and_set_params,
    check_fit_returns_self,
    check_set_output,
    check_swap_equivariance,
    check_swap_of_transformed,
    parametrize_with_battle_checks,
)


class Sound(SwapSymmetricClassifier):
    """Passes all checks; each class below has one thing wrong, unless it says otherwise."""


class SetsMore(Sound):
    def __init__(self, estimator):
        super().__init__(estimator)
        self.more = 1


class CopiesParameters(Sound):
    def set_params(self, **parameters):
        return super().set_params(**{name: copy.copy(v) for name, v in parameters.items()})


class TakesNoSettings(Sound):
    def set_params(self, **parameters):
        if not parameters.keys() <= self.get_params().keys():
            raise ValueError("an unknown parameter")
        return self


class SetsAnotherToo(Sound):
    def set_params(self, **parameters):
        if "random_state" in parameters:
            self.predict_order = parameters["random_state"]
        return super().set_params(**parameters)


class LearnsLessOnceSet(Sound):
    def set_params(self, **parameters):
        self._set = "estimator" in parameters
        return super().set_params(**parameters)

    def fit(self, X, y, sample_weight=None):
        rows = len(X) // 2 if getattr(self, "_set", False) else len(X)
        return super().fit(X[:rows], y[:rows])


class ReturnsNothing(Sound):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y)


class ChangesParameters(Sound):
    def fit(self, X, y, sample_weight=None):
        self.random_state = 0.5
        return super().fit(X, y)


class SetsPublicNames(Sound):
    def fit(self, X, y, sample_weight=None):
        self.fitted = True
        return super().fit(X, y)


class NeedsNoFit(Sound):
    def predict_proba(self, X):
        return super().predict_proba(X) if hasattr(self, "classes_") else np.ones((len(X), 3)) / 3

    def predict(self, X):
        return np.full(len(X), "tie")


class ForgetsInPickles(Sound):
    def __getstate__(self):
        return {**super().__getstate__(), "predict_order": "none"}


class AsksTheOtherRows(Sound):
    def predict_proba(self, X):
        proba = super().predict_proba(X)
        return (proba + proba.mean(axis=0)) / 2


class NumbersPromptsAsTheyCome(Sound):
    def predict_proba(self, X):
        numbers = vars(self).setdefault("_numbers", {})
        known = [[numbers.setdefault(str(prompt), len(numbers))] for prompt in X.prompt]
        return (super().predict_proba(X) + known) / (1 + 3 * np.array(known))


class KnowsThePosition(Sound):
    def predict_proba(self, X):
        proba = super().predict_proba(X)
        proba[5:6] = 1 / 3 if len(X) > 5 else proba[5:6]
        return proba


class SortsLabels(Sound):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y.sort_index() if isinstance(y, pd.Series) else y)


class DrawsWithoutSeed(Sound):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, np.random.default_rng().permutation(y))


class KeepsWhatItLearnt(Sound):
    def fit(self, X, y, sample_weight=None):
        self._prompts = getattr(self, "_prompts", set()) | set(map(str, X.prompt))
        return super().fit(X, y)

    def predict_proba(self, X):
        return (super().predict_proba(X) + len(self._prompts)) / (1 + 3 * len(self._prompts))


class WritesIntoX(Sound):
    def fit(self, X, y, sample_weight=None):
        X.iat[0, 0] = "written"
        return super().fit(X, y)


class WritesIntoTurns(Sound):
    def predict_proba(self, X):
        for turns in [cell for cell in X.prompt if isinstance(cell, list)]:
            turns[0] = (turns[0] or "").strip() + "?"
        return super().predict_proba(X)


class StumblesOverEmptyText(Sound):
    def predict_proba(self, X):
        proba = super().predict_proba(X)
        proba[[cell == "" for cell in X.response_b]] = np.nan
        return proba


class ReadsListsAlone(Sound):
    def predict_proba(self, X):
        X = X.map(lambda cell: cell if isinstance(cell, list | str) else "")
        return super().predict_proba(X)


class ReadsOtherColumns(Sound):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, np.roll(y, 1) if "winner" in X else y)


class ReordersColumns(Sound):
    def predict_proba(self, X):
        check_battles(X)
        return super().predict_proba(X[self.feature_names_in_])


class PredictsInSinglePrecision(Sound):
    def predict_proba(self, X):
        return super().predict_proba(X).astype(np.float32)


class SumsToMore(Sound):
    def predict_proba(self, X):
        return super().predict_proba(X) * 1.001


class PredictsTheLeast(Sound):
    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmin(axis=1)]


class TurnsCodes(Sound):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, swap_labels(y) if np.asarray(y).dtype.kind == "i" else y)


class TakesAnyLabel(Sound):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, ["tie" if label == "draw" else label for label in y])


class NamesNoLabel(Sound):
    _error = LabelsError

    def fit(self, X, y, sample_weight=None):
        try:
            return super().fit(X, y)
        except LabelsError:
            raise self._error("some label is wrong") from None


class NamesNoLabelByAnotherError(NamesNoLabel):
    _error = ValueError


class WantsWholeFrames(Sound):
    def fit(self, X, y, sample_weight=None):
        if len(X) < 60:
            raise ValueError("not all battles are there")
        return super().fit(X, y)


class RepeatsNames(PairStyleFeatures):
    def get_feature_names_out(self, input_features=None):
        names = super().get_feature_names_out(input_features)
        return np.array([names[0]] * len(names), dtype=object)


class FitsOtherwise(PairStyleFeatures):
    def fit_transform(self, X, y=None):
        return 2 * super().fit_transform(X, y)


class LosesTheIndex(PairStyleFeatures):
    def transform(self, X):
        return super().transform(X.reset_index(drop=True))


class ForgetsInCopies(Sound):
    def __deepcopy__(self, memo):
        copied = copy.copy(self)
        copied.predict_order = "none"
        return copied


class LooksAtBattlesInFitAlone(Sound):
    def predict_proba(self, X):
        try:
            return super().predict_proba(X)
        except BattlesError:
            return np.full((len(X), 3), 1 / 3)


class WritesIntoY(Sound):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y)
        y[:2] = ["tie", "model_a"]
        return self


class StumblesOverEmptyTextUnlessFittedOnSome(Sound):
    def fit(self, X, y, sample_weight=None):
        self._knows = (X.response_b == "").any()
        return super().fit(X, y)

    def predict_proba(self, X):
        proba = super().predict_proba(X)
        proba[[cell == "" and not self._knows for cell in X.response_b]] = np.nan
        return proba


class TurnsLists(Sound):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y[::-1] if isinstance(y, list) else y)


class SumsToMoreWithoutTies(Sound):
    def predict_proba(self, X):
        proba = super().predict_proba(X)
        return proba * 1.001 if proba.shape[1] == 2 else proba


class PrefersASideByALittle(Sound):
    def predict_proba(self, X):
        return super().predict_proba(X) + [1e-9, 0, -1e-9]


class IsOddButForALittle(PairStyleFeatures):
    def transform(self, X):
        return super().transform(X) + np.float32(1e-9)


class GivesFrames(PairStyleFeatures):
    """Sound too: gives frames unasked."""

    def transform(self, X):
        output = np.asarray(super().transform(X), dtype=np.float64)
        return pd.DataFrame(output, index=X.index, columns=self.get_feature_names_out())

    def fit_transform(self, X, y=None):
        return self.fit(X, y).transform(X)

    def fit(self, X, y=None):
        super().fit_transform(X, y)
        return self


class GivesFramesThatAreOddButForALittle(GivesFrames):
    def transform(self, X):
        output = super().transform(X)
        return output.where(output < 0, output * (1 + 1e-9))


class GivesFramesOfNaNForEmptyText(GivesFrames):
    def transform(self, X):
        output = super().transform(X)
        output[(X.response_b == "").to_numpy()] = np.nan
        return output


class TellsNothingOnceSet(PairStyleFeatures):
    def set_params(self, **parameters):
        self._set = "blocks" in parameters
        return super().set_params(**parameters)

    def transform(self, X):
        return super().transform(X) * (0 if getattr(self, "_set", False) else 1)


class ReadsNoLabels(PairStyleFeatures):
    def fit(self, X, y=None):
        return super().fit(X)

    def fit_transform(self, X, y=None):
        return super().fit_transform(X)


BROKEN = [
    (SetsMore, "check_init_only_assigns"),
    (CopiesParameters, "check_clone_and_set_params"),
    (TakesNoSettings, "check_clone_and_set_params"),
    (SetsAnotherToo, "check_clone_and_set_params"),
    (LearnsLessOnceSet, "check_grid_search"),
    (TellsNothingOnceSet, "check_grid_search"),
    (ReturnsNothing, "check_fit_returns_self"),
    (ChangesParameters, "check_fit_returns_self"),
    (SetsPublicNames, "check_fit_returns_self"),
    (NeedsNoFit, "check_unfitted"),
    (ForgetsInPickles, "check_pickle_and_joblib"),
    (AsksTheOtherRows, "check_one_row"),
    (KnowsThePosition, "check_row_order_and_index"),
    (NumbersPromptsAsTheyCome, "check_row_order_and_index"),
    (SortsLabels, "check_fit_ignores_the_index"),
    (DrawsWithoutSeed, "check_same_seed_same_result"),
    (KeepsWhatItLearnt, "check_same_seed_same_result"),
    (WritesIntoX, "check_input_not_changed"),
    (WritesIntoTurns, "check_input_not_changed"),
    (StumblesOverEmptyText, "check_empty_and_null_text"),
    (ReadsListsAlone, "check_empty_and_null_text"),
    (ReadsOtherColumns, "check_other_columns_are_ignored"),
    (ReordersColumns, "check_bad_input"),
    (PredictsInSinglePrecision, "check_probabilities"),
    (SumsToMore, "check_probabilities"),
    (PredictsTheLeast, "check_probabilities"),
    (TurnsCodes, "check_integer_labels"),
    (TurnsCodes, "check_voting"),
    (TakesAnyLabel, "check_bad_labels"),
    (NamesNoLabel, "check_bad_labels"),
    (ReadsNoLabels, "check_bad_labels"),
    (WantsWholeFrames, "check_grid_search"),
    (RepeatsNames, "check_names_out"),
    (FitsOtherwise, "check_fit_transform"),
    (ForgetsInCopies, "check_pickle_and_joblib"),
    (WritesIntoY, "check_input_not_changed"),
    (StumblesOverEmptyTextUnlessFittedOnSome, "check_empty_and_null_text"),
    (TurnsLists, "check_fit_ignores_the_index"),
    (LooksAtBattlesInFitAlone, "check_bad_input"),
    (SumsToMoreWithoutTies, "check_probabilities"),
    (PrefersASideByALittle, "check_swap_equivariance"),
    (IsOddButForALittle, "check_swap_of_transformed"),
    (LosesTheIndex, "check_set_output"),
    (GivesFramesThatAreOddButForALittle, "check_swap_of_transformed"),
    (GivesFramesOfNaNForEmptyText, "check_empty_and_null_text"),
]


def _made(kind):
    separate = make_pipeline(PairTfidfVectorizer(combine="separate"), LogisticRegression())
    return kind(separate) if issubclass(kind, SwapSymmetricClassifier) else kind()


@pytest.mark.parametrize(("kind", "name"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_wrong_is_caught(kind, name):
    sound = _made(Sound if issubclass(kind, Sound) else PairStyleFeatures)
    (check,) = [check for check in battle_checks(sound) if check.__name__ == name]
    check(sound)
    with pytest.raises((AssertionError, ValueError)):
        check(_made(kind))


def test_what_is_not_symmetric_is_caught():
    uneven = _made(Sound).set_params(predict_order="none")
    with pytest.raises(AssertionError):
        check_swap_equivariance(uneven)
    with pytest.raises(AssertionError):
        check_swap_of_transformed(PairStyleFeatures(("sum",)))


def test_the_checks_catch_a_vectoriser_that_reads_column_names():
    failed = set()
    for check in battle_checks(PairStyleFeatures()):
        try:
            check(TfidfVectorizer())
        except Exception:
            failed.add(check.__name__)
    assert failed >= {
        "check_one_row",
        "check_row_order_and_index",
        "check_empty_and_null_text",
        "check_bad_input",
        "check_swap_of_transformed",
    }


class CannotBeFitted(PairStyleFeatures):
    def fit(self, X, y=None):
        return None


def test_what_cannot_be_fitted_fails_in_its_checks_not_where_they_are_listed():
    checks = battle_checks(CannotBeFitted())
    assert checks == battle_checks(PairStyleFeatures())
    with pytest.raises(AssertionError):
        check_fit_returns_self(CannotBeFitted())


class IsNoClassifierByItsTags(BaseEstimator, ClassifierMixin):
    def predict_proba(self, X):
        return np.ones((len(X), 3)) / 3


def test_what_is_neither_classifier_nor_transformer_has_no_checks():
    with pytest.raises(ArenaError, match="IsNoClassifierByItsTags .* from BaseEstimator after it"):
        battle_checks(IsNoClassifierByItsTags())


@pytest.mark.parametrize("estimator", [PairTfidfVectorizer(), PairStyleFeatures()])
def test_a_check_that_is_expected_to_fail_is_a_strict_xfail(estimator):
    marked = parametrize_with_battle_checks(
        [estimator], expected_failed_checks=lambda _: {"check_one_row": "a written reason"}
    )
    xfails = [p for p in marked.args[1] if p.marks]
    assert [p.marks[0].kwargs for p in xfails] == [{"reason": "a written reason", "strict": True}]


def test_a_misspelt_check_is_not_passed_over():
    with pytest.raises(ArenaError, match="PairStyleFeatures are called .'check_one_rwo'."):
        parametrize_with_battle_checks(
            [PairStyleFeatures()], expected_failed_checks=lambda _: {"check_one_rwo": "reason"}
        )
    parametrize_with_battle_checks([PairStyleFeatures()], expected_failed_checks=lambda _: None)


def test_a_step_that_names_its_columns_when_fitted_passes():
    check_set_output(make_pipeline(PairStyleFeatures(), MaxAbsScaler()))


@pytest.mark.parametrize("parameter", [object(), np.random.RandomState(0)])
def test_a_parameter_may_print_where_in_memory_it_lies(parameter):
    class Parametrised(PairStyleFeatures):
        def __init__(self, blocks="difference", *, parameter=None):
            super().__init__(blocks)
            self.parameter = parameter

    check_clone_and_set_params(Parametrised(parameter=parameter))


def test_the_checks_say_what_was_not_refused():
    class TakesAnyOrder(PairStyleFeatures):
        def transform(self, X):
            in_order = isinstance(X, pd.DataFrame) and set(self.feature_names_in_) <= set(X.columns)
            return super().transform(X[self.feature_names_in_] if in_order else X)

    with pytest.raises(AssertionError, match="columns in another order than in fit did not raise"):
        check_bad_input(TakesAnyOrder())
    with pytest.raises(AssertionError, match="fit with an unknown label did not raise LabelsError"):
        check_bad_labels(_made(TakesAnyLabel))
    with pytest.raises(AssertionError, match="fit with an unknown label raised ValueError, not La"):
        check_bad_labels(_made(NamesNoLabelByAnotherError))


@pytest.mark.parametrize("transform", ["default", "pandas"])
def test_features_may_come_as_a_frame(transform):
    features = PairStyleFeatures().set_output(transform=transform)
    checks = battle_checks(features)
    assert check_swap_of_transformed in checks
    for check in checks:
        check(features)
