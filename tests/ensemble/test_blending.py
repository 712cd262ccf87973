import copy
import operator
import pickle
import shutil

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib.parallel import ThreadingBackend
from scipy.special import softmax
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    KFold,
    cross_val_predict,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_html_repr

from arena_estimators import (
    AugmentingClassifier,
    BertPairClassifier,
    BlendingClassifier,
    CachedTransformer,
    DavidsonClassifier,
    DistillingClassifier,
    EarlyStoppingClassifier,
    NLTKCleaner,
    PairEmbeddings,
    PairStyleFeatures,
    PairTfidfVectorizer,
    PromptGroupKFold,
    PromptGroupShuffleSplit,
    SwapSymmetricClassifier,
    make_battles,
    swap,
    swap_inconsistency,
    swap_proba,
)
from arena_estimators._probability import FLOOR, mean_log_loss
from arena_estimators.ensemble._folds import fit_and_predict_out_of_fold, make_splits
from arena_estimators.ensemble._pooling import blend, fit_blend
from arena_estimators.exceptions import ArenaError, BattlesError, LabelsError


def style(alpha=0.03):
    scaler = StandardScaler(with_mean=False)
    return make_pipeline(PairStyleFeatures(), scaler, DavidsonClassifier(alpha, tie_alpha=alpha))


def words(alpha=0.03):
    return make_pipeline(PairTfidfVectorizer(min_df=2), DavidsonClassifier(alpha, tie_alpha=alpha))


MEMBERS = [("style", style()), ("words", words())]


@pytest.fixture(scope="module")
def data():
    return make_battles(200, random_state=3)


@pytest.fixture(scope="module")
def fitted(data):
    return BlendingClassifier(MEMBERS).fit(data.X, data.y)


class Fixed(ClassifierMixin, BaseEstimator):
    """Answers with given probabilities, whatever it is asked."""

    def __init__(self, proba=None, classes=("model_a", "model_b", "tie")):
        self.proba = proba
        self.classes = classes

    def fit(self, X, y):
        self.classes_ = np.array(self.classes)
        return self

    def predict_proba(self, X):
        return self.proba


def test_weights_and_losses_come_from_out_of_fold_predictions(data, fitted):
    cv = PromptGroupKFold(5)
    members = [
        cross_val_predict(member, data.X, data.y, cv=cv, method="predict_proba")
        for _, member in MEMBERS
    ]
    losses = [log_loss(data.y, proba) for proba in members]
    np.testing.assert_allclose(fitted.oof_log_loss_[["style", "words"]], losses, rtol=1e-9)
    prefit = BlendingClassifier(
        [
            (name, Fixed(proba).fit(None, None))
            for (name, _), proba in zip(MEMBERS, members, strict=True)
        ],
        prefit=True,
    ).fit(data.X, data.y)
    np.testing.assert_allclose(prefit.weights_, fitted.weights_, atol=1e-6)
    np.testing.assert_allclose(prefit.temperature_, fitted.temperature_, rtol=1e-5)
    assert fitted.oof_log_loss_.idxmin() == "blend"
    assert fitted.weights_.sum() == pytest.approx(1)
    assert (fitted.weights_ >= 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_one_part_held_out_judges_members_that_are_fitted_on_all(data, weighted):
    cv = PromptGroupShuffleSplit(random_state=0)
    weight = np.random.default_rng(0).uniform(0, 2, 200) if weighted else None
    train, held = next(cv.split(data.X))

    def fit(member, rows):
        weights = {"davidsonclassifier__sample_weight": weight[rows]} if weighted else {}
        return clone(member).fit(data.X.iloc[rows], data.y[rows], **weights)

    model = BlendingClassifier(MEMBERS, cv=cv).fit(data.X, data.y, sample_weight=weight)
    prefit = BlendingClassifier([(n, fit(m, train)) for n, m in MEMBERS], prefit=True).fit(
        data.X.iloc[held], data.y[held], sample_weight=weight[held] if weighted else None
    )
    pd.testing.assert_series_equal(model.weights_, prefit.weights_)
    pd.testing.assert_series_equal(model.oof_log_loss_, prefit.oof_log_loss_)
    pd.testing.assert_series_equal(model.leave_one_out_, prefit.leave_one_out_)
    assert model.temperature_ == prefit.temperature_
    for (_, member), fitted in zip(MEMBERS, model.estimators_, strict=True):
        whole = fit(member, np.arange(200))
        np.testing.assert_array_equal(fitted.predict_proba(data.X), whole.predict_proba(data.X))


def test_a_fold_of_battles_that_are_not_there_is_refused_before_any_fit(data):
    with pytest.raises(IndexError, match="index 200 is out of bounds"):
        BlendingClassifier([("x", Untouched())], cv=[([0, 1], [200])]).fit(data.X, data.y)


def test_battles_that_weigh_nothing_cannot_judge(data):
    cv = PromptGroupShuffleSplit(random_state=0)
    weight = np.ones(200)
    weight[next(cv.split(data.X))[1]] = 0
    with pytest.raises(ValueError, match="sample_weight is zero on all battles that cv tests"):
        BlendingClassifier([("x", Weighted())], cv=cv).fit(data.X, data.y, sample_weight=weight)


@pytest.mark.parametrize(
    ("space", "temperature"), [("log", "fit"), ("log", 1.0), ("log", 0.8), ("probability", 1.0)]
)
def test_no_other_weights_are_better(data, space, temperature):
    rng = np.random.default_rng(0)
    hot = np.eye(3)[np.unique(data.y, return_inverse=True)[1]]
    members = [
        (f"m{i}", Fixed(p / p.sum(1, keepdims=True)).fit(None, None))
        for i, p in enumerate(rng.gamma(1, size=(3, 200, 3)) + [[[0.8]], [[0.3]], [[0.1]]] * hot)
    ]
    options = {"space": space, "temperature": temperature, "prefit": True}
    best = BlendingClassifier(members, **options).fit(data.X, data.y)
    assert temperature in ("fit", best.temperature_)
    for weights in rng.dirichlet([1, 1, 1], size=40):
        other = BlendingClassifier(members, weights=weights, **options).fit(data.X, data.y)
        assert best.oof_log_loss_["blend"] <= other.oof_log_loss_["blend"] + 1e-9
        np.testing.assert_allclose(other.weights_, weights)


def test_a_member_of_no_use_gets_next_to_no_weight_and_one_that_counts_gains(data):
    rng = np.random.default_rng(1)
    members = [
        ("truth", Fixed(data.proba).fit(None, None)),
        ("noise", Fixed(rng.dirichlet([1, 1, 1], size=200)).fit(None, None)),
    ]
    model = BlendingClassifier(members, prefit=True).fit(data.X, data.y)
    assert model.weights_["noise"] < 0.03
    assert model.leave_one_out_["truth"] > 0.05
    assert -1e-9 <= model.leave_one_out_["noise"] < 0.005
    assert model.temperature_ == pytest.approx(1, abs=0.2)


def test_overconfident_members_are_tempered(data):
    sharp = data.proba**3 / (data.proba**3).sum(axis=1, keepdims=True)
    members = [("sharp", Fixed(sharp).fit(None, None))]
    for space in ("log", "probability"):
        model = BlendingClassifier(members, prefit=True, space=space).fit(data.X, data.y)
        assert model.temperature_ == pytest.approx(3, abs=0.6)
        assert model.oof_log_loss_["blend"] < model.oof_log_loss_["sharp"]
        assert model.leave_one_out_.isna().all()


def test_members_worse_than_nothing_and_certain_members_stay_finite(data):
    wrong = np.roll(np.eye(3)[np.unique(data.y, return_inverse=True)[1]], 1, axis=1)
    right = np.eye(3)[np.unique(data.y, return_inverse=True)[1]]
    for proba in (wrong, right):
        for space in ("log", "probability"):
            members = [("one", Fixed(proba).fit(None, None)), ("two", Fixed(proba).fit(None, None))]
            model = BlendingClassifier(members, prefit=True, space=space).fit(data.X, data.y)
            assert np.isfinite(model.predict_proba(data.X)).all()
            assert 0.0099 <= model.temperature_ <= 100.1
            assert model.weights_.sum() == pytest.approx(1)


@pytest.mark.parametrize("space", ["log", "probability"])
@pytest.mark.parametrize("temperature", [0.9, 1.0])
def test_symmetric_members_make_a_symmetric_blend(data, space, temperature):
    members = [(name, clone(member).fit(data.X, data.y)) for name, member in MEMBERS]
    members.append(("again", style(1e-1).fit(data.X, data.y)))
    options = {"space": space, "temperature": temperature, "prefit": True}
    model = BlendingClassifier(members, **options).fit(data.X, data.y)
    assert swap_inconsistency(model, data.X) == 0
    np.testing.assert_array_equal(
        model.predict_proba(swap(data.X)), swap_proba(model.predict_proba(data.X))
    )


def test_columns_are_read_by_name(data):
    turned = Fixed(data.proba[:, [2, 0, 1]], ("tie", "model_a", "model_b")).fit(None, None)
    model = BlendingClassifier([("turned", turned)], prefit=True).fit(data.X, data.y)
    assert model.classes_.tolist() == ["model_a", "model_b", "tie"]
    assert model.oof_log_loss_["turned"] == pytest.approx(log_loss(data.y, data.proba))


def test_sample_weights_reach_members_and_the_loss(data):
    weight = (data.y != "tie").astype(float)
    model = BlendingClassifier(MEMBERS, cv=2)
    heavy = model.fit(data.X, data.y, sample_weight=weight).predict_proba(data.X)
    assert heavy[:, 2].mean() < model.fit(data.X, data.y).predict_proba(data.X)[:, 2].mean() / 2


def test_the_space_is_checked_when_it_is_used(data):
    model = BlendingClassifier(MEMBERS, cv=2).fit(data.X, data.y).set_params(space="nonsense")
    with pytest.raises(ValueError, match="'space' parameter"):
        model.predict_proba(data.X)


def test_soft_labels_and_weights_equal_hard_ones(data):
    hot = np.eye(3)[np.unique(data.y, return_inverse=True)[1]]
    frame = pd.DataFrame(hot, columns=["model_a", "model_b", "tie"])[["tie", "model_b", "model_a"]]
    hard = BlendingClassifier(MEMBERS, cv=2).fit(data.X, data.y)
    for soft in (hot, frame):
        model = BlendingClassifier(MEMBERS, cv=2).fit(data.X, soft)
        np.testing.assert_allclose(model.predict_proba(data.X), hard.predict_proba(data.X))


def test_given_weights_and_temperature_need_no_folds(data, monkeypatch):
    fits = []
    fit = DavidsonClassifier.fit
    monkeypatch.setattr(DavidsonClassifier, "fit", lambda *args: fits.append(1) or fit(*args))
    model = BlendingClassifier(MEMBERS, weights=[0.25, 0.75], temperature=1.0, space="probability")
    proba = model.fit(data.X, data.y).predict_proba(data.X)
    assert len(fits) == 2
    assert not hasattr(model, "oof_log_loss_")
    voting = VotingClassifier(MEMBERS, voting="soft", weights=[0.25, 0.75]).fit(data.X, data.y)
    np.testing.assert_allclose(proba, voting.predict_proba(data.X))


def test_nothing_is_left_of_an_earlier_fit(data, fitted):
    model = copy.deepcopy(fitted)
    model.set_params(weights=[0.5, 0.5], temperature=1.0).fit(data.X, data.y)
    assert not hasattr(model, "oof_log_loss_") and not hasattr(model, "leave_one_out_")
    again = copy.deepcopy(fitted)
    with pytest.raises(ValueError, match="(?i)negative"):
        again.fit(data.X, data.y, sample_weight=-np.ones(len(data.y)))
    assert again.oof_log_loss_.equals(fitted.oof_log_loss_)


def test_members_in_other_processes_know_the_configuration(data):
    member = make_pipeline(
        PairStyleFeatures("difference"),
        FunctionTransformer(operator.itemgetter(["difference__bold"])),
        DavidsonClassifier(),
    )
    model = BlendingClassifier([("a", member), ("b", member)], cv=2, n_jobs=2)
    with config_context(transform_output="pandas"):
        model.fit(data.X, data.y)
        assert model.predict_proba(data.X).shape == (len(data.y), 3)


def test_a_backend_that_gives_all_results_at_once_fits_the_same(data):
    class AtOnce(ThreadingBackend):
        supports_return_generator = False  # like joblib's "multiprocessing"

    joblib.register_parallel_backend("at once", AtOnce)
    members = [("a", style()), ("b", style(alpha=1.0))]
    expected = BlendingClassifier(members, cv=2).fit(data.X, data.y)
    with joblib.parallel_config(backend="at once"):
        found = BlendingClassifier(members, cv=2, n_jobs=2).fit(data.X, data.y)
    assert found.oof_log_loss_.equals(expected.oof_log_loss_)


def test_members_can_be_set_searched_and_dropped(data):
    model = clone(BlendingClassifier(MEMBERS, cv=2))
    model.set_params(words__davidsonclassifier__alpha=0.5, style="drop")
    model.fit(data.X, data.y)
    assert list(model.named_estimators_) == ["words"]
    assert model.named_estimators_["words"][-1].alpha == 0.5
    assert clone(model).get_params()["style"] == "drop"
    grid = {"space": ["log", "probability"], "style__davidsonclassifier__alpha": [1e-3, 1.0]}
    search = GridSearchCV(
        BlendingClassifier([("style", style())], cv=2), grid, cv=PromptGroupKFold(2)
    )
    assert search.set_params(scoring="neg_log_loss").fit(data.X, data.y).best_score_ > -1.2


def test_prefit_members_are_not_fitted_again(data):
    members = [(name, clone(member).fit(data.X, data.y)) for name, member in MEMBERS]
    model = BlendingClassifier(members, prefit=True).fit(data.X, data.y)
    assert model.named_estimators_["style"] is members[0][1]
    with pytest.raises(NotFittedError, match="'style' is not fitted.*FrozenEstimator"):
        clone(model).fit(data.X, data.y)
    frozen = [(name, FrozenEstimator(member)) for name, member in members]
    clone(BlendingClassifier(frozen, prefit=True)).fit(data.X, data.y)


def test_prefit_members_need_no_folder_of_their_fit(data, tmp_path):
    folder = tmp_path / "cache"
    cached = CachedTransformer(PairStyleFeatures(), memory=str(folder))
    member = style().set_params(pairstylefeatures=cached)
    member = pickle.loads(pickle.dumps(member.fit(data.X, data.y)))
    shutil.rmtree(folder)
    folder.write_text("in the way")
    model = BlendingClassifier([("moved", member)], prefit=True).fit(data.X, data.y)
    assert model.predict_proba(data.X).shape == (len(data.X), 3)


@pytest.mark.parametrize("labels", [np.int64, np.float64])
def test_prefit_members_may_have_learned_numbers(data, labels):
    _, codes = np.unique(data.y, return_inverse=True)
    named, numbered = style().fit(data.X, data.y), style().fit(data.X, codes.astype(labels))
    model = BlendingClassifier([("a", named), ("b", numbered)], prefit=True, temperature=1.0)
    proba = model.fit(data.X, data.y).predict_proba(data.X)
    np.testing.assert_allclose(proba, named.predict_proba(data.X), atol=1e-6)


def test_two_processes_give_the_same(data, fitted, capsys):
    model = BlendingClassifier(MEMBERS, n_jobs=2, verbose=True).fit(data.X, data.y)
    np.testing.assert_array_equal(model.predict_proba(data.X), fitted.predict_proba(data.X))
    assert "12/12" in capsys.readouterr().err


COMBINATIONS = {
    "blending": lambda members: BlendingClassifier(members, cv=PromptGroupKFold(3)),
    "voting": lambda members: VotingClassifier(members, voting="soft"),
    "stacking": lambda members: StackingClassifier(
        members, LogisticRegression(), cv=PromptGroupKFold(3)
    ),
}


@pytest.mark.parametrize("tie_rate", [0.3, 0.0])
@pytest.mark.parametrize("combine", COMBINATIONS.values(), ids=COMBINATIONS)
def test_the_same_members_can_vote_and_be_stacked(combine, tie_rate):
    """String labels in a Series, DataFrames with turns and an index of their own."""
    data = make_battles(120, tie_rate=tie_rate, random_state=3)
    X, y = data.X[::-1], pd.Series(data.y, index=data.X.index)[::-1]
    trees = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=4, random_state=0)
    trees = EarlyStoppingClassifier(make_pipeline(PairStyleFeatures(), trees), random_state=0)
    members = [*MEMBERS, ("trees", SwapSymmetricClassifier(trees))]
    model = clone(combine(members)).fit(X, y)
    assert model.classes_.tolist() == ["model_a", "model_b", "tie"][: 3 if tie_rate else 2]
    proba = model.predict_proba(X)
    assert set(model.predict(X)) <= set(y)
    np.testing.assert_array_equal(model.predict(X), model.classes_[proba.argmax(axis=1)])
    shares = y.value_counts(normalize=True)
    assert log_loss(y, proba) < -(shares * np.log(shares)).sum()
    again = pickle.loads(pickle.dumps(model)).predict_proba(X.iloc[[5, 2]])
    np.testing.assert_allclose(again, proba[[5, 2]], atol=1e-12)


def test_a_vote_is_as_symmetric_as_its_members(data):
    model = VotingClassifier(MEMBERS, voting="soft").fit(data.X, data.y)
    assert swap_inconsistency(model, data.X) == 0


class Untouched(ClassifierMixin, BaseEstimator):
    predict_proba = None

    def fit(self, X, y):
        raise AssertionError("was fitted before all input was checked")


class Weighted(Untouched):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y)


STACK = StackingClassifier([("x", Untouched())])


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([("svm", LinearSVC())], {}, "Member 'svm' .*has no predict_proba"),
        ([("type", DavidsonClassifier)], {}, "Member 'type' .*has no fit"),
        ([("type", DavidsonClassifier)], {"prefit": True}, "Member 'type' .*has no fit"),
        ([("x", None)], {"prefit": True}, "Member 'x' .None. has no fit"),
        ([("x", Untouched()), ("x", Untouched())], {}, "not unique"),
        ([("a__b", Untouched())], {}, "__"),
        ([("cv", Untouched())], {}, "conflict"),
        ([("blend", Untouched())], {}, "named 'blend'"),
        ([("x", "drop")], {}, "At least one"),
        ([], {}, "at least one"),
        ([Untouched()], {}, "list of"),
        ("xy", {}, "estimators"),
        ([("x", Untouched())], {"weights": [0.5, 0.5]}, "there are 1 members"),
        ([("x", Untouched())], {"weights": [0.9]}, "sum to one.*0.9"),
        ([("x", Untouched()), ("z", Untouched())], {"weights": [1.0]}, "there are 2 members"),
        ([("x", Untouched()), ("z", Untouched())], {"weights": [0.6, 0.6]}, "sum to one.*1.2"),
        ([("x", Untouched()), ("z", Untouched())], {"weights": [[0.5, 0.5]]}, "has shape .1, 2."),
        ([("x", Untouched()), ("svm", LinearSVC())], {}, "CalibratedClassifierCV"),
        ([("hard", VotingClassifier([("x", Untouched())]))], {}, "has no .*voting='soft'"),
        ([("hard", VotingClassifier([("stack", STACK)]))], {}, "has no .*voting='soft'"),
        ([("none", make_pipeline(PairStyleFeatures(), "passthrough"))], {}, "has no predict_proba"),
        ([("x", Untouched()), ("z", Untouched())], {"weights": [1.5, -0.5]}, "negative"),
        ([("x", Untouched())], {"weights": "best"}, "weights"),
        ([("x", Untouched())], {"weights": {"z": 1.0}}, "names .'z'.; the members are .'x'."),
        ([("x", Untouched())], {"weights": pd.Series([1.0])}, "the members are .'x'."),
        ([("x", Untouched())], {"weights": [np.nan]}, "weights"),
        ([("x", Untouched())], {"space": "logit"}, "space"),
        ([("x", Untouched())], {"temperature": 0.0}, "temperature"),
        ([("x", Untouched())], {"cv": 1000}, "splits"),
        ([("x", Untouched())], {"cv": [([0, 1], [2, 3]), ([0, 1], [2])]}, "two folds"),
        ([("x", Untouched())], {"cv": [([0, 1], [])]}, "in every test part"),
        ([("x", Untouched())], {"cv": [([0, 1], [2]), ([0, 1], [])]}, "in every test part"),
        ([("x", Untouched())], {"cv": []}, "must give splits"),
        ([("x", Untouched())], {"cv": [([0, 1], [2])]}, "fold 0 has no battle of class"),
        ([("x", Untouched())], {"cv": KFold(2)}, "fold 0 has no battle of class .'model_a'."),
    ],
)
def test_bad_input_is_refused_before_any_fit(data, members, options, message):
    order = np.argsort(data.y)
    with pytest.raises(ValueError, match=message):
        BlendingClassifier(members, **options).fit(data.X.iloc[order], data.y[order])


def test_names_that_are_refused_are_this_librarys_error(data):
    with pytest.raises(ArenaError, match="not unique"):
        BlendingClassifier([("x", Untouched()), ("x", Untouched())]).fit(data.X, data.y)


def test_weights_are_refused_before_any_fit_where_a_member_takes_none(data):
    class Heedless(Untouched):
        pass

    with pytest.raises(ValueError, match="Member 'x' .Heedless. takes no sample_weight"):
        BlendingClassifier([("x", Heedless())]).fit(data.X, data.y, sample_weight=np.ones(200))


def test_classes_that_differ_between_members_are_refused(data):
    other = make_battles(200, tie_rate=0, random_state=0)
    members = [("all", style().fit(data.X, data.y)), ("two", style().fit(other.X, other.y))]
    with pytest.raises(LabelsError, match="Member 'two' .*has the classes .'model_a', 'model_b'."):
        BlendingClassifier(members, prefit=True).fit(data.X, data.y)
    wrong = [("wrong", Fixed(None, ("x", "y", "z")))]
    with pytest.raises(LabelsError, match="Member 'wrong' .Fixed. has the classes"):
        BlendingClassifier(wrong).fit(data.X, data.y)


def test_a_fitted_member_of_other_classes_is_refused_before_any_fit(data):
    other = make_battles(200, tie_rate=0, random_state=0)
    two = style().fit(other.X, other.y)
    with pytest.raises(LabelsError, match="Member 'two' .*has the classes"):
        members = [("all", Fixed(np.ones((200, 3))).fit(None, None)), ("two", two)]
        BlendingClassifier(members, prefit=True).fit(data.X, data.y)
    with pytest.raises(LabelsError, match="Member 'two' .*has the classes"):
        members = [("x", Untouched()), ("two", FrozenEstimator(two))]
        BlendingClassifier(members).fit(data.X, data.y)


def test_members_that_predict_nonsense_are_refused(data):
    member = Fixed(np.full((200, 3), np.nan)).fit(None, None)
    with pytest.raises(ValueError, match="Member 'nan' .Fixed. predicts what is no probability"):
        BlendingClassifier([("nan", member)], prefit=True).fit(data.X, data.y)


def test_bad_battles_and_labels_are_refused(data):
    with pytest.raises(BattlesError, match="DataFrame"):
        BlendingClassifier(MEMBERS).fit(data.X.to_numpy(), data.y)
    with pytest.raises(LabelsError, match="200 battles but y has 199"):
        BlendingClassifier(MEMBERS).fit(data.X, data.y[1:])


@pytest.mark.parametrize("kind", [dict, pd.Series])
def test_named_weights_are_read_by_name(data, kind):
    weights = kind({"words": 0.9, "style": 0.1})
    model = BlendingClassifier(MEMBERS, weights=weights, temperature=1.0).fit(data.X, data.y)
    assert model.weights_.to_dict() == pytest.approx({"style": 0.1, "words": 0.9})
    dropped = clone(model).set_params(style="drop", weights={"words": 1.0})
    assert dropped.fit(data.X, data.y).weights_.to_dict() == {"words": 1.0}


SVM = make_pipeline(PairStyleFeatures(), LinearSVC())
NESTED = {
    "swap": SwapSymmetricClassifier(SVM),
    "augmenting": AugmentingClassifier(SwapSymmetricClassifier(SVM)),
    "blend": BlendingClassifier([("one", style()), ("svm", SwapSymmetricClassifier(SVM))]),
    "student": DistillingClassifier(SwapSymmetricClassifier(SVM), style()),
    "teacher": DistillingClassifier(style(), SwapSymmetricClassifier(SVM)),
    "calibrated": CalibratedClassifierCV(SwapSymmetricClassifier(SVM)),
}


@pytest.mark.parametrize("member", NESTED.values(), ids=NESTED)
def test_a_member_within_a_member_is_checked_before_any_fit(data, member):
    model = BlendingClassifier([("slow", Untouched()), ("nested", member)])
    holds = r"Member 'nested': what SwapSymmetricClassifier holds"
    message = rf"{holds} \(Pipeline.{{72}}\) has no predict_proba"  # a long one is cut
    with pytest.raises(ValueError, match=message):
        model.fit(data.X, data.y)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (EarlyStoppingClassifier(make_pipeline(PairStyleFeatures(), Untouched())), "Untouched"),
        (AugmentingClassifier(style(), augmentations=("x",)), "augmentations"),
        (BlendingClassifier([("one", style())], weights=[0.5]), "sum to one"),
        (BlendingClassifier([("one", style())], weights=["a"]), "weights must be numbers"),
    ],
)
def test_settings_within_a_member_are_checked_before_any_fit(data, member, message):
    members = [("slow", Untouched()), ("nested", SwapSymmetricClassifier(member))]
    with pytest.raises(ValueError, match=message):
        BlendingClassifier(members).fit(data.X, data.y)


def then_linear(features):
    return make_pipeline(features, DavidsonClassifier())


def _two_classes():
    data = make_battles(60, tie_rate=0, random_state=0)
    return FrozenEstimator(style().fit(data.X, data.y))


def _prefit(frozen):
    return BlendingClassifier([("one", frozen.estimator)], prefit=True)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (lambda file: then_linear(CachedTransformer(PairStyleFeatures(), memory=file)), "memory="),
        (lambda file: then_linear(PairEmbeddings(cache_dir=file)), "cache_dir="),
        (lambda file: BertPairClassifier(checkpoint_dir=file), "checkpoint_dir"),
        (lambda file: BertPairClassifier(f"{file}/no/encoder"), "no/encoder"),
        (lambda file: style().set_params(memory=file), "memory="),
        (lambda file: SwapSymmetricClassifier(style().set_params(memory=file)), "memory="),
        (lambda file: AugmentingClassifier(style(), n_copies=-1), "n_copies"),
        (lambda file: _two_classes(), "has the classes"),
        (lambda file: SwapSymmetricClassifier(_two_classes()), "has the classes"),
        (lambda file: make_pipeline(NLTKCleaner(), _two_classes()), "has the classes"),
        (lambda file: _prefit(_two_classes()), "has the classes"),
        (
            lambda file: DistillingClassifier(style(), _two_classes().estimator, prefit=True),
            "has the classes",
        ),
        (lambda file: VotingClassifier([("svm", SVM)], voting="soft"), "has no predict_proba"),
    ],
)
def test_what_would_fail_in_the_end_is_found_before_any_fit(data, tmp_path, member, message):
    file = tmp_path / "in the way"
    file.write_text("")
    members = [("slow", make_pipeline(PairStyleFeatures(), Untouched()))]
    with pytest.raises(ValueError, match=message):
        BlendingClassifier([*members, ("bad", member(str(file)))]).fit(data.X, data.y)


def test_members_that_predict_by_what_has_no_probabilities_are_kept(data):
    svm = make_pipeline(PairStyleFeatures(), StandardScaler(), LinearSVC(C=0.01))
    calibrated = CalibratedClassifierCV(svm, cv=PromptGroupKFold(2))
    model = BlendingClassifier([("svm", SwapSymmetricClassifier(calibrated))], cv=2)
    assert model.fit(data.X, data.y).oof_log_loss_["svm"] < 2


class InWeights(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("was fitted before all input was checked")


class Own(OneVsRestClassifier):
    """A user's classifier, derived from one that takes weights only by metadata routing."""


class Drawing(TransformerMixin, BaseEstimator):
    """A step of imbalanced-learn's Pipelines, which resamples rows and their labels in `fit`."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X

    def fit_resample(self, X, y):
        raise AssertionError("was asked before all input was checked")


KNN = KNeighborsClassifier()
WITHOUT_WEIGHTS = {
    "calibrated": (CalibratedClassifierCV(make_pipeline(PairStyleFeatures(), InWeights())), "last"),
    "search": (GridSearchCV(make_pipeline(PairStyleFeatures(), InWeights()), {}), "last"),
    "vote": (VotingClassifier([("x", InWeights()), ("knn", KNN)], voting="soft"), "KNeigh"),
    "wrapped": (SwapSymmetricClassifier(KNeighborsClassifier()), "KNeighbors"),
    "blend": (BlendingClassifier([("knn", KNeighborsClassifier())]), "KNeighbors"),
    "student": (DistillingClassifier(KNeighborsClassifier(), InWeights()), "KNeighbors"),
    "one of many": (OneVsRestClassifier(LogisticRegression()), "OneVsRest.*takes no sample_weight"),
    "one's own": (Own(LogisticRegression()), "Own.*takes no sample_weight"),
    "drawn": (
        make_pipeline(Drawing(), LogisticRegression()),
        "step 'drawing' resamples rows.*weights",
    ),
    "threshold": (FixedThresholdClassifier(LogisticRegression()), "FixedThreshold.*takes no"),
}


@pytest.mark.parametrize(("member", "message"), WITHOUT_WEIGHTS.values(), ids=WITHOUT_WEIGHTS)
def test_weights_that_would_be_dropped_are_refused(data, member, message):
    nested = make_pipeline(PairStyleFeatures(), member)
    with pytest.raises(ValueError, match=f"Member 'x'.*{message}"):
        BlendingClassifier([("x", nested)]).fit(data.X, data.y, sample_weight=np.ones(200))


def scaled(classifier):
    return make_pipeline(PairStyleFeatures("sum"), StandardScaler(), classifier)


def frozen(estimator):
    data = make_battles(60, random_state=0)
    return FrozenEstimator(estimator.fit(data.X, data.y))


@pytest.mark.parametrize(
    "member",
    [
        lambda: scaled(CalibratedClassifierCV(LinearSVC(), cv=2)),
        lambda: CalibratedClassifierCV(frozen(scaled(LinearSVC())), cv=2),
        lambda: CalibratedClassifierCV(SwapSymmetricClassifier(style()), cv=2),
        lambda: scaled(GridSearchCV(LogisticRegression(), {}, cv=2)),
        lambda: scaled(VotingClassifier([("one", LogisticRegression())], voting="soft")),
        lambda: frozen(scaled(KNeighborsClassifier())),
        lambda: frozen(make_pipeline(PairStyleFeatures("sum"), Drawing(), LogisticRegression())),
        lambda: scaled(RandomForestClassifier(2)),
        lambda: scaled(BaggingClassifier(n_estimators=2)),
        lambda: BlendingClassifier([("x", style()), ("knn", "drop")], cv=2),
        lambda: BlendingClassifier([("knn", frozen(scaled(KNeighborsClassifier())))], prefit=True),
        lambda: DistillingClassifier(style(), frozen(scaled(KNeighborsClassifier())), prefit=True),
    ],
)
def test_weights_that_arrive_are_handed_on(data, member):
    model = SwapSymmetricClassifier(member())
    model.fit(data.X, data.y, sample_weight=np.ones(200)).predict_proba(data.X)


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_weights_suit_a_temperature_that_is_given(temperature):
    rng = np.random.default_rng(0)
    for _ in range(20):
        members = rng.dirichlet([2, 2, 2], size=(3, 200))
        Y = np.eye(3)[rng.integers(3, size=200)]
        members = members * 0.7 + 0.3 * (0.8 * Y + 0.1)
        members /= members.sum(axis=2, keepdims=True)
        weight = np.full(200, 1 / 200)
        found = fit_blend(members, Y, weight, "probability", temperature=temperature)
        alone = [np.eye(3)[i] for i in range(3)]
        losses = [
            mean_log_loss(Y, blend(members, w, temperature, "probability"), weight)
            for w in (found[0], *alone)
        ]
        assert losses[0] <= min(losses[1:]) + 1e-7


@pytest.mark.parametrize(
    ("temperature", "certainty", "n_battles"), [(2.0, 3, 100), (3.0, 3, 100), (20.0, 20, 8)]
)
def test_no_other_weights_suit_a_high_temperature_better(temperature, certainty, n_battles):
    rng = np.random.default_rng(0)
    weight = np.full(n_battles, 1 / n_battles)
    for _ in range(20):
        Y = np.eye(3)[rng.integers(3, size=n_battles)]
        members = softmax(rng.normal(Y, 2, size=(4, n_battles, 3)) * certainty, axis=2)

        def loss(weights, members=members, Y=Y):
            return mean_log_loss(Y, blend(members, weights, temperature, "probability"), weight)

        found, _ = fit_blend(members, Y, weight, "probability", temperature=temperature)
        others = [*rng.dirichlet([0.3] * 4, size=100), *np.eye(4)]
        assert loss(found) <= min(map(loss, others)) + 1e-6


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0])
def test_equal_members_share_the_weight(temperature):
    rng = np.random.default_rng(0)
    for _ in range(5):
        Y, weight = np.eye(3)[rng.integers(3, size=100)], np.full(100, 0.01)
        members = np.stack([softmax(rng.normal(Y, 2, size=(100, 3)), axis=1)] * 3)
        weights, _ = fit_blend(members, Y, weight, "probability", temperature=temperature)
        np.testing.assert_allclose(weights, np.full(3, 1 / 3), atol=1e-6)


def test_given_weights_leave_the_temperature_to_the_folds(data):
    splits = list(PromptGroupKFold(2).split(data.X))
    model = BlendingClassifier(MEMBERS, weights=[0.5, 0.5], cv=splits).fit(data.X, data.y)
    members = [
        cross_val_predict(member, data.X, data.y, cv=splits, method="predict_proba")
        for _, member in MEMBERS
    ]
    logs, found = np.log(members).mean(axis=0), model.temperature_
    losses = [
        log_loss(data.y, softmax(logs / t, axis=1)) for t in (0.9 * found, found, 1.1 * found)
    ]
    assert model.oof_log_loss_["blend"] == pytest.approx(losses[1])
    assert losses[1] < min(losses[0], losses[2])


def test_probabilities_of_members_are_made_to_sum_to_one(data):
    member = Fixed(2 * data.proba).fit(None, None)
    options = {"prefit": True, "weights": [1.0], "temperature": 1.0}
    model = BlendingClassifier([("twice", member)], **options).fit(data.X, data.y)
    assert model.oof_log_loss_["twice"] == pytest.approx(log_loss(data.y, data.proba))
    swap_symmetric = SwapSymmetricClassifier(FrozenEstimator(member), predict_order="none")
    proba = swap_symmetric.fit(data.X, data.y).predict_proba(data.X)
    np.testing.assert_allclose(proba, data.proba)


@pytest.mark.parametrize("row", [[1.2, -0.2, 0.0], [0.0, 0.0, 0.0], [np.inf, 0.0, 0.0]])
def test_a_row_that_is_no_probability_is_refused(data, row):
    proba = data.proba.copy()
    proba[7] = row
    member = Fixed(proba).fit(None, None)
    with pytest.raises(ValueError, match="Member 'odd' .Fixed. predicts what is no probability"):
        BlendingClassifier([("odd", member)], prefit=True).fit(data.X, data.y)


def test_weights_that_are_all_zero_are_refused_of_fitted_members_too(data):
    members = [("a", Fixed(data.proba).fit(None, None))]
    blend = BlendingClassifier(members, prefit=True)
    with pytest.raises(ValueError, match=r"[Ss]ample.weight"):
        blend.fit(data.X, data.y, sample_weight=np.zeros(len(data.y)))


def test_weights_are_given_by_the_names_of_the_members(data):
    members = [("1", Fixed(data.proba).fit(None, None))]
    blend = BlendingClassifier(members, prefit=True, weights={1: 1.0})
    with pytest.raises(ValueError, match=r"weights names \[1\]; the members are \['1'\]"):
        blend.fit(data.X, data.y)


def test_a_notebook_shows_the_members():
    members = [("one", style()), ("other", DummyClassifier())]
    shown = [estimator_html_repr(kind(members)) for kind in (BlendingClassifier, VotingClassifier)]
    assert shown[0].count("sk-estimator ") == shown[1].count("sk-estimator ") > 2


@pytest.mark.parametrize("space", ["log", "probability"])
def test_without_a_member_the_weights_given_to_the_others_sum_to_one(data, space):
    proba = np.random.default_rng(0).dirichlet([1, 1, 1], size=(3, 200))
    members = [(f"m{number}", Fixed(p).fit(None, None)) for number, p in enumerate(proba)]
    options = {"space": space, "temperature": 0.8, "prefit": True}
    model = BlendingClassifier(members, weights=[0.5, 0.3, 0.2], **options).fit(data.X, data.y)
    rest = BlendingClassifier(members[1:], weights=[0.6, 0.4], **options).fit(data.X, data.y)
    gain = rest.oof_log_loss_["blend"] - model.oof_log_loss_["blend"]
    assert model.leave_one_out_["m0"] == pytest.approx(gain)


@pytest.mark.parametrize(("cv", "n_folds"), [(None, 5), (np.int64(3), 3)])
def test_folds_that_are_only_counted_keep_prompts_together(data, cv, n_folds):
    found = make_splits(cv, data.X, data.y)
    expected = list(PromptGroupKFold(n_folds).split(data.X))
    for parts in zip(found, expected, strict=True):
        for one, other in zip(*parts, strict=True):
            np.testing.assert_array_equal(one, other)


def test_folds_may_be_masks(data):
    masks = np.arange(200) % 2 == np.arange(2)[:, None]
    splits = [(~test, test) for test in masks]
    numbers = [(np.flatnonzero(train), np.flatnonzero(test)) for train, test in splits]
    masked, numbered = (
        BlendingClassifier(MEMBERS, cv=cv).fit(data.X, data.y) for cv in (splits, numbers)
    )
    pd.testing.assert_series_equal(masked.weights_, numbered.weights_)
    with pytest.raises(ArenaError, match="exactly one fold"):
        make_splits([(~masks[0], masks[0]), (masks[0], masks[0])], data.X, data.y)


def test_the_last_battles_must_be_in_a_fold_too(data):
    splits = [(np.arange(100), np.arange(100, 150)), (np.arange(100, 200), np.arange(100))]
    with pytest.raises(ArenaError, match="every battle in the test part of exactly one fold"):
        make_splits(splits, data.X, data.y)


def test_battles_that_no_fold_tests_have_no_prediction(data):
    splits = [(np.arange(100), np.arange(100, 150))]
    arguments = (data.X, data.y, None, splits, np.unique(data.y))
    proba, fitted = fit_and_predict_out_of_fold(MEMBERS, *arguments, refit=False)
    assert not fitted
    assert proba.shape == (2, 200, 3)
    np.testing.assert_array_equal(
        np.isfinite(proba).all(axis=(0, 2)), np.isin(np.arange(200), np.arange(100, 150))
    )


def test_members_are_fitted_side_by_side(data, together):
    members = [
        (name, make_pipeline(PairStyleFeatures(), StandardScaler(with_mean=False), together))
        for name in "ab"
    ]
    options = {"weights": [0.5, 0.5], "temperature": 1.0, "n_jobs": 2}
    with joblib.parallel_config(backend="threading"):
        BlendingClassifier(members, **options).fit(data.X, data.y)


def test_certain_members_mix_to_finite_probabilities():
    members = np.array([[[1.0, 0.0, 0.0]], [[0.5, 0.5, 0.0]]])
    weights = np.array([0.5, 0.5])
    mean = blend(members, weights, 1.0, "probability")
    np.testing.assert_allclose(mean, [[0.75, 0.25, 0.0]])
    cooled = blend(members, weights, 2.0, "probability")
    np.testing.assert_allclose(cooled, [np.sqrt([3, 1, 0]) / (1 + np.sqrt(3))], atol=1e-7)
    powers = np.sqrt([0.5, 0.5 * FLOOR, FLOOR**2])
    np.testing.assert_allclose(blend(members, weights, 1.0, "log"), [powers / powers.sum()])


def test_certain_predictions_have_a_finite_loss():
    weight = np.array([0.25, 0.75])
    assert mean_log_loss(np.eye(3)[[0, 1]], np.eye(3)[[0, 1]], weight) == 0
    wrong = mean_log_loss(np.eye(3)[[0, 1]], np.eye(3)[[0, 2]], weight)
    assert wrong == pytest.approx(-0.75 * np.log(FLOOR))


def test_all_weight_may_go_to_one_member_at_a_low_temperature():
    rng = np.random.default_rng(0)
    Y, weight = np.eye(3)[rng.integers(3, size=200)], np.full(200, 1 / 200)
    members = np.stack([0.4 * Y + 0.2, rng.dirichlet([5, 5, 5], size=200)])
    weights, _ = fit_blend(members, Y, weight, "log", temperature=0.4)
    np.testing.assert_allclose(weights, [1, 0], atol=0.05)


@pytest.mark.parametrize("space", ["log", "probability"])
def test_the_temperature_suits_the_space_that_members_are_blended_in(space):
    rng = np.random.default_rng(0)
    Y, weight = np.eye(3)[rng.integers(3, size=200)], np.full(200, 1 / 200)
    members, weights = rng.dirichlet([0.3] * 3, size=(2, 200)) + 0.05 * Y, np.array([0.3, 0.7])
    _, best = fit_blend(members, Y, weight, space, weights=weights)
    losses = [
        mean_log_loss(Y, blend(members, weights, best * factor, space), weight)
        for factor in (0.98, 1.0, 1.02)
    ]
    assert losses[1] == min(losses)


@pytest.mark.parametrize("space", ["log", "probability"])
@pytest.mark.parametrize(("scale", "temperature"), [(0.005, 0.01), (-5, 100)])
def test_temperatures_end_where_they_are_said_to(space, scale, temperature):
    Y, weight = np.eye(3)[np.arange(30) % 3], np.full(30, 1 / 30)
    _, found = fit_blend(softmax(scale * Y, axis=1)[None], Y, weight, space)
    assert found == pytest.approx(temperature)


def test_what_all_members_hold_to_be_impossible_has_a_finite_loss(data):
    certain = np.tile([[1.0, 0.0, 0.0]], (200, 1)), np.tile([[0.5, 0.5, 0.0]], (200, 1))
    members = [(f"m{number}", Fixed(proba).fit(None, None)) for number, proba in enumerate(certain)]
    for options in ({"space": "probability"}, {"space": "probability", "temperature": 1.0}, {}):
        model = BlendingClassifier(members, prefit=True, **options).fit(data.X, data.y)
        assert np.isfinite(model.oof_log_loss_).all() and np.isfinite(model.weights_).all()


def test_a_member_of_other_classes_is_refused_without_folds_too(data):
    members = [("wrong", Fixed(data.proba, ("x", "y", "z")))]
    with pytest.raises(LabelsError, match="Member 'wrong' .Fixed. has the classes"):
        BlendingClassifier(members, weights=[1.0], temperature=1.0).fit(data.X, data.y)


def test_what_a_member_gains_is_unknown_where_no_other_has_a_weight(data):
    even = Fixed(np.full((200, 3), 1 / 3)).fit(None, None)
    members = [("all", Fixed(data.proba).fit(None, None)), ("none", even)]
    model = BlendingClassifier(members, weights=[1, 0], prefit=True).fit(data.X, data.y)
    assert np.isnan(model.leave_one_out_["all"])
    assert model.leave_one_out_["none"] == pytest.approx(0)


def test_an_interrupted_fit_leaves_the_older_blend(data, fitted):
    class Interrupted(Fixed):
        def predict_proba(self, X):
            raise KeyboardInterrupt

    others = make_battles(100, random_state=4)
    model = copy.deepcopy(fitted)
    model.set_params(estimators=[*MEMBERS, ("last", Interrupted())], cv=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(others.X, others.y)
    np.testing.assert_array_equal(model.predict_proba(data.X), fitted.predict_proba(data.X))
    assert model.oof_log_loss_.equals(fitted.oof_log_loss_)
