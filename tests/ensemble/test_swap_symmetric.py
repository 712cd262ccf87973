import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from arena_estimators import (
    DavidsonClassifier,
    PairStyleFeatures,
    PromptGroupKFold,
    SwapSymmetricClassifier,
    make_battles,
    swap_inconsistency,
)
from arena_estimators.battles import swap_labels
from arena_estimators.exceptions import BattlesError, LabelsError


class Recorder(DummyClassifier):
    """Keeps what it was fitted on and answers by the length of response_a."""

    def fit(self, X, y, sample_weight=None):
        self.X_, self.y_, self.weight_ = X, y, sample_weight
        return super().fit(np.zeros(len(y)), y)

    def predict_proba(self, X):
        a = 1 / (2 + np.array([len(str(cell)) for cell in X.response_a]))
        return np.stack([a, 1 - a - a**2, a**2], axis=1)


@pytest.fixture(scope="module")
def data():
    return make_battles(80, random_state=1)


def by_columns():
    text = [
        (name, TfidfVectorizer(preprocessor=str), name) for name in ("response_a", "response_b")
    ]
    return make_pipeline(ColumnTransformer(text), LogisticRegression())


def test_both_orders_are_trained_with_their_labels_and_weights(data):
    weight = np.arange(80.0)
    model = SwapSymmetricClassifier(Recorder()).fit(data.X, data.y, sample_weight=weight)
    inner = model.estimator_
    assert inner.X_.response_a.tolist() == [*data.X.response_a, *data.X.response_b]
    assert inner.y_.tolist() == [*data.y, *swap_labels(data.y)]
    np.testing.assert_array_equal(inner.weight_, np.tile(weight, 2))
    assert inner.X_.index.tolist() == [*data.X.index, *data.X.index]


def test_random_orders_exchange_rows_whole(data):
    model = SwapSymmetricClassifier(Recorder(), train="random", random_state=0)
    inner = model.fit(data.X, data.y, sample_weight=np.arange(80)).estimator_
    exchanged = np.array(
        [a != b for a, b in zip(inner.X_.response_a, data.X.response_a, strict=True)]
    )
    assert 20 < exchanged.sum() < 60
    assert inner.X_.response_b[exchanged].tolist() == data.X.response_a[exchanged].tolist()
    np.testing.assert_array_equal(inner.y_, np.where(exchanged, swap_labels(data.y), data.y))
    np.testing.assert_array_equal(inner.weight_, np.arange(80))


def test_none_trains_and_predicts_as_given(data):
    model = SwapSymmetricClassifier(Recorder(), train="none", predict_order="none")
    inner = model.fit(data.X, data.y).estimator_
    assert inner.X_.response_a.tolist() == data.X.response_a.tolist()
    np.testing.assert_allclose(model.predict_proba(data.X), Recorder().predict_proba(data.X))


def test_average_is_exactly_symmetric_and_the_inner_model_is_not(data):
    model = SwapSymmetricClassifier(by_columns(), train="none").fit(data.X, data.y)
    assert swap_inconsistency(model.estimator_, data.X) > 0.01
    assert swap_inconsistency(model, data.X) == 0
    np.testing.assert_allclose(model.predict_proba(data.X).sum(axis=1), 1)


def test_weights_reach_the_last_step_of_a_pipeline(data):
    weight = (data.y != "tie").astype(float)
    model = SwapSymmetricClassifier(by_columns())
    heavy = model.fit(data.X, data.y, sample_weight=weight).predict_proba(data.X)
    assert heavy[:, 2].mean() < model.fit(data.X, data.y).predict_proba(data.X)[:, 2].mean() / 2


def test_weights_reach_a_pipeline_under_metadata_routing(data):
    model = make_pipeline(PairStyleFeatures(), DavidsonClassifier())
    model, weight = SwapSymmetricClassifier(model), np.arange(80.0)
    expected = model.fit(data.X, data.y, sample_weight=weight).predict_proba(data.X)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            model.set_fit_request(sample_weight=True),
            {"predict_order": ["average"]},
            scoring=get_scorer("neg_log_loss").set_score_request(sample_weight=False),
            cv=PromptGroupKFold(2),
        ).fit(data.X, data.y, sample_weight=weight)
    np.testing.assert_array_equal(search.predict_proba(data.X), expected)


def test_own_columns_of_both_sides_are_exchanged(data):
    strength = np.select([data.y == "model_a", data.y == "model_b"], [1.0, -1.0])
    X = data.X.assign(rating_a=strength, rating_b=-strength)
    columns = ColumnTransformer([("ratings", "passthrough", ["rating_a", "rating_b"])])
    model = SwapSymmetricClassifier(make_pipeline(columns, LogisticRegression(C=100)))
    assert model.fit(X, data.y).score(X, data.y) == 1
    assert swap_inconsistency(model, X) == 0


def test_own_categories_stay_categories(data):
    X = data.X.assign(by_a=pd.Categorical(["x", "y"] * 40), by_b=pd.Categorical(["z"] * 80))
    inner = SwapSymmetricClassifier(Recorder()).fit(X, data.y).estimator_
    assert inner.X_.by_a.dtype == inner.X_.by_b.dtype == "category"
    assert inner.X_.by_a.tolist() == [*X.by_a, *X.by_b]


def test_soft_labels_are_exchanged_too(data):
    soft = np.random.default_rng(0).dirichlet([1, 1, 1], size=80)

    class Soft(Recorder):
        def fit(self, X, y, sample_weight=None):
            self.y_, self.classes_ = y, np.array(["model_a", "model_b", "tie"])
            return self

    inner = SwapSymmetricClassifier(Soft()).fit(data.X, soft).estimator_
    np.testing.assert_array_equal(inner.y_[80:], soft[:, [1, 0, 2]])
    frame = pd.DataFrame(soft[:, [2, 0, 1]], columns=["tie", "model_a", "model_b"])
    named = SwapSymmetricClassifier(Soft()).fit(data.X, frame).estimator_
    np.testing.assert_array_equal(named.y_, inner.y_)


def test_bad_input_is_refused_before_any_fit(data):
    with pytest.raises(ValueError, match="predict_proba"):
        SwapSymmetricClassifier(TfidfVectorizer()).fit(data.X, data.y)
    with pytest.raises(LabelsError, match="80 battles but y has 79"):
        SwapSymmetricClassifier(Recorder()).fit(data.X, data.y[1:])
    with pytest.raises(BattlesError, match="DataFrame"):
        SwapSymmetricClassifier(Recorder()).fit(data.X.to_numpy(), data.y)
    with pytest.raises(LabelsError, match="y is None"):
        SwapSymmetricClassifier(Recorder()).fit(data.X, None)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        model = SwapSymmetricClassifier(make_pipeline(PairStyleFeatures(), KNeighborsClassifier()))
        model.fit(data.X, data.y, sample_weight=np.ones(80))


def test_settings_of_predictions_are_checked_when_they_are_used(data):
    model = SwapSymmetricClassifier(by_columns()).fit(data.X, data.y)
    with pytest.raises(ValueError, match="'predict_order' parameter"):
        model.set_params(predict_order="nonee").predict_proba(data.X)


def test_a_stack_with_its_default_is_made_symmetric(data):
    """It has no `predict_proba` before it is fitted."""
    stack = StackingClassifier([("one", by_columns())], cv=2)
    for estimator in (stack, make_pipeline(stack), GridSearchCV(stack, {}, cv=2)):
        model = SwapSymmetricClassifier(estimator).fit(data.X, data.y)
        assert swap_inconsistency(model, data.X) == 0
    with pytest.raises(ValueError, match="no predict_proba"):
        stack = StackingClassifier([("one", by_columns())], final_estimator=LinearSVC(), cv=2)
        SwapSymmetricClassifier(stack).fit(data.X, data.y)


def test_codes_and_names_are_the_same_classes(data):
    codes = np.unique(data.y, return_inverse=True)[1]
    fitted = FrozenEstimator(by_columns().fit(data.X, codes))
    model = SwapSymmetricClassifier(fitted).fit(data.X, data.y)
    assert model.classes_.tolist() == ["model_a", "model_b", "tie"]
    assert swap_inconsistency(model, data.X) == 0


def test_classes_that_differ_are_refused(data):
    class Other(Recorder):
        def fit(self, X, y):
            self.classes_ = np.array(["a", "b", "c"])
            return self

    with pytest.raises(LabelsError, match="estimator .Other. has the classes .* expected"):
        SwapSymmetricClassifier(Other()).fit(data.X, data.y)


def test_the_seed_draws_the_orders(data):
    one, again, other = (
        SwapSymmetricClassifier(Recorder(), train="random", random_state=seed)
        .fit(data.X, data.y)
        .estimator_.X_.response_a.tolist()
        for seed in (1, 1, 2)
    )
    assert one == again != other
