"""Checks of an estimator of battles, beside scikit-learn's own.

scikit-learn's `parametrize_with_checks` makes numeric data, so it checks next to nothing of an
estimator that takes text. These checks make battles.
"""

import copy
import inspect
import io
import pickle
from collections.abc import Callable, Sequence

import joblib
import numpy as np
import pandas as pd
from pandas.testing import assert_frame_equal
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from arena_estimators.battles import swap, swap_proba
from arena_estimators.exceptions import ArenaError, BattlesError, LabelsError
from arena_estimators.feature_extraction import PairTfidfVectorizer
from arena_estimators.linear_model import DavidsonClassifier
from arena_estimators.model_selection import PromptGroupKFold
from arena_estimators.utils._testing import (
    assert_equal,
    assert_same,
    cleans,
    fit_clone,
    is_battles,
    output_of,
    raises,
    sample_battles,
    seeded,
    shown,
    take,
)


def parametrize_with_battle_checks(
    estimators: Sequence[BaseEstimator],
    *,
    expected_failed_checks: Callable[[BaseEstimator], dict[str, str]] | None = None,
) -> Callable:
    """Make a pytest decorator that runs on each estimator the checks that apply to it.

    Parameters
    ----------
    estimators : list of estimators
        Classifiers or transformers that take a DataFrame of battles.
    expected_failed_checks : callable, optional
        Takes an estimator and returns a dict from the names of checks to the reason why each fails,
        or None.

    Returns
    -------
    decorator : pytest.mark.parametrize
        For a test with the arguments `estimator` and `check`, which calls `check(estimator)`.

    Raises
    ------
    ArenaError
        If an estimator is neither of these, or a check expected to fail is not one of its checks.

    Examples
    --------
    >>> from arena_estimators import DavidsonClassifier, PairTfidfVectorizer
    >>> from arena_estimators.utils.estimator_checks import parametrize_with_battle_checks
    >>> from sklearn.pipeline import make_pipeline
    >>> pipeline = make_pipeline(PairTfidfVectorizer(), DavidsonClassifier())
    >>> @parametrize_with_battle_checks([pipeline])
    ... def test_battle_checks(estimator, check):
    ...     check(estimator)
    """
    import pytest

    cases = []
    for estimator in estimators:
        expected = (expected_failed_checks and expected_failed_checks(estimator)) or {}
        checks = battle_checks(estimator)
        unknown = sorted(expected.keys() - {check.__name__ for check in checks})
        if unknown:
            raise ArenaError(f"No checks of {type(estimator).__name__} are called {unknown}.")
        for check in checks:
            reason = expected.get(check.__name__)
            marks = pytest.mark.xfail(reason=reason, strict=True) if reason else ()
            identity = f"{type(estimator).__name__}-{check.__name__}"
            cases.append(pytest.param(estimator, check, marks=marks, id=identity))
    return pytest.mark.parametrize(("estimator", "check"), cases)


def battle_checks(estimator):
    """List the checks that apply to an estimator.

    Parameters
    ----------
    estimator : estimator
        A classifier or a transformer of battles.

    Returns
    -------
    list of callable
        Each takes the estimator, leaves it unchanged, and raises where it falls short.

    Raises
    ------
    ArenaError
        If the estimator is neither.
    """
    if is_classifier(estimator):
        return [*_COMMON, *_CLASSIFIER]
    if not hasattr(estimator, "transform"):
        raise ArenaError(
            f"{type(estimator).__name__} has no transform, and is no classifier by its tags: a "
            "classifier inherits from ClassifierMixin, and from BaseEstimator after it."
        )
    return [*_COMMON, *_TRANSFORMER, *([] if cleans(estimator) else [check_set_output])]


def check_init_only_assigns(estimator):
    """The constructor stores its parameters as they are and nothing else."""
    estimator = clone(estimator)
    parameters = estimator.get_params(deep=False)
    for name, parameter in inspect.signature(type(estimator)).parameters.items():
        assert parameter.kind is not parameter.VAR_KEYWORD, "the constructor takes **kwargs"
        assert name in parameters
    fresh = type(estimator)(**parameters)  # a clone also has what set_output chose
    assert set(vars(fresh)) <= set(parameters), "the constructor sets other attributes"


def check_clone_and_set_params(estimator):
    """Clones have equal parameters, and set_params sets what is named, and nothing else."""
    copied = clone(estimator)
    assert shown(copied) == shown(estimator)
    before = copied.get_params(deep=False)
    for name in before:
        for given in ({name: object()}, before):
            copied.set_params(**given)
            expected, found = before | given, copied.get_params(deep=False)
            wrong = [other for other in before if found[other] is not expected[other]]
            assert not wrong, f"after set_params of {name}, {wrong} are not what they should be"
    raises(ValueError, "set_params of an unknown parameter", copied.set_params, no_such_one=1)


def check_fit_returns_self(estimator):
    """`fit` returns the estimator, keeps its parameters, sets names that begin or end in _."""
    estimator = seeded(estimator)
    before = repr(estimator)
    parameters = set(estimator.get_params(deep=False))
    data = sample_battles()
    assert estimator.fit(data.X, data.y) is estimator
    assert repr(estimator) == before
    state = set(vars(estimator)) - parameters
    wrong = [n for n in state if not n.endswith("_") and not n.startswith("_")]
    assert not wrong, f"fit set {wrong}"


def check_unfitted(estimator):
    """Before `fit`, predictions raise NotFittedError."""
    if not get_tags(estimator).requires_fit:
        return
    X = sample_battles().X
    names = ["predict", "predict_proba"] if is_classifier(estimator) else ["transform"]
    for name in names:
        raises(NotFittedError, f"{name} before fit", getattr(clone(estimator), name), X)


def check_pickle_and_joblib(estimator):
    """A fitted estimator survives pickle, joblib and deepcopy with equal output."""
    estimator, X = fit_clone(estimator), sample_battles().X
    expected = output_of(estimator, X)
    assert_same(output_of(pickle.loads(pickle.dumps(estimator)), X), expected)
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    assert_same(output_of(joblib.load(file), X), expected)
    assert_same(output_of(copy.deepcopy(estimator), X), expected)


def check_one_row(estimator):
    """A row's output does not depend on the rows beside it."""
    estimator, X = fit_clone(estimator), sample_battles().X
    expected = output_of(estimator, X)
    assert_equal(output_of(estimator, X.iloc[[5]]), take(expected, [5]))


def check_row_order_and_index(estimator):
    """Output follows the rows, whatever the index, and whatever was asked before."""
    estimator, X = fit_clone(estimator), sample_battles().X
    unasked = copy.deepcopy(estimator)
    order = np.random.RandomState(0).permutation(len(X))
    expected = take(output_of(estimator, X), order)
    output = output_of(unasked, X.iloc[order])
    assert_equal(output, expected)
    relabelled = output_of(estimator, X.iloc[order].set_axis(["same"] * len(X)))
    if isinstance(relabelled, pd.DataFrame):
        assert output.index.equals(X.index[order])
        relabelled.index = expected.index
    assert_equal(relabelled, expected)


def check_fit_ignores_the_index(estimator):
    """A fit on Series labels with another index equals the fit on arrays and on lists."""
    data = sample_battles()
    expected = output_of(fit_clone(estimator), data.X)
    index = np.arange(len(data.y))[::-1]
    relabelled = data.X.set_axis(index), pd.Series(data.y, index)
    for X, labels in [relabelled, (data.X, list(data.y))]:
        assert_same(output_of(seeded(estimator).fit(X, labels), data.X), expected)


def check_same_seed_same_result(estimator):
    """Two fits with one seed give equal output, also one after a fit on other battles."""
    data, other = sample_battles(), sample_battles(tie_rate=0, seed=1)
    again = seeded(estimator).fit(other.X[:40], other.y[:40]).fit(data.X, data.y)
    assert_same(output_of(again, data.X), output_of(fit_clone(estimator), data.X))


def check_input_not_changed(estimator):
    """`fit` and the predictions leave X and y as they are."""
    data, untouched = sample_battles(), sample_battles()
    output_of(fit_clone(estimator, data), data.X)
    assert_frame_equal(data.X, untouched.X)
    np.testing.assert_array_equal(data.y, untouched.y)


def check_empty_and_null_text(estimator):
    """Empty, null and missing texts work like any other, and tuples like lists of turns."""
    data = sample_battles()
    X = data.X.astype(object)
    for row, cell in enumerate(["", None, [], [None], [""], [None, "text"], float("nan")]):
        X.iat[row, row % 3] = cell
    X.iloc[10, 1:] = None
    X.iloc[11] = ""
    tuples = X.map(lambda cell: tuple(cell) if isinstance(cell, list) else cell)
    fitted = seeded(estimator).fit(X, data.y)
    for model in (fitted, fit_clone(estimator)):
        output = output_of(model, X)
        assert output.shape[0] == len(X)
        assert_same(output_of(model, tuples), output)
        if isinstance(output, pd.DataFrame):
            output = output.select_dtypes("number").to_numpy()
        assert np.isfinite(output.data if issparse(output) else output).all()


def check_other_columns_are_ignored(estimator):
    """Columns beyond the contract change nothing and may be absent later."""
    data = sample_battles()
    expected = output_of(fit_clone(estimator), data.X)
    wide = data.X.assign(winner=1.5, id=range(len(data.X)))
    model = seeded(estimator).fit(wide, data.y)
    assert_same(output_of(model, data.X), expected)


def check_bad_input(estimator):
    """What breaks the contract is refused, in fit and after, by an error that names it."""
    data = sample_battles()
    fitted = fit_clone(estimator)
    cells = data.X.astype(object)
    cells.iat[7, 2] = 3.5
    reordered = data.X[data.X.columns[::-1]]
    for what, X, match in [
        ("a frame without response_a", data.X.drop(columns="response_a"), ["response_a"]),
        ("a number among the texts", cells, ["response_b", "row 7", "float"]),
        ("an array of texts", data.X.to_numpy(), ["DataFrame"]),
    ]:
        raises(BattlesError, f"fit with {what}", seeded(estimator).fit, X, data.y, match=match)
        raises(BattlesError, f"{what} after fit", output_of, fitted, X, match=match)
    what = "columns in another order than in fit"
    raises(ValueError, what, output_of, fitted, reordered, match=["order"])


def check_probabilities(estimator):
    """Probabilities are finite float64 rows that sum to one; predict gives the likeliest class."""
    for tie_rate, classes in [(0.3, ["model_a", "model_b", "tie"]), (0, ["model_a", "model_b"])]:
        data = sample_battles(tie_rate=tie_rate)
        model = fit_clone(estimator, data)
        assert model.classes_.tolist() == classes
        proba = model.predict_proba(data.X)
        assert proba.shape == (len(data.X), len(classes))
        assert proba.dtype == np.float64, f"probabilities are {proba.dtype}, not float64"
        assert (np.isfinite(proba) & (proba >= 0)).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-9)
        np.testing.assert_array_equal(model.predict(data.X), model.classes_[proba.argmax(axis=1)])


def check_integer_labels(estimator):
    """The integers 0, 1 and 2 mean model_a, model_b and tie."""
    data = sample_battles()
    codes = np.unique(data.y, return_inverse=True)[1]
    model = seeded(estimator).fit(data.X, codes)
    assert model.classes_.tolist() == [0, 1, 2]
    assert_same(model.predict_proba(data.X), fit_clone(estimator).predict_proba(data.X))


def check_bad_labels(estimator):
    """Labels that are not the arena's, or too few, are refused."""
    data = sample_battles()
    y = data.y.astype(object)
    y[3] = "draw"

    def refused(errors, what, y, match=()):
        raises(errors, f"fit with {what}", seeded(estimator).fit, data.X, y, match=match)

    refused(LabelsError, "an unknown label", y, match=["draw"])
    foreign = {"model_a": "win", "model_b": "loss", "tie": "draw"}
    others = [foreign[label] for label in data.y]
    refused(LabelsError, "labels of another kind", others, match=["model_a"])
    y[3] = None
    refused(LabelsError, "a missing label", y, match=["row 3"])
    refused(ValueError, "a label too few", data.y[:-1])
    refused(ValueError, "model_a alone", ["model_a"] * len(data.y))


def check_swap_equivariance(estimator):
    """Exchanged responses give exactly the exchanged probabilities."""
    model, X = fit_clone(estimator), sample_battles().X
    assert_same(model.predict_proba(swap(X)), swap_proba(model.predict_proba(X)))


def check_grid_search(estimator):
    """GridSearchCV with grouped folds sets every parameter, and its best predicts as a fit does."""
    data, checked, step = sample_battles(), seeded(estimator), ""
    if not is_classifier(estimator):
        to_numbers = [("numbers", PairTfidfVectorizer())] if cleans(estimator) else []
        estimator = Pipeline([("it", estimator), *to_numbers, ("last", DavidsonClassifier())])
        step = "it__"
    grid = {step + name: [value] for name, value in checked.get_params(deep=False).items()}
    options = {"scoring": "neg_log_loss", "error_score": "raise"}
    search = GridSearchCV(clone(estimator), grid, cv=PromptGroupKFold(2), **options)
    assert np.isfinite(search.fit(data.X, data.y).best_score_)
    assert_same(search.predict_proba(data.X), fit_clone(estimator).predict_proba(data.X))


def check_voting(estimator):
    """A soft VotingClassifier of two clones predicts what one does."""
    data = sample_battles()
    voting = VotingClassifier([("1", seeded(estimator)), ("2", seeded(estimator))], voting="soft")
    proba = voting.fit(data.X, data.y).predict_proba(data.X)
    assert_equal(proba, fit_clone(estimator).predict_proba(data.X), atol=1e-9)


def check_swap_of_transformed(estimator):
    """Exchanged responses give the negated features, or the exchanged texts."""
    model, X = fit_clone(estimator), sample_battles().X
    output, swapped = model.transform(X), model.transform(swap(X))
    assert_same(swapped, swap(output) if is_battles(output) else -output)


def check_names_out(estimator):
    """There is one name for each column that comes out."""
    model, X = fit_clone(estimator), sample_battles().X
    names = model.get_feature_names_out()
    assert len(set(names)) == len(names) == model.transform(X).shape[1]
    assert names.dtype == object


def check_fit_transform(estimator):
    """`fit_transform` equals `fit` and `transform`."""
    data = sample_battles()
    output = seeded(estimator).fit_transform(data.X, data.y)
    assert_equal(output, fit_clone(estimator).transform(data.X))


def check_set_output(estimator):
    """If asked for, dense features come as a DataFrame with the index of X."""
    data, X = sample_battles(), sample_battles().X[::-1]
    if issparse(fit_clone(estimator).transform(X)):
        return
    asked = seeded(estimator).set_output(transform="pandas").fit(data.X, data.y)
    asked_later = fit_clone(estimator).set_output(transform="pandas")
    for model in (asked, asked_later):
        frame, names = model.transform(X), list(model.get_feature_names_out())
        assert frame.index.equals(X.index)
        # A scaler that was fitted on an array has named its columns x0, x1, ... for good.
        if model is asked or not isinstance(model, Pipeline):
            assert frame.columns.tolist() == names


_COMMON = [
    check_init_only_assigns,
    check_clone_and_set_params,
    check_fit_returns_self,
    check_unfitted,
    check_pickle_and_joblib,
    check_one_row,
    check_row_order_and_index,
    check_fit_ignores_the_index,
    check_same_seed_same_result,
    check_input_not_changed,
    check_empty_and_null_text,
    check_other_columns_are_ignored,
    check_bad_input,
    check_bad_labels,
    check_grid_search,
]
_CLASSIFIER = [check_probabilities, check_integer_labels, check_swap_equivariance, check_voting]
_TRANSFORMER = [check_swap_of_transformed, check_names_out, check_fit_transform]
