import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from arena_estimators import (
    BlendingClassifier,
    DavidsonClassifier,
    DistillingClassifier,
    PairStyleFeatures,
    PromptGroupKFold,
    PromptGroupShuffleSplit,
    SwapSymmetricClassifier,
    make_arena_pipeline,
    make_battles,
    prompt_groups,
    soften_labels,
    swap,
    swap_inconsistency,
)
from arena_estimators.battles import swap_labels
from arena_estimators.exceptions import ArenaError, BattlesError, LabelsError


def style(classifier=None):
    scaler = StandardScaler(with_mean=False)
    return make_pipeline(
        PairStyleFeatures(), scaler, classifier or DavidsonClassifier(0.1, tie_alpha=0.1)
    )


@pytest.fixture(scope="module")
def data():
    return make_battles(150, random_state=4)


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what it was fitted on; answers with the share of each class, or what it is told."""

    seen = []

    def __init__(self, answer=None):
        self.answer = answer

    def fit(self, X, y, sample_weight=None):
        self.X_, self.y_, self.weight_ = X, np.asarray(y), sample_weight
        self.classes_ = np.unique(y)
        Recorder.seen.append(self)
        return self

    def predict_proba(self, X):
        self.asked_ = X
        shares = [(self.y_ == label).mean() for label in self.classes_]
        return np.tile(self.answer or shares, (len(X), 1))


class Heedless(Recorder):
    def fit(self, X, y):
        return super().fit(X, y)


def hot(y):
    return np.eye(3)[np.unique(y, return_inverse=True)[1]]


def test_soften_labels_mixes_and_tempers(data):
    proba = np.random.default_rng(0).dirichlet([1, 1, 1], size=150)
    X = data.X.assign(prompt=[f"{i}" for i in range(150)])
    np.testing.assert_allclose(soften_labels(X, data.y, proba, hard_weight=1.0), hot(data.y))
    np.testing.assert_allclose(soften_labels(X, data.y, proba, hard_weight=0.0), proba)
    np.testing.assert_allclose(soften_labels(X, data.y, proba), (hot(data.y) + proba) / 2)
    mixed = soften_labels(X, data.y, proba, hard_weight=0.25, temperature=2.0)
    cooled = np.sqrt(proba) / np.sqrt(proba).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mixed, 0.25 * hot(data.y) + 0.75 * cooled)
    np.testing.assert_allclose(soften_labels(X, None, proba, temperature=2.0), cooled)
    np.testing.assert_allclose(soften_labels(X, None, cooled, temperature=0.5), proba)
    np.testing.assert_allclose(soften_labels(X, cooled, proba), (cooled + proba) / 2)
    frame = pd.DataFrame(proba, columns=["winner_model_a", "winner_model_b", "winner_tie"])
    np.testing.assert_allclose(soften_labels(X, None, frame.iloc[:, ::-1]), proba)


def test_repeated_battles_share_their_mean_in_either_order():
    X = pd.DataFrame(
        {
            "prompt": ["p", ["p"], "p", "p", None],
            "response_a": ["x", ["z"], "x", "x", ""],
            "response_b": ["z", "x", "other", "z", [None]],
        }
    )
    y = ["model_a", "tie", "model_b", "model_a", "tie"]
    proba = np.full((5, 3), 1 / 3)
    soft = soften_labels(X, y, proba, hard_weight=1.0)
    expected = [[2 / 3, 0, 1 / 3], [0, 2 / 3, 1 / 3], [0, 1, 0], [2 / 3, 0, 1 / 3], [0, 0, 1]]
    np.testing.assert_allclose(soft, expected)


@pytest.mark.parametrize(
    ("y", "proba", "message"),
    [
        (None, np.full((150, 3), 0.5), "sum to one"),
        (None, np.full((149, 3), 1 / 3), "proba .*149"),
        (None, np.full(150, 1 / 3), "one row a battle"),
        (["model_a", "model_b"] * 75, np.full((150, 3), 1 / 3), "3 columns"),
        (["x"] * 150, np.full((150, 3), 1 / 3), "'x'"),
        (["model_a", "model_b", "tie"] * 49, np.full((150, 3), 1 / 3), "147"),
    ],
)
def test_soften_labels_refuses_what_does_not_fit(data, y, proba, message):
    with pytest.raises(LabelsError, match=message):
        soften_labels(data.X, y, proba)


def test_soften_labels_refuses_wrong_shares_and_battles(data):
    proba = np.full((150, 3), 1 / 3)
    with pytest.raises(ValueError, match="hard_weight"):
        soften_labels(data.X, data.y, proba, hard_weight=1.5)
    with pytest.raises(ValueError, match="temperature"):
        soften_labels(data.X, data.y, proba, temperature=0)
    with pytest.raises(BattlesError, match="DataFrame"):
        soften_labels(data.X.to_numpy(), data.y, proba)


def test_the_student_is_fitted_on_out_of_fold_probabilities(data):
    cv = PromptGroupKFold(3)
    proba = cross_val_predict(style(), data.X, data.y, cv=cv, method="predict_proba")
    soft = soften_labels(data.X, data.y, proba, hard_weight=0.3)
    expected = style().fit(data.X, soft).predict_proba(data.X)
    model = DistillingClassifier(style(), hard_weight=0.3, cv=3).fit(data.X, data.y)
    np.testing.assert_allclose(model.soft_labels_, soft)
    np.testing.assert_allclose(model.predict_proba(data.X), expected, atol=1e-3)
    assert not hasattr(model, "teacher_")
    assert swap_inconsistency(model, data.X) == 0


def test_no_teacher_labels_a_prompt_it_was_fitted_on(data):
    Recorder.seen.clear()
    DistillingClassifier(style(), Recorder(), cv=4).fit(data.X, data.y)
    assert len(Recorder.seen) == 4
    groups = pd.Series(prompt_groups(data.X), index=data.X.index)
    for teacher in Recorder.seen:
        assert not set(groups[teacher.X_.index]) & set(groups[teacher.asked_.index])


def test_hard_weight_one_is_the_student_alone(data):
    alone = style().fit(data.X, soften_labels(data.X, data.y, hot(data.y)))
    model = DistillingClassifier(style(), hard_weight=1.0, cv=2).fit(data.X, data.y)
    np.testing.assert_allclose(model.predict_proba(data.X), alone.predict_proba(data.X), atol=1e-3)


def test_unlabelled_battles_are_labelled_unless_they_are_known(data):
    known = swap(data.X[:10])
    others = pd.concat([known, data.X[100:]])
    model = DistillingClassifier(Recorder(), style(), hard_weight=0.5, cv=2)
    model.fit(data.X[:100], data.y[:100], X_unlabelled=others)
    keys = {tuple(map(str, row)) for row in data.X[:100].to_numpy()}
    new = [row for row in data.X[100:].to_numpy() if tuple(map(str, row)) not in keys]
    assert len(model.soft_labels_) == 100 + len(new)
    teacher = style().fit(data.X[:100], data.y[:100])
    proba = teacher.predict_proba(data.X[100:])[-1]
    np.testing.assert_allclose(model.soft_labels_[-1], proba)
    assert len(model.student_.X_) == 300 - 3 * 100 + np.count_nonzero(model.soft_labels_)
    assert model.student_.X_.index[[0, -1]].tolist() == [0, 149]  # in the order of the labels
    none_new = DistillingClassifier(style(), cv=2).fit(data.X, data.y, X_unlabelled=known)
    assert len(none_new.soft_labels_) == 150
    assert not hasattr(none_new.fit(data.X, data.y), "teacher_")


def test_students_without_soft_labels_get_a_weighted_row_for_each_class(data):
    weight = np.linspace(0, 2, 150)
    proba = (0.5, 0.3, 0.2)
    teacher = Recorder(proba).fit(data.X, data.y)
    model = DistillingClassifier(Recorder(), teacher, prefit=True, hard_weight=0.0)
    student = model.fit(data.X, data.y, sample_weight=weight).student_
    assert len(student.X_) == 450
    np.testing.assert_allclose(student.weight_, (weight[:, None] * proba).ravel(), atol=1e-12)
    assert student.y_[:3].tolist() == ["model_a", "model_b", "tie"]
    student = model.set_params(hard_weight=1.0).fit(data.X, data.y).student_
    assert len(student.X_) == np.count_nonzero(model.soft_labels_) < 450


class InRows(ClassifierMixin, BaseEstimator):
    """One that is not of this library, so that it is not known to take soft labels."""

    def fit(self, D, y, sample_weight=None):
        self.model_ = DavidsonClassifier(0.1, tie_alpha=0.1).fit(D, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, D):
        return self.model_.predict_proba(D)


def test_weighted_rows_fit_what_soft_labels_do(data):
    weight = np.linspace(0, 2, 150)
    proba = [
        DistillingClassifier(style(student), style(), cv=2)
        .fit(data.X, data.y, sample_weight=weight)
        .predict_proba(data.X)
        for student in (DavidsonClassifier(0.1, tie_alpha=0.1), InRows())
    ]
    np.testing.assert_allclose(*proba, atol=0.01)


def test_a_fitted_teacher_is_used_as_it_is(data):
    teacher = style().fit(data.X, data.y)
    model = DistillingClassifier(style(), teacher, prefit=True, hard_weight=0.0)
    model.fit(data.X, data.y)
    assert model.teacher_ is teacher
    expected = soften_labels(data.X, None, teacher.predict_proba(data.X))
    np.testing.assert_allclose(model.soft_labels_, expected)
    with pytest.raises(ValueError, match="teacher is not fitted.*FrozenEstimator"):
        clone(model).fit(data.X, data.y)
    frozen = DistillingClassifier(style(), FrozenEstimator(teacher), prefit=True)
    mixed = soften_labels(data.X, data.y, teacher.predict_proba(data.X))
    np.testing.assert_allclose(frozen.fit(data.X, data.y).soft_labels_, mixed)
    options = {"cv": PromptGroupKFold(2), "scoring": "neg_log_loss"}
    search = GridSearchCV(frozen, {"hard_weight": [0.0, 1.0]}, **options)
    assert len(set(search.fit(data.X, data.y).cv_results_["split0_test_score"])) == 2


def test_the_columns_of_unlabelled_battles_may_be_in_another_order(data):
    X, others = data.X[:100].iloc[:, ::-1], data.X[100:]
    model = DistillingClassifier(style(), cv=2).fit(X, data.y[:100], X_unlabelled=others)
    assert len(model.soft_labels_) > 100


def test_without_weights_a_student_of_soft_labels_need_not_take_any(data):
    class Plain(DavidsonClassifier):
        def fit(self, X, y):
            return super().fit(X, y)

    student = style(Plain(0.1, tie_alpha=0.1))
    model = DistillingClassifier(student, style(), cv=2).fit(data.X, data.y)
    assert model.predict_proba(data.X).shape == (150, 3)


def test_a_blend_can_teach(data):
    teacher = BlendingClassifier([("one", style()), ("two", style())], cv=2)
    model = DistillingClassifier(style(), teacher, cv=2).fit(data.X, data.y)
    np.testing.assert_allclose(model.soft_labels_.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("estimator", "takes_them"),
    [
        (style(), True),
        (SwapSymmetricClassifier(style()), True),
        (BlendingClassifier([("a", style()), ("b", "drop")]), True),
        (BlendingClassifier([("a", style()), ("b", style(LogisticRegression()))]), False),
        (SwapSymmetricClassifier(style(LogisticRegression())), False),
        (CalibratedClassifierCV(style()), False),
    ],
)
def test_who_takes_soft_labels(data, estimator, takes_them):
    model = SwapSymmetricClassifier(estimator)
    soft = np.tile([0.5, 0.3, 0.2], (150, 1))
    if takes_them:
        model.fit(data.X, soft)
    else:
        with pytest.raises(LabelsError, match="takes labels, not soft labels"):
            model.fit(data.X, soft)


class Untouched(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("was fitted before all input was checked")


def test_bad_input_is_refused_before_any_fit(data):
    two = make_battles(50, tie_rate=0, random_state=0)
    teacher = style().fit(two.X, two.y)
    with pytest.raises(LabelsError, match="The teacher .Pipeline. has the classes .*'model_b'.;"):
        DistillingClassifier(Untouched(), teacher, prefit=True).fit(data.X, data.y)
    neighbors = make_pipeline(PairStyleFeatures(), KNeighborsClassifier())
    with pytest.raises(ValueError, match="takes no soft labels.*no sample_weight"):
        DistillingClassifier(neighbors, Untouched()).fit(data.X, data.y)
    with pytest.raises(ValueError, match="takes no soft labels.*no sample_weight"):
        DistillingClassifier(Heedless(), Untouched()).fit(data.X, data.y)
    with pytest.raises(ValueError, match="The teacher .KNeighbors.* no sample_weight"):
        model = DistillingClassifier(Untouched(), neighbors)
        model.fit(data.X, data.y, sample_weight=np.ones(150))
    with pytest.raises(NotFittedError, match="the teacher is None, which is not fitted"):
        DistillingClassifier(Untouched(), prefit=True).fit(data.X, data.y)
    with pytest.raises(ArenaError, match="The teacher .*DavidsonClassifier.* has no fit"):
        DistillingClassifier(Untouched(), DavidsonClassifier, prefit=True).fit(data.X, data.y)
    with pytest.raises(BattlesError, match="X_unlabelled has no column 'prompt'"):
        unlabelled = data.X.drop(columns="prompt")
        DistillingClassifier(Untouched()).fit(data.X, data.y, X_unlabelled=unlabelled)
    with pytest.raises(ValueError, match="every battle in the test part of exactly one fold"):
        DistillingClassifier(Untouched(), cv=PromptGroupShuffleSplit()).fit(data.X, data.y)
    grouped = data.X.assign(prompt_group=0)
    for X, others in ((grouped, two.X), (data.X, two.X.assign(prompt_group=0))):
        with pytest.raises(BattlesError, match="Only one of X and X_unlabelled has a column"):
            DistillingClassifier(Untouched()).fit(X, data.y, X_unlabelled=others)
    with pytest.raises(BattlesError, match="must say a group for every battle"):
        others = two.X.assign(prompt_group=None)
        DistillingClassifier(Untouched()).fit(grouped, data.y, X_unlabelled=others)
    for options in ({"hard_weight": -0.1}, {"temperature": 0.0}, {"teacher": "gpt"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            DistillingClassifier(Untouched(), **options).fit(data.X, data.y)


def test_probabilities_may_be_named_by_integers(data):
    proba = np.random.default_rng(0).dirichlet([1, 1, 1], size=150)
    frame = pd.DataFrame(proba)[[2, 0, 1]]
    np.testing.assert_array_equal(
        soften_labels(data.X, None, frame), soften_labels(data.X, None, proba)
    )


def test_swapped_repeats_agree(data):
    X = pd.concat([data.X, swap(data.X)], ignore_index=True)
    y = np.concatenate([data.y, swap_labels(data.y)])
    model = DistillingClassifier(style(), cv=2).fit(X, y)
    soft = model.soft_labels_
    np.testing.assert_allclose(soft[:150], soft[150:][:, [1, 0, 2]])


@pytest.mark.parametrize(
    ("kind", "calibration"),
    [("svm", "StackingClassifier"), ("forest", "CalibratedClassifierCV")],
)
def test_a_student_whose_calibration_drops_weights_is_refused(data, kind, calibration):
    student = make_arena_pipeline(kind)
    # A stack takes a list, so advice to put a single classifier into it would be wrong.
    advice = rf"make_pipeline\(features, {calibration}\(\.\.\.\)\)"
    message = f"student.* holds a {calibration} of a Pipeline.*last step.*{advice}"
    with pytest.raises(ValueError, match=message):
        DistillingClassifier(student, Untouched()).fit(data.X, data.y)
    inside = make_pipeline(PairStyleFeatures(), CalibratedClassifierCV(LinearSVC(), cv=2))
    teacher = style().fit(data.X, data.y)
    model = DistillingClassifier(inside, teacher, prefit=True, hard_weight=0.9)
    assert np.ptp(model.fit(data.X, data.y).predict_proba(data.X), axis=0).min() > 0.01


def test_nested_students_and_teachers_are_checked_before_any_fit(data):
    svm = SwapSymmetricClassifier(make_pipeline(PairStyleFeatures(), LinearSVC()))
    with pytest.raises(ValueError, match="The student: .*has no predict_proba"):
        DistillingClassifier(svm, Untouched()).fit(data.X, data.y)
    with pytest.raises(ValueError, match="The teacher: .*has no predict_proba"):
        DistillingClassifier(Untouched(), svm).fit(data.X, data.y)
    nearest = make_pipeline(PairStyleFeatures(), KNeighborsClassifier())
    nearest = SwapSymmetricClassifier(nearest)
    with pytest.raises(ValueError, match="takes no soft labels.*KNeighbors.*no sample_weight"):
        DistillingClassifier(nearest, Untouched()).fit(data.X, data.y)
    deaf = make_pipeline(PairStyleFeatures(), Deaf())
    soft = BlendingClassifier([("one", style()), ("deaf", deaf)])
    with pytest.raises(ValueError, match="The student .Deaf. takes no sample_weight"):
        model = DistillingClassifier(soft, Untouched())
        model.fit(data.X, data.y, sample_weight=np.ones(150))


class Deaf(DavidsonClassifier):
    """Takes soft labels, as one of this library's, but no weights."""

    __module__ = "arena_estimators.linear_model"

    def fit(self, X, y):
        raise AssertionError("was fitted before all input was checked")


def test_unlabelled_battles_may_order_their_columns_otherwise(data):
    known, others = data.X[:100], data.X[100:]
    results = [
        DistillingClassifier(style(), cv=2).fit(known, data.y[:100], X_unlabelled=unlabelled)
        for unlabelled in (others, others[others.columns[::-1]].assign(id=1))
    ]
    np.testing.assert_allclose(results[0].soft_labels_, results[1].soft_labels_)


def test_a_battle_without_weight_leaves_its_repetition_alone():
    X = pd.DataFrame({"prompt": "p", "response_a": ["x", "z", "x"], "response_b": ["z", "x", "w"]})
    y, proba = [[1, 0, 0], [1, 0, 0], [0, 0, 1]], np.full((3, 3), 1 / 3)
    soft = soften_labels(X, y, proba, hard_weight=1.0, sample_weight=[1, 0, 0])
    np.testing.assert_allclose(soft, [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    soft = soften_labels(X, y, proba, hard_weight=1.0, sample_weight=[3, 1, 1])
    np.testing.assert_allclose(soft[0], [0.75, 0.25, 0])
    with pytest.raises(ValueError, match="[Nn]egative"):
        soften_labels(X, y, proba, sample_weight=[1, -1, 1])
    teacher = Recorder([0.4, 0.3, 0.3]).fit(X, ["model_a", "model_b", "tie"])
    model = DistillingClassifier(Recorder(), teacher, prefit=True, hard_weight=0.5)
    model.fit(X, ["tie", "model_a", "model_b"], sample_weight=[0, 1, 1])
    np.testing.assert_allclose(model.soft_labels_[:2], [[0.15, 0.7, 0.15], [0.7, 0.15, 0.15]])


def test_the_temperature_reaches_the_labels_of_all_battles(data):
    teacher = Recorder([0.6, 0.3, 0.1]).fit(data.X, data.y)
    model = DistillingClassifier(style(), teacher, prefit=True, hard_weight=0.0, temperature=2.0)
    others = make_battles(20, random_state=9).X
    soft = model.fit(data.X, data.y, X_unlabelled=others).soft_labels_
    cooled = np.sqrt([0.6, 0.3, 0.1]) / np.sqrt([0.6, 0.3, 0.1]).sum()
    np.testing.assert_allclose(soft, np.tile(cooled, (170, 1)))


def test_a_battle_nobody_voted_on_counts_as_one(data):
    teacher = Recorder([0.5, 0.3, 0.2]).fit(data.X, data.y)
    model = DistillingClassifier(Recorder(), teacher, prefit=True, hard_weight=0.0)
    others = make_battles(20, random_state=9).X
    model.fit(data.X, data.y, sample_weight=np.full(150, 3.0), X_unlabelled=others)
    weight = model.student_.weight_.reshape(-1, 3).sum(axis=1)
    np.testing.assert_allclose(weight, [3.0] * 150 + [1.0] * 20)


def test_weights_reach_the_teachers(data):
    Recorder.seen.clear()
    weight = np.arange(1.0, 151.0)
    DistillingClassifier(style(), Recorder(), cv=4).fit(data.X, data.y, sample_weight=weight)
    assert len(Recorder.seen) == 4
    for teacher in Recorder.seen:
        np.testing.assert_array_equal(teacher.weight_, weight[teacher.X_.index])


def test_the_progress_of_the_teachers_is_shown_where_asked(data, capsys):
    DistillingClassifier(style(), cv=2).fit(data.X, data.y)
    assert capsys.readouterr().err == ""
    DistillingClassifier(style(), cv=2, verbose=True).fit(data.X, data.y)
    assert "2/2" in capsys.readouterr().err


def test_groups_of_two_kinds_are_refused_before_any_fit(data):
    Recorder.seen.clear()
    X = data.X.assign(prompt_group=range(150))
    others = make_battles(20, random_state=9).X.assign(prompt_group=list("abcdefghijklmnopqrst"))
    with pytest.raises(BattlesError, match="mixes kinds of values"):
        DistillingClassifier(style(), Recorder(), cv=2).fit(X, data.y, X_unlabelled=others)
    assert not Recorder.seen


def test_a_teacher_may_be_certain_at_any_temperature():
    X = pd.DataFrame({"prompt": ["p", "q"], "response_a": "x", "response_b": "y"})
    certain = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]
    with np.errstate(all="raise"):
        soft = soften_labels(X, None, certain, temperature=2.0)
    np.testing.assert_allclose(soft, certain, atol=1e-7)


def test_integers_stay_integers_for_members_that_name_them(data):
    codes = np.unique(data.y, return_inverse=True)[1]
    expected = None
    for labels, y in ((["model_a", "model_b", "tie"], data.y), ([0, 1, 2], codes)):
        shares = dict(zip(labels, (1.0, 1.0, 3.0), strict=True))
        member = style(LogisticRegression(class_weight=shares))
        for teacher in (None, style()):
            model = DistillingClassifier(member, teacher, cv=2).fit(data.X, y)
            assert model.classes_.tolist() == labels
            if teacher is not None:
                proba = model.predict_proba(data.X)
                expected = proba if expected is None else expected
                np.testing.assert_array_equal(proba, expected)


def test_a_fitted_teacher_without_probabilities_is_refused_before_any_fit(data):
    teacher = style(LinearSVC()).fit(data.X, data.y)
    for one in (teacher, FrozenEstimator(teacher)):
        with pytest.raises(ArenaError, match="The teacher .* has no predict_proba"):
            DistillingClassifier(Untouched(), one, prefit=True).fit(data.X, data.y)


def test_soft_labels_are_for_the_teacher_where_there_is_one(data):
    soft = 0.8 * hot(data.y) + 0.2 / 3
    in_rows = style(LogisticRegression())
    model = DistillingClassifier(in_rows, style(), cv=2).fit(data.X, soft)
    np.testing.assert_allclose(model.soft_labels_.sum(axis=1), 1)
    with pytest.raises(ValueError, match="The student.*soft labels"):
        DistillingClassifier(in_rows, cv=2).fit(data.X, soft)
    with pytest.raises(ValueError, match="The teacher.*soft labels"):
        DistillingClassifier(Untouched(), in_rows, cv=2).fit(data.X, soft)
    fitted = clone(in_rows).fit(data.X, data.y)
    model = DistillingClassifier(style(), fitted, prefit=True, hard_weight=0.0).fit(data.X, soft)
    np.testing.assert_allclose(model.soft_labels_, fitted.predict_proba(data.X), rtol=1e-5)


def test_a_student_that_names_other_classes_is_refused(data):
    class Renaming(Recorder):
        def fit(self, X, y, sample_weight=None):
            super().fit(X, y, sample_weight).classes_ = np.array(["x", "y", "z"])
            return self

    with pytest.raises(LabelsError, match="The student .Renaming. has the classes"):
        DistillingClassifier(Renaming(), style(), cv=2).fit(data.X, data.y)


def test_teachers_are_fitted_side_by_side(data, together):
    model = DistillingClassifier(style(), style(together), cv=2, n_jobs=2)
    with joblib.parallel_config(backend="threading"):
        model.fit(data.X, data.y)


def test_every_kind_of_nothing_is_the_same_battle():
    nothing = ["", None, [None], [""]]
    X = pd.DataFrame({"prompt": nothing, "response_a": "x", "response_b": nothing}, dtype=object)
    soft = soften_labels(X, ["model_a", "model_b", "tie", "tie"], np.eye(3)[[0] * 4], hard_weight=1)
    np.testing.assert_allclose(soft, [[0.25, 0.25, 0.5]] * 4)


def test_a_fit_that_fails_leaves_the_older_teacher_and_student(data):
    X, y, others = data.X[:100], data.y[:100], data.X[100:]
    model = DistillingClassifier(style(), Recorder(), cv=2).fit(X, y, X_unlabelled=others)
    student, teacher, soft = model.student_, model.teacher_, model.soft_labels_
    for failing in ({"student": Failing()}, {"student": style(), "teacher": Failing()}):
        with pytest.raises(ZeroDivisionError):
            model.set_params(**failing).fit(others, data.y[100:], X_unlabelled=X)
        assert model.student_ is student and model.teacher_ is teacher
        assert model.soft_labels_ is soft


class Failing(Recorder):
    def fit(self, X, y, sample_weight=None):
        raise ZeroDivisionError
