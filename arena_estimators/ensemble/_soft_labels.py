"""Distillation: a teacher's probabilities, mixed with the votes, become the labels of a student."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import _check_sample_weight

from arena_estimators._frames import stack
from arena_estimators._probability import tempered
from arena_estimators._tags import get_battle_tags
from arena_estimators._validation import HasMethods, Interval, fit_context, validate_params
from arena_estimators.battles import (
    COLUMNS,
    GROUP,
    check_battles,
    check_labels,
    swap_proba,
    turns_of,
)
from arena_estimators.ensemble._checks import check_member, check_takes_weights
from arena_estimators.ensemble._folds import fit_and_predict_out_of_fold, make_splits
from arena_estimators.ensemble._members import (
    BattleClassifierMixin,
    check_classes,
    fit_member,
    proba_of,
)
from arena_estimators.exceptions import BattlesError, LabelsError
from arena_estimators.model_selection import prompt_groups


@validate_params(
    {
        "hard_weight": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def soften_labels(
    X: pd.DataFrame,
    y: ArrayLike,
    proba: ArrayLike,
    *,
    hard_weight: float = 0.5,
    temperature: float = 1.0,
    sample_weight: ArrayLike | None = None,
) -> np.ndarray:
    """Mix votes with a teacher's probabilities, and average over battles that occur repeatedly.

    Parameters
    ----------
    X : DataFrame of shape (n_battles, n_columns)
        Battles. Those with the same prompt and responses, in either order, get the mean of their
        labels.
    y : array-like of shape (n_battles,) or (n_battles, n_classes), or None
        Labels, or soft labels; None for battles nobody voted on.
    proba : array-like or DataFrame of shape (n_battles, n_classes)
        The teacher's probabilities, columns in the order of the sorted classes or named by them.
    hard_weight : float, default=0.5
        The share of `y` in the mixture, from 0 to 1. Without `y` it is 0.
    temperature : float, default=1.0
        The teacher's log probabilities are divided by it; above 1, the teacher is less sure.
    sample_weight : array-like of shape (n_battles,), optional
        How much each battle counts in the mean of those that occur repeatedly.

    Returns
    -------
    ndarray of shape (n_battles, n_classes)
        Soft labels, which the classifiers of this library take as `y`.

    Raises
    ------
    BattlesError, LabelsError
        If battles, labels or probabilities break the data contract or differ in their classes.

    See Also
    --------
    DistillingClassifier : Does this inside `fit`, with out-of-fold probabilities.

    Examples
    --------
    >>> import pandas as pd
    >>> from arena_estimators import soften_labels
    >>> X = pd.DataFrame({"prompt": ["Hi", "Hi"], "response_a": ["Yes", "No"],
    ...                   "response_b": ["No", "Yes"]})
    >>> teacher = [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2]]
    >>> soften_labels(X, None, teacher)
    array([[0.6, 0.2, 0.2],
           [0.2, 0.6, 0.2]])
    >>> soften_labels(X, [[1, 0, 0], [1, 0, 0]], teacher, hard_weight=0.5)
    array([[0.55, 0.35, 0.1 ],
           [0.35, 0.55, 0.1 ]])
    """
    check_battles(X)
    soft = given = _as_soft_labels(proba, len(X))
    if temperature != 1:
        soft = tempered(given, temperature)
    if y is not None:
        classes, target = check_labels(y, n_battles=len(X))
        if len(classes) != given.shape[1]:
            raise LabelsError(
                f"y has the classes {classes.tolist()}, but proba has {given.shape[1]} columns."
            )
        hard = np.eye(len(classes))[target] if target.ndim == 1 else target
        soft = hard_weight * hard + (1 - hard_weight) * soft
    weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
    return _average_repeated(X, soft, weight)


class DistillingClassifier(BattleClassifierMixin, BaseEstimator):
    """Train a student on a teacher's probabilities mixed with the votes.

    Each battle of `X` is labelled by a teacher that was fitted without the battles of its prompt,
    those of `X_unlabelled` by one that was fitted on all of `X`. With the student as its own
    teacher (the default) this is self-distillation. It helps a student that fits the votes too
    closely, but not one whose penalty is right (`docs/estimators.rst` has figures). A student that
    takes no soft labels is fitted on one weighted row for each class, and so are its transformers:
    whatever they count, as for `min_df`, is counted up to three times.

    Parameters
    ----------
    student : estimator
        A classifier that takes a DataFrame of battles and has `predict_proba`.
    teacher : estimator, optional
        Another classifier, often a larger one or a blend; None means the student itself.
    hard_weight : float, default=0.5
        The share of the votes in the labels of the student, from 0 to 1.
    temperature : float, default=1.0
        The teacher's log probabilities are divided by it; above 1, the teacher is less sure.
    cv : int, splitter, iterable or None, default=None
        The folds of the teacher: a number means that many folds of PromptGroupKFold, and None
        means five. Not used with `prefit=True`.
    prefit : bool, default=False
        Whether the teacher is fitted already, on battles other than those passed to `fit`.
    n_jobs : int, optional
        The number of teachers that are fitted at a time; None means one.
    verbose : bool, default=False
        Whether to show the progress of the teachers.

    Attributes
    ----------
    student_ : estimator
        The fitted student.
    teacher_ : estimator
        The teacher fitted on all labelled battles (set only if it labelled others), or the prefit
        one.
    soft_labels_ : ndarray of shape (n_battles, n_classes)
        What the student was fitted on: the labelled battles, then the others.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    n_features_in_ : int
        The number of text columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names.

    Raises
    ------
    BattlesError, LabelsError
        If `X` or `y` break the data contract, the teacher has other classes than `y` or cannot take
        its soft labels, or the training part of a fold lacks a class.
    ArenaError
        If the student takes neither soft labels nor sample weights, if there are sample weights and
        student or teacher takes none, if student or teacher holds a classifier without
        `predict_proba` or reads numbers, or if `cv` does not test each battle once.
    NotFittedError
        If `prefit=True` and the teacher is not fitted.

    See Also
    --------
    soften_labels : The labels alone, from any teacher's probabilities.

    References
    ----------
    .. [1] G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network",
       arXiv:1503.02531, 2015.
    .. [2] T. Furlanello et al., "Born-again neural networks", ICML 2018.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from arena_estimators import (
    ...     DavidsonClassifier, DistillingClassifier, PairStyleFeatures, make_battles)
    >>> data = make_battles(200, random_state=0)
    >>> student = make_pipeline(PairStyleFeatures(), DavidsonClassifier(alpha=1e-2))
    >>> model = DistillingClassifier(student).fit(data.X[:100], data.y[:100])
    >>> model.fit(data.X[:100], data.y[:100], X_unlabelled=data.X[100:]).soft_labels_.shape[1]
    3
    """

    _parameter_constraints = {
        "student": [HasMethods("fit")],
        "teacher": [None, HasMethods("fit")],
        "hard_weight": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "cv": ["cv_object"],
        "prefit": ["boolean"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        student,
        teacher=None,
        *,
        hard_weight=0.5,
        temperature=1.0,
        cv=None,
        prefit=False,
        n_jobs=None,
        verbose=False,
    ):
        self.student = student
        self.teacher = teacher
        self.hard_weight = hard_weight
        self.temperature = temperature
        self.cv = cv
        self.prefit = prefit
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, X_unlabelled=None):
        """Fit the teacher, unless it is fitted, and the student.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,) or (n_battles, n_classes)
            Labels, or soft labels if the teacher takes them.
        sample_weight : array-like of shape (n_battles,), optional
            Weights of these battles, for teacher and student.
        X_unlabelled : DataFrame of shape (n_others, n_columns), optional
            Battles nobody voted on, which the teacher labels. Those that are in `X` too, in
            either order, are left out. Each counts as one battle. In a scikit-learn search, pass
            more or fewer rows than `X` has: if there are as many, its folds split them like `X`.

        Returns
        -------
        self
        """
        classes, y, sample_weight = self._read(X, y, sample_weight)
        soft, weighted = y.ndim == 2, sample_weight is not None
        # Without a teacher the student is its own teacher, and as such is fitted on `y` as it is.
        own_teacher = soft and self.teacher is None
        check_member(self.student, "The student", classes, soft=own_teacher, weighted=weighted)
        if self.teacher is not None:
            options = {"prefit": self.prefit, "soft": soft, "weighted": weighted}
            check_member(self.teacher, "The teacher", classes, **options)
        elif self.prefit:
            raise NotFittedError("prefit=True, but the teacher is None, which is not fitted.")
        if X_unlabelled is not None:
            check_battles(X_unlabelled, name="X_unlabelled")
            others = X_unlabelled.columns.difference(COLUMNS, sort=False)
            X_unlabelled = X_unlabelled[[*self.feature_names_in_, *others]]
            X_unlabelled = X_unlabelled[~_are_among(X_unlabelled, X)]
            _check_groups(X, X_unlabelled)
        if not get_battle_tags(self.student).soft_labels:
            check_takes_weights(self.student, "The student, which takes no soft labels,")
        refit = X_unlabelled is not None
        proba, teacher = self._ask_teacher(X, y, sample_weight, classes, refit=refit)
        options = {"hard_weight": self.hard_weight, "temperature": self.temperature}
        soft = soften_labels(X, y, proba, sample_weight=sample_weight, **options)
        if X_unlabelled is not None and len(X_unlabelled):
            proba = proba_of(teacher, X_unlabelled, classes, "The teacher")
            soft = np.concatenate([soft, soften_labels(X_unlabelled, None, proba, **options)])
            X = stack(X, X_unlabelled)
            if sample_weight is not None:
                sample_weight = np.concatenate([sample_weight, np.ones(len(X_unlabelled))])
        student = _fit_student(self.student, X, soft, sample_weight, classes)
        check_classes(student, classes, "The student")
        # All at once: a fit that fails must not leave a new teacher with an old student.
        vars(self).pop("teacher_", None)
        if teacher is not None:
            self.teacher_ = teacher
        self.student_, self.soft_labels_, self.classes_ = student, soft, classes
        return self

    def _members(self):
        teacher = [] if self.teacher is None else [self.teacher]
        return ([self.student], teacher) if self.prefit else ([self.student, *teacher], [])

    def _members_fitted_on_y(self):
        # The student gets a form of soft labels that it takes.
        return [] if self.prefit else [self.student if self.teacher is None else self.teacher]

    def _proba(self, X):
        return proba_of(self.student_, X, self.classes_, "The student")

    def _ask_teacher(self, X, y, sample_weight, classes, *, refit):
        """Return what teachers that had not seen the battles predict, and a fitted one or None."""
        if self.prefit:
            return proba_of(self.teacher, X, classes, "The teacher"), self.teacher
        teacher = self.student if self.teacher is None else self.teacher
        splits = make_splits(self.cv, X, y)
        proba, fitted = fit_and_predict_out_of_fold(
            [("The teacher", teacher)],
            X,
            y,
            sample_weight,
            splits,
            classes,
            refit=refit,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        return proba[0], fitted[0] if refit else None


def _check_groups(X, X_unlabelled):
    if (GROUP in X) != (GROUP in X_unlabelled):
        raise BattlesError(
            f"Only one of X and X_unlabelled has a column {GROUP!r}; give it to both or to none."
        )
    if GROUP in X:
        prompt_groups(pd.concat([X, X_unlabelled]))


def _fit_student(student, X, soft, weight, classes):
    if get_battle_tags(student).soft_labels:
        return fit_member(student, X, soft, weight)
    rows, columns = np.nonzero(soft)
    counts = soft[rows, columns] * (1 if weight is None else weight[rows])
    return fit_member(student, X.iloc[rows], classes[columns], counts)


def _as_soft_labels(proba, n_battles):
    shape = np.shape(proba)
    if len(shape) != 2 or shape[0] != n_battles:
        raise LabelsError(
            "proba must have one row a battle and one column a class, but has the shape "
            f"{shape} for {n_battles} battles."
        )
    return check_labels(proba)[1]


def _keys(X):
    """Return keys that are equal for both orders of a battle, and which battles are unsorted."""
    prompts, first, second = (
        [tuple(turn or "" for turn in turns_of(cell)) for cell in X[column]] for column in COLUMNS
    )
    keys = [(p, *sorted(pair)) for p, *pair in zip(prompts, first, second, strict=True)]
    return keys, np.array([a > b for a, b in zip(first, second, strict=True)], dtype=bool)


def _average_repeated(X, soft, weight):
    keys, exchanged = _keys(X)
    soft = np.where(exchanged[:, None], swap_proba(soft), soft)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    group = np.array([numbers[key] for key in keys], dtype=np.intp)
    total = np.bincount(group, weight, minlength=len(numbers))
    weight = np.where(total[group] > 0, weight, 1.0)
    total = np.bincount(group, weight, minlength=len(numbers))
    sums = np.zeros((len(numbers), soft.shape[1]))
    np.add.at(sums, group, weight[:, None] * soft)
    soft = (sums / total[:, None])[group]
    return np.where(exchanged[:, None], swap_proba(soft), soft)


def _are_among(X, others):
    known = set(_keys(others)[0])
    return np.array([key in known for key in _keys(X)[0]], dtype=bool)
