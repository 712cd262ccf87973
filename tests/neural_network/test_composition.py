"""BertPairClassifier among scikit-learn's meta-estimators."""

import joblib
import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

from arena_estimators import (
    BlendingClassifier,
    DavidsonClassifier,
    NLTKCleaner,
    PairEmbeddings,
    PromptGroupKFold,
    PromptGroupShuffleSplit,
    make_arena_pipeline,
    make_battles,
)
from arena_estimators.exceptions import ArenaError
from arena_estimators.neural_network.model._workers import refuse_parallel_jobs

CV = PromptGroupKFold(2)
# With these the words are learnt in two epochs. Style is off: it alone would beat the shares.
QUICK = {"style_features": False, "learning_rate": 5e-3, "head_learning_rate": 1e-2}


def _refusal(device):
    try:
        refuse_parallel_jobs(torch.device(device))
    except ArenaError as error:
        return str(error)
    return ""


def test_a_search_in_two_processes_equals_one(small, learnable):
    X, y = learnable
    grid = {"training__head_learning_rate": [3e-3, 1e-2]}
    search = {"cv": CV, "scoring": "neg_log_loss", "error_score": "raise"}
    one, two = (GridSearchCV(small(), grid, n_jobs=n_jobs, **search) for n_jobs in (1, 2))
    scores = one.fit(X, y).cv_results_["mean_test_score"]
    two.fit(X, y)
    np.testing.assert_allclose(two.cv_results_["mean_test_score"], scores, atol=1e-5)
    assert one.best_params_ == two.best_params_
    np.testing.assert_allclose(two.predict_proba(X), one.predict_proba(X), atol=1e-5)


@pytest.mark.slow
def test_embeddings_in_two_processes_equal_those_of_one(tiny):
    """Here, because the processes of the search above have loaded torch."""
    data = make_battles(60, random_state=0)
    pipeline = make_pipeline(PairEmbeddings(tiny()), DavidsonClassifier())
    scores = [
        cross_val_score(pipeline, data.X, data.y, cv=2, scoring="neg_log_loss", n_jobs=n)
        for n in (1, 2)
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


def test_threads_do_not_disturb_each_other(small, fitted, learnable):
    X, y = learnable
    expected = fitted().predict_proba(X)
    fits = [joblib.delayed(small().fit)(X, y) for _ in range(3)]
    for model in joblib.Parallel(n_jobs=2, backend="threading")(fits):
        np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_parallel_jobs_on_a_gpu_are_refused_with_advice():
    said = joblib.Parallel(n_jobs=2)(joblib.delayed(_refusal)(d) for d in ("cuda", "mps", "cpu"))
    assert "n_jobs=1" in said[0] and "n_jobs=1" in said[1]
    assert said[2] == ""
    assert _refusal("cuda") == ""


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(
    "kind", ["voting", "stacking", "calibrated", "pipeline", "cleaned", "blend"]
)
def test_meta_estimators_take_it(small, learnable, kind, ties):
    X, y = learnable
    if not ties:
        X, y = X[y != "tie"], y[y != "tie"]
    members = [("bert", small()), ("linear", make_arena_pipeline("linear"))]
    model = {
        "voting": lambda: VotingClassifier(members, voting="soft"),
        "stacking": lambda: StackingClassifier(members, LogisticRegression(), cv=3),
        "calibrated": lambda: CalibratedClassifierCV(small(**QUICK), cv=2, ensemble=False),
        "blend": lambda: BlendingClassifier(members, cv=PromptGroupShuffleSplit(random_state=0)),
        "pipeline": lambda: make_pipeline(small(**QUICK)),
        "cleaned": lambda: make_pipeline(NLTKCleaner(stop_words=None), small(**QUICK)),
    }[kind]()
    model.fit(X, np.asarray(y))
    assert list(model.classes_) == ["model_a", "model_b", "tie"][: 3 if ties else 2]
    loss = log_loss(y, model.predict_proba(X))
    assert loss < (1.0 if ties else 0.65)  # the shares alone: 1.09 and 0.69


def test_it_does_not_mind_pandas_output(small, fitted, learnable):
    X, y = learnable
    expected = fitted().predict_proba(X)
    with config_context(transform_output="pandas"):
        model = small().fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), expected)
    np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_cross_val_predict(small, learnable):
    X, y = learnable
    proba = cross_val_predict(small(**QUICK), X, y, cv=CV, method="predict_proba")
    assert proba.shape == (80, 3)
    assert log_loss(y, proba) < 0.7
    gaps = cross_val_predict(small(), X, y, cv=CV, method="decision_function")
    np.testing.assert_allclose(gaps[:, 0], -gaps[:, 1])
