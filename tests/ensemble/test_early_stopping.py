import importlib.util
import inspect

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from arena_estimators import (
    EarlyStoppingClassifier,
    PairStyleFeatures,
    PromptGroupShuffleSplit,
    SwapSymmetricClassifier,
    make_battles,
    prompt_groups,
)
from arena_estimators.exceptions import ArenaError, BattlesError, LabelsError


def histogram(n_rounds=60, **options):
    return HistGradientBoostingClassifier(
        max_iter=n_rounds, max_leaf_nodes=4, learning_rate=0.3, random_state=0, **options
    )


def lightgbm(n_rounds=60, **options):
    module = pytest.importorskip("lightgbm", reason="pip install lightgbm")
    return module.LGBMClassifier(
        n_estimators=n_rounds,
        num_leaves=4,
        learning_rate=0.3,
        n_jobs=1,
        random_state=0,
        verbose=-1,
        **options,
    )


BOOSTERS = {"histogram": histogram, "lightgbm": lightgbm}
N_ROUNDS = {"histogram": "max_iter", "lightgbm": "n_estimators"}
each_booster = pytest.mark.parametrize("kind", BOOSTERS)


class Recorder(TransformerMixin, BaseEstimator):
    """Gives features of style and keeps the battles it was fitted on and asked to transform."""

    calls = []

    def fit(self, X, y=None):
        Recorder.calls.append(("fit", X.index))
        self.style_ = PairStyleFeatures().fit(X)
        return self

    def transform(self, X):
        Recorder.calls.append(("transform", X.index))
        return np.asarray(self.style_.transform(X))


@pytest.fixture(scope="module")
def data():
    return make_battles(240, random_state=8)


def early(booster, **options):
    options = {"patience": 5, "random_state": 0, **options}
    return EarlyStoppingClassifier(make_pipeline(PairStyleFeatures(), booster), **options)


def split(data, random_state=0):
    """Give the rows that a model with this seed trains on, and those that it holds out."""
    splitter = PromptGroupShuffleSplit(test_size=0.15, random_state=random_state)
    return next(splitter.split(data.X))


def held_out_losses(boosters, data, weight=None):
    """Fit boosters without the battles that the model held out, and judge each by these."""
    train, held_out = split(data)
    style = PairStyleFeatures().fit(data.X.iloc[train])
    features, judged = (style.transform(data.X.iloc[part]) for part in (train, held_out))
    weights = (None, None) if weight is None else (weight[train], weight[held_out])
    return [
        log_loss(
            data.y[held_out],
            booster.fit(features, data.y[train], sample_weight=weights[0]).predict_proba(judged),
            sample_weight=weights[1],
        )
        for booster in boosters
    ]


@each_booster
def test_no_prompt_is_on_both_sides_and_the_last_fit_is_on_all(data, kind):
    Recorder.calls.clear()
    pipeline = make_pipeline(Recorder(), BOOSTERS[kind]())
    model = EarlyStoppingClassifier(pipeline, patience=5, random_state=0).fit(data.X, data.y)
    (_, train), _, (what, held_out), (_, everything), *_ = Recorder.calls
    assert what == "transform"
    assert sorted([*train, *held_out]) == sorted(data.X.index)
    assert everything.equals(data.X.index)
    groups = dict(zip(data.X.index, prompt_groups(data.X), strict=True))
    assert not {groups[i] for i in train} & {groups[i] for i in held_out}
    assert model.estimator_[-1].get_params()[N_ROUNDS[kind]] == model.n_rounds_


def test_rows_sum_to_one_whatever_the_booster_gives(data):
    booster = lightgbm(objective="multiclassova")
    model = EarlyStoppingClassifier(make_pipeline(PairStyleFeatures(), booster), random_state=0)
    proba = model.fit(data.X, data.y).predict_proba(data.X)
    assert abs(model.estimator_.predict_proba(data.X).sum(axis=1) - 1).max() > 0.01
    np.testing.assert_allclose(proba.sum(axis=1), 1)


@each_booster
@pytest.mark.parametrize("tie_rate", [0.3, 0.0])
def test_the_loss_is_that_of_the_held_out_battles(kind, tie_rate):
    data = make_battles(240, tie_rate=tie_rate, random_state=8)
    make = BOOSTERS[kind]
    model = early(make()).fit(data.X, data.y)
    n_rounds = model.n_rounds_
    losses = held_out_losses(map(make, range(1, n_rounds + 6)), data)
    assert model.validation_log_loss_ == pytest.approx(losses[n_rounds - 1], rel=1e-6)
    assert losses[n_rounds - 1] == pytest.approx(min(losses), rel=1e-9)


@each_booster
def test_weights_reach_the_booster_and_the_held_out_loss(data, kind):
    make = BOOSTERS[kind]
    weight = np.random.default_rng(0).uniform(0.1, 3, size=240)
    model = early(make()).fit(data.X, data.y, sample_weight=weight)
    (loss,) = held_out_losses([make(model.n_rounds_)], data, weight)
    assert model.validation_log_loss_ == pytest.approx(loss, rel=1e-6)
    alone = make_pipeline(PairStyleFeatures(), make(model.n_rounds_))
    alone.fit(data.X, data.y, **{f"{alone.steps[-1][0]}__sample_weight": weight})
    np.testing.assert_allclose(model.predict_proba(data.X), alone.predict_proba(data.X))
    few = slice(120)  # scikit-learn's weighted quantiles of more than 255 values take seconds
    SwapSymmetricClassifier(early(make())).fit(data.X[few], data.y[few], sample_weight=weight[few])
    with pytest.raises(ValueError, match="[Nn]egative"):
        early(make()).fit(data.X, data.y, sample_weight=-weight)


@each_booster
def test_classes_can_be_weighted(data, kind):
    # By name, except for HistGradientBoostingClassifier, which knows only their positions.
    names = range(3) if kind == "histogram" else ["model_a", "model_b", "tie"]
    weighted = early(BOOSTERS[kind](class_weight=dict(zip(names, [1.0, 1.0, 5.0], strict=True))))
    weight = np.where(data.y == "tie", 5.0, 1.0)
    each = early(BOOSTERS[kind]()).fit(data.X, data.y, sample_weight=weight)
    weighted.fit(data.X, data.y)
    held_out = {**N_ROUNDS}[kind]
    assert weighted.estimator_[-1].get_params()[held_out] == weighted.n_rounds_
    ties = [model.predict_proba(data.X)[:, 2].mean() for model in (weighted, each)]
    assert ties[0] == pytest.approx(ties[1], abs=0.05)
    plain = early(BOOSTERS[kind]()).fit(data.X, data.y)
    assert ties[0] > plain.predict_proba(data.X)[:, 2].mean() + 0.1
    assert weighted.validation_log_loss_ != plain.validation_log_loss_  # the search was weighted


def test_some_classes_can_be_weighted(data):
    tie = {"tie": 5.0}
    every = {"model_a": 1.0, "model_b": 1.0, **tie}
    some, all_ = (early(BOOSTERS["lightgbm"](class_weight=weights)) for weights in (tie, every))
    found = some.fit(data.X, data.y).predict_proba(data.X)
    np.testing.assert_array_equal(found, all_.fit(data.X, data.y).predict_proba(data.X))


@each_booster
def test_patience_stops_early(data, kind, monkeypatch):
    booster = BOOSTERS[kind](400)
    fitted = []
    original = type(booster).fit

    def fit(self, *arguments, **options):
        fitted.append(self)
        return original(self, *arguments, **options)

    fit.__signature__ = inspect.signature(original)
    monkeypatch.setattr(type(booster), "fit", fit)
    model = early(booster, patience=3).fit(data.X, data.y)
    if kind == "histogram":
        n_made = fitted[0].n_iter_
    else:
        n_made = len(fitted[0].evals_result_["valid_0"]["multi_logloss"])
    assert n_made == model.n_rounds_ + 3
    assert early(booster, patience=40).fit(data.X, data.y).n_rounds_ >= model.n_rounds_
    short = early(BOOSTERS[kind](2), patience=40).fit(data.X, data.y)
    assert short.n_rounds_ <= 2


def test_another_metric_of_the_booster_changes_nothing(data):
    expected = early(lightgbm()).fit(data.X, data.y)
    for options in ({"metric": "multi_error"}, {"metrics": ["auc_mu", "multi_error"]}):
        model = early(lightgbm(**options)).fit(data.X, data.y)
        assert model.n_rounds_ == expected.n_rounds_
        assert model.validation_log_loss_ == expected.validation_log_loss_
    expected = early(histogram()).fit(data.X, data.y)
    model = early(histogram(scoring="accuracy")).fit(data.X, data.y)
    assert model.validation_log_loss_ == expected.validation_log_loss_


def test_a_lightgbm_that_knows_eval_set_alone_is_used(data):
    module = pytest.importorskip("lightgbm", reason="pip install lightgbm")
    seen = []

    class LGBMClassifier(module.LGBMClassifier):
        def fit(self, X, y, sample_weight=None, eval_set=(), callbacks=None, **options):
            seen.append(len(eval_set))
            held_out = {}
            if eval_set:
                ((X_held_out, y_held_out),) = eval_set
                held_out = {"eval_X": (X_held_out,), "eval_y": (y_held_out,)}
            return super().fit(
                X, y, sample_weight=sample_weight, callbacks=callbacks, **held_out, **options
            )

    options = {"n_jobs": 1, "random_state": 0, "verbose": -1, "n_estimators": 20}
    model = early(LGBMClassifier(**options)).fit(data.X, data.y)
    assert seen == [1, 0]
    expected = early(module.LGBMClassifier(**options)).fit(data.X, data.y)
    assert model.n_rounds_ == expected.n_rounds_


@each_booster
def test_the_same_seed_gives_the_same_and_nothing_given_is_changed(data, kind):
    model = early(BOOSTERS[kind]())
    before = repr(model.get_params())
    first = model.fit(data.X, data.y).predict_proba(data.X)
    np.testing.assert_array_equal(first, clone(model).fit(data.X, data.y).predict_proba(data.X))
    assert repr(model.get_params()) == before
    assert set(model.predict(data.X)) <= set(model.classes_)


def test_without_lightgbm_boosting_is_made_all_the_same(monkeypatch):
    from arena_estimators import make_arena_pipeline

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "lightgbm" else find(name)
    )
    booster = make_arena_pipeline("boosting").estimator.estimator[-1]
    assert isinstance(booster, HistGradientBoostingClassifier)
    typed = str(booster.set_params(random_state=None)).replace("\n", " ")
    said = make_arena_pipeline.__doc__.split("Without LightGBM the booster is ")[1].split("``")[1]
    assert " ".join(typed.split()) == " ".join(said.split())


class Untouched(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        raise AssertionError("was fitted before all input was checked")

    def transform(self, X):
        raise AssertionError("was asked before all input was checked")


class Drawing(Untouched):
    """A sampler of imbalanced-learn, whose Pipelines draw rows and their labels in `fit`."""

    def fit_resample(self, X, y):
        raise AssertionError("was asked before all input was checked")


def test_bad_input_is_refused_before_any_fit(data):
    def untouched(booster=None, **options):
        pipeline = make_pipeline(Untouched(), histogram() if booster is None else booster)
        return EarlyStoppingClassifier(pipeline, **options)

    with pytest.raises(ArenaError, match="HistGradient.*got RandomForestClassifier"):
        untouched(RandomForestClassifier()).fit(data.X, data.y)
    with pytest.raises(ArenaError, match="needs a Pipeline .*got HistGradient"):
        EarlyStoppingClassifier(histogram()).fit(data.X, data.y)
    with pytest.raises(ArenaError, match="reads numbers"):
        EarlyStoppingClassifier(make_pipeline(histogram())).fit(data.X, data.y)
    for last in (LinearSVC(), "passthrough"):
        with pytest.raises(ArenaError, match="needs a Pipeline whose last step is a LGBM"):
            untouched(last).fit(data.X, data.y)
    with pytest.raises(ArenaError, match="step 'drawing' resamples rows.*sample_weight"):
        EarlyStoppingClassifier(make_pipeline(Drawing(), histogram())).fit(data.X, data.y)
    with pytest.raises(ArenaError, match="'dart' of LGBMClassifier cannot stop early"):
        untouched(lightgbm(boosting_type="dart")).fit(data.X, data.y)
    for alias, instead in (
        ("num_iterations", "n_estimators"),
        ("early_stopping_round", "patience"),
    ):
        with pytest.raises(ArenaError, match=f"{alias} of LGBMClassifier.*Pass .*{instead}"):
            untouched(lightgbm(**{alias: 5})).fit(data.X, data.y)
    for options in ({"validation_fraction": 0.0}, {"validation_fraction": 1.0}, {"patience": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            untouched(**options).fit(data.X, data.y)
    with pytest.raises(BattlesError, match="DataFrame"):
        untouched().fit(data.X.to_numpy(), data.y)
    with pytest.raises(LabelsError, match="240 battles but y has 239"):
        untouched().fit(data.X, data.y[1:])
    with pytest.raises(LabelsError, match="y is None"):
        untouched().fit(data.X, None)
    with pytest.raises(LabelsError, match="not soft labels"):
        untouched().fit(data.X, np.full((240, 3), 1 / 3))
    _, held_out = split(data)
    weight = np.ones(240)
    weight[held_out] = 0
    with pytest.raises(ArenaError, match="sample_weight is zero on all battles that are held out"):
        untouched(random_state=0).fit(data.X, data.y, sample_weight=weight)
    with pytest.raises(ArenaError, match="one prompt"):
        untouched().fit(data.X.assign(prompt="p"), data.y)
    rare = np.where(np.arange(240) == 0, "tie", np.where(np.arange(240) % 2, "model_a", "model_b"))
    with pytest.raises(ArenaError, match="lack a class"):
        untouched(validation_fraction=0.99, random_state=0).fit(data.X, rare)


def test_the_seed_draws_the_prompts_that_are_held_out(data):
    for seed in (1, 1, 2):
        Recorder.calls.clear()
        pipeline = make_pipeline(Recorder(), histogram(3))
        EarlyStoppingClassifier(pipeline, random_state=seed).fit(data.X, data.y)
        held_out = Recorder.calls[2][1]
        assert held_out.equals(data.X.index[split(data, seed)[1]])
    assert split(data, 1)[1].tolist() != split(data, 2)[1].tolist()


@each_booster
def test_where_boosting_is_of_no_use_one_round_is_made(data, kind):
    y = np.random.default_rng(0).permutation(data.y)
    model = early(BOOSTERS[kind](20)).fit(data.X, y)
    assert model.n_rounds_ == 1
    assert model.predict_proba(data.X).shape == (240, 3)


def test_the_last_fit_does_not_stop_early_on_rows_of_its_own(data):
    model = early(histogram(20, early_stopping=True)).fit(data.X, data.y)
    booster = model.estimator_[-1]
    assert booster.n_iter_ == model.n_rounds_
    assert booster.early_stopping is False


def test_settings_of_the_booster_are_checked_too(data):
    with pytest.raises(ValueError, match="l2_regularization"):
        early(histogram(3, l2_regularization=-1.0)).fit(data.X, data.y)


@pytest.mark.parametrize("alias", ["boosting_type", "boosting", "boost"])
def test_dart_is_refused_by_any_of_its_names(data, alias):
    with pytest.raises(ArenaError, match="'dart' of LGBMClassifier cannot stop early"):
        early(lightgbm(**{alias: "dart"})).fit(data.X, data.y)


def test_battles_without_weight_cannot_be_all_that_is_learnt_from(data):
    _, held_out = split(data)
    weight = np.zeros(240)
    weight[held_out] = 1
    with pytest.raises(ArenaError, match="held out, or on all others"):
        early(histogram()).fit(data.X, data.y, sample_weight=weight)


@each_booster
def test_a_booster_of_ones_own_stops_early_too(kind, data):
    booster = BOOSTERS[kind]()
    mine = type("Mine", (type(booster),), {})(**booster.get_params())
    model, expected = (
        EarlyStoppingClassifier(make_pipeline(PairStyleFeatures(), one), random_state=0)
        for one in (mine, booster)
    )
    assert model.fit(data.X, data.y).n_rounds_ == expected.fit(data.X, data.y).n_rounds_


class Supervised(TransformerMixin, BaseEstimator):
    """Keeps the labels it was fitted on."""

    seen = []

    def fit(self, X, y):
        Supervised.seen.append(y)
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


def test_steps_may_learn_from_the_labels(data):
    Supervised.seen.clear()
    pipeline = make_pipeline(PairStyleFeatures(), Supervised(), histogram(3))
    EarlyStoppingClassifier(pipeline, random_state=0).fit(data.X, data.y)
    train, _ = split(data)
    assert [labels.tolist() for labels in Supervised.seen] == [
        data.y[train].tolist(),
        data.y.tolist(),
    ]


def test_any_improvement_is_one_whatever_the_booster_says(data):
    expected = early(histogram()).fit(data.X, data.y)
    model = early(histogram(tol=0.5)).fit(data.X, data.y)
    assert model.n_rounds_ == expected.n_rounds_ > 1


def test_the_pipeline_that_was_given_is_not_fitted(data):
    model = early(histogram(3)).fit(data.X, data.y)
    assert not hasattr(model.estimator[0], "blocks_")
    assert not hasattr(model.estimator[1], "classes_")
