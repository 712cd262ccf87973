import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from arena_estimators import (
    AugmentingClassifier,
    BlendingClassifier,
    DavidsonClassifier,
    EarlyStoppingClassifier,
    PairStyleFeatures,
    PromptGroupKFold,
    SwapSymmetricClassifier,
    make_battles,
    swap_inconsistency,
)
from arena_estimators.battles import text_of
from arena_estimators.ensemble._augmenting import strip_markdown
from arena_estimators.exceptions import ArenaWarning


def style():
    scaler = StandardScaler(with_mean=False)
    return make_pipeline(PairStyleFeatures(), scaler, DavidsonClassifier(0.1, tie_alpha=0.1))


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps all it was fitted on and asked."""

    seen = []

    def fit(self, X, y, sample_weight=None):
        self.X_, self.y_, self.weight_ = X, np.asarray(y), sample_weight
        self.classes_ = np.array(["model_a", "model_b", "tie"])
        Recorder.seen.append(self)
        return self

    def predict_proba(self, X):
        self.asked_ = X
        return np.full((len(X), 3), 1 / 3)


@pytest.fixture(scope="module")
def data():
    return make_battles(120, random_state=5)


def fit(X, y, **options):
    model = AugmentingClassifier(Recorder(), random_state=0, **options).fit(X, y)
    return model.estimator_.X_[len(X) :], model


def check_no_copies(X, augmentation):
    with pytest.warns(ArenaWarning, match=rf"\['{augmentation}'\] changes any of these battles"):
        copies, model = fit(X, Y, augmentations=(augmentation,))
    assert len(copies) == model.n_copies_ == 0


def frame(prompt, response_a, response_b):
    columns = {"prompt": prompt, "response_a": response_a, "response_b": response_b}
    return pd.DataFrame({name: [cell, "x", "x"] for name, cell in columns.items()})


Y = ["model_a", "model_b", "tie"]


def test_trim_cuts_both_responses_to_one_share():
    long, short = "a" * 1000, ["b" * 200, None, "c" * 100]
    X = frame("p" * 50, long, short)
    shares = set()
    copies, _ = fit(X, Y, augmentations=("trim",), n_copies=20)
    for row in copies[copies.prompt == "p" * 50].itertuples():
        share = len(row.response_a) / 1000
        assert 0.5 <= share <= 0.901
        first, nothing, last = row.response_b
        assert nothing is None
        assert len(first) == pytest.approx(share * 200, abs=1)
        assert len(last) == pytest.approx(share * 100, abs=1)
        shares.add(share)
    assert len(shares) > 10


def test_drop_turns_drops_as_many_from_all_three_and_never_all():
    turns = ["1", "2", None, "4"]
    copies, _ = fit(
        frame(turns, turns, tuple(turns)), Y, augmentations=("drop_turns",), n_copies=30
    )
    kept = {len(cell) for cell in copies.prompt}
    assert kept == {1, 2, 3}
    for row in copies.itertuples():
        assert row.prompt == row.response_a == list(row.response_b) == turns[-len(row.prompt) :]


@pytest.mark.parametrize(
    ("prompt", "response_a", "response_b"),
    [(["1", "2"], ["1", "2"], ["1"]), (["1", "2"], "1", "2"), (["1"], ["2"], ["3"])],
)
def test_turns_that_do_not_match_are_left_alone(prompt, response_a, response_b):
    check_no_copies(frame(prompt, response_a, response_b), "drop_turns")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("# Title\ntext", "Title\ntext"),
        ("- one\n  * two\n3. three", "one\ntwo\nthree"),
        ("a **bold** and *soft* `code`", "a bold and soft code"),
        ("```python\nx = 2 * 3 * 4\n```\nend", "x = 2 * 3 * 4\nend"),
        ("see [here](https://example.org) ![alt](x.png)", "see here alt"),
        ("> quoted\n\n---\nend", "quoted\n\nend"),
        ("2 * 3 and __init__ and snake_case_name", "2 * 3 and __init__ and snake_case_name"),
        ("plain text.", "plain text."),
    ],
)
def test_strip_markdown_keeps_the_text(text, plain):
    assert strip_markdown(text) == plain


def test_strip_markdown_changes_both_responses_and_not_the_prompt():
    copies, _ = fit(frame("**p**", "**a**", ["# b", None]), Y, augmentations=("strip_markdown",))
    assert len(copies) == 1
    assert copies.iloc[0].tolist() == ["**p**", "a", ["b", None]]


def test_copies_keep_label_and_weight_and_follow_the_battles(data):
    weight = np.arange(120.0)
    model = AugmentingClassifier(Recorder(), n_copies=3, random_state=0)
    inner = model.fit(data.X, data.y, sample_weight=weight).estimator_
    assert inner.X_[:120][list(data.X)].map(str).equals(data.X.map(str))
    assert 240 < model.n_copies_ <= 360
    label = dict(zip(weight, data.y, strict=True))
    assert [label[w] for w in inner.weight_] == inner.y_.tolist()
    assert inner.X_.index.tolist() == inner.weight_.astype(int).tolist()
    soft = np.random.default_rng(0).dirichlet([1, 1, 1], size=120)
    inner = model.fit(data.X, soft, sample_weight=weight).estimator_
    np.testing.assert_allclose(inner.y_, soft[inner.weight_.astype(int)])


def test_weights_of_copies_where_not_every_battle_has_one():
    X = pd.DataFrame({"prompt": list("pqr"), "response_a": "a", "response_b": ["b", "**b**", "*"]})
    model = AugmentingClassifier(Recorder(), augmentations=["strip_markdown"])
    y = ["model_a", "model_b", "tie"]
    inner = model.fit(X, y, sample_weight=[1.0, 2.0, 3.0]).estimator_
    assert inner.X_["prompt"].tolist() == ["p", "q", "r", "q"]
    assert inner.weight_.tolist() == [1, 2, 3, 2]


def test_predictions_are_made_for_battles_as_given(data):
    model = AugmentingClassifier(Recorder(), random_state=0).fit(data.X, data.y)
    model.predict_proba(data.X)
    assert model.estimator_.asked_ is data.X


class Watched(TransformerMixin, BaseEstimator):
    """Keeps the prompts it was fitted on beside those it was asked."""

    parts = []

    def fit(self, X, y=None):
        self.prompts_, self.style_ = {cell[-1] for cell in X["prompt"]}, PairStyleFeatures().fit(X)
        return self

    def fit_transform(self, X, y=None):
        return self.fit(X).style_.transform(X)

    def transform(self, X):
        Watched.parts.append((self.prompts_, {cell[-1] for cell in X["prompt"]}))
        return self.style_.transform(X)


@pytest.mark.parametrize("inside", ["blend", "calibration", "early stopping"])
def test_no_copy_crosses_a_split_made_inside(data, inside):
    """A copy without its first turns has another prompt and still is the same battle."""
    battles = data.X.map(lambda cell: ["Well?", text_of(cell)])
    battles["prompt"] = [["Hello.", f"number {row}"] for row in range(len(battles))]
    folds = PromptGroupKFold(2, shuffle=True, random_state=0)
    booster = HistGradientBoostingClassifier(max_iter=3)
    watched = make_pipeline(Watched(), DavidsonClassifier())
    wrapped = {
        "blend": BlendingClassifier([("a", watched), ("b", watched)], cv=folds),
        "calibration": CalibratedClassifierCV(watched, cv=folds),
        "early stopping": EarlyStoppingClassifier(make_pipeline(Watched(), booster)),
    }[inside]
    model = AugmentingClassifier(wrapped, augmentations=("drop_turns",), random_state=0)
    Watched.parts.clear()
    assert model.fit(battles, data.y).n_copies_ == len(battles)
    assert Watched.parts
    for train, test in Watched.parts:
        assert test and not train & test
    assert model.predict_proba(battles).shape == (len(battles), 3)


@pytest.mark.parametrize("turns", [False, True])
def test_groups_are_given_only_where_a_copy_lost_its_prompt(data, turns):
    X = data.X.map(text_of)
    X = X.map(lambda text: ["Well?", text]) if turns else X
    X = X.assign(id=range(len(X)))
    model = AugmentingClassifier(Recorder(), random_state=0).fit(X, data.y)
    assert list(model.estimator_.X_) == [*X, *(["prompt_group"] if turns else [])]


def test_no_copies_is_the_classifier_alone(data):
    alone = style().fit(data.X, data.y).predict_proba(data.X)
    model = AugmentingClassifier(style(), n_copies=0).fit(data.X, data.y)
    np.testing.assert_allclose(model.predict_proba(data.X), alone, atol=1e-9)
    assert swap_inconsistency(model, data.X) == 0


def test_copies_can_be_searched(data):
    grid = {"n_copies": [0, 1], "augmentations": [("trim",), ("strip_markdown", "drop_turns")]}
    search = GridSearchCV(
        AugmentingClassifier(style(), random_state=0),
        grid,
        cv=PromptGroupKFold(2),
        scoring="neg_log_loss",
    )
    trimmed_not, trimmed, other_not, other = search.fit(data.X, data.y).cv_results_[
        "mean_test_score"
    ]
    assert trimmed_not == other_not  # without copies it does not matter how they would be made
    assert len({trimmed_not, trimmed, other}) == 3


def test_bad_input_is_refused_before_any_fit(data):
    class Untouched(Recorder):
        def fit(self, X, y):
            raise AssertionError("was fitted before all input was checked")

    with pytest.raises(ValueError, match="'drop_turns', 'trim', 'strip_markdown'.*'shuffle'"):
        AugmentingClassifier(Untouched(), augmentations=("shuffle",)).fit(data.X, data.y)
    with pytest.raises(ValueError, match="one or more"):
        AugmentingClassifier(Untouched(), augmentations=()).fit(data.X, data.y)
    with pytest.raises(ValueError, match="augmentations"):
        AugmentingClassifier(Untouched(), augmentations="trim").fit(data.X, data.y)
    with pytest.raises(ValueError, match="n_copies"):
        AugmentingClassifier(Untouched(), n_copies=-1).fit(data.X, data.y)
    with pytest.raises(ValueError, match="no sample_weight"):
        AugmentingClassifier(Untouched()).fit(data.X, data.y, sample_weight=np.ones(120))
    with pytest.raises(ValueError, match="has no predict_proba"):
        svm = SwapSymmetricClassifier(make_pipeline(PairStyleFeatures(), LinearSVC()))
        BlendingClassifier(
            [("slow", Untouched()), ("svm", AugmentingClassifier(svm))],
        ).fit(data.X, data.y)


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 20000,
        "**a " * 20000,
        "[" * 20000,
        "[a](" * 5000,
        "`" * 20000,
        "*" * 20000,
        "-" * 20000 + "x",
        "```\n" * 5000,
    ],
    ids=lambda text: repr(text[:4]),
)
def test_strip_markdown_takes_time_in_proportion_to_the_text(text):
    start = time.process_time()
    strip_markdown(text)
    assert time.process_time() - start < 1  # second


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x**2 + y**2", "x**2 + y**2"),
        ("f(x)**2 + (y)**2", "f(x)**2 + (y)**2"),
        ("**bold**, ***both*** (**b**)", "bold, both (b)"),
        ("\u4e2d**\u6587**\u4e2d", "\u4e2d\u6587\u4e2d"),
        ("# H\n```py\n# note\nx**2\n- y\n```\n- a", "H\n# note\nx**2\n- y\na"),
        ("~~~\n# open", "# open"),
        ("```x = 1``` and `y`", "x = 1 and y"),
    ],
)
def test_strip_markdown_leaves_code_and_powers(text, expected):
    assert strip_markdown(text) == expected


def test_any_augmentation_may_be_drawn_where_several_would_change_a_battle():
    X = frame(["1", "2"], ["**a**", "b" * 99], ["c", "d" * 99])
    copies, _ = fit(X, Y, n_copies=40)
    kinds = {
        "drop_turns" if len(row.prompt) == 1 else "trim" if len(row.response_b[1]) < 99 else "strip"
        for row in copies.itertuples()
    }
    assert kinds == {"drop_turns", "trim", "strip"}


def test_the_seed_draws_the_copies(data):
    one, again, other = (
        AugmentingClassifier(Recorder(), augmentations=("trim",), random_state=seed)
        .fit(data.X, data.y)
        .estimator_.X_.response_a.map(str)
        .tolist()
        for seed in (1, 1, 2)
    )
    assert one == again != other


def test_own_columns_follow_the_battle_a_copy_was_made_from(data):
    X, weight = data.X.assign(number=np.arange(120.0)), np.arange(120.0)
    model = AugmentingClassifier(Recorder(), n_copies=2, random_state=0)
    inner = model.fit(X, data.y, sample_weight=weight).estimator_
    np.testing.assert_array_equal(inner.X_["number"], inner.weight_)


def test_lone_surrogates_are_kept_in_copies():
    text = "good \ud800 text " * 10  # the text dtype of pandas 3 refuses it
    cells = pd.Series([text] * 3, index=[4, 4, 0], dtype=object)
    X = pd.DataFrame(dict.fromkeys(("prompt", "response_a", "response_b"), cells))
    copies, _ = fit(X, Y, augmentations=("trim",))
    assert copies.index.tolist() == [4, 4, 0]
    assert copies.prompt.tolist() == [text] * 3
    assert all(text.startswith(cut) and len(cut) < len(text) for cut in copies.response_a)
    assert copies.response_b.tolist() == copies.response_a.tolist()


@pytest.mark.parametrize("kind", ["str", "string", pd.ArrowDtype(pa.string()), object])
def test_columns_of_text_keep_their_kind_beside_copies(kind):
    """A step inside may choose its columns by it."""
    X = frame("p", "good text", "bad text").astype(kind)
    copies, model = fit(X, Y, augmentations=("trim",))
    assert len(copies) == 1
    assert model.estimator_.X_.dtypes.tolist() == X.dtypes.tolist()


def test_a_copy_may_have_fewer_turns_than_arrows_type_of_its_battle_says():
    kind = pd.ArrowDtype(pa.list_(pa.string(), 2))
    cells = {"prompt": ["p", "q"], "response_a": ["a", "b"], "response_b": ["c", "d"]}
    X = pd.DataFrame({name: pd.Series([cell] * 3, dtype=kind) for name, cell in cells.items()})
    copies, _ = fit(X, Y, augmentations=("drop_turns",))
    assert copies[list(cells)].iloc[0].tolist() == [["q"], ["b"], ["d"]]


def test_trim_leaves_a_text_of_one_character():
    check_no_copies(frame("p", "a", ["b", ""]), "trim")


def test_tuples_of_turns_stay_tuples_and_are_no_change_by_themselves():
    copies, _ = fit(frame("p", ("**a**", None), ["b"]), Y, augmentations=("strip_markdown",))
    assert copies.iloc[0].tolist() == ["p", ("a", None), ["b"]]
    check_no_copies(frame("p", ("a", None), ("b",)), "strip_markdown")


@pytest.mark.parametrize(
    ("text", "plain"),
    [("1) one\n12) two", "one\ntwo"), ("code:\n\n    # a comment", "code:\n\n    # a comment")],
)
def test_strip_markdown_knows_lists_of_either_kind_and_code_by_its_indent(text, plain):
    assert strip_markdown(text) == plain
