"""What the ensembles share: fitting a member, and reading its probabilities by name."""

import inspect

import numpy as np
from sklearn import config_context
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import get_tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from arena_estimators._validation import ReadsBattles, validate_battles
from arena_estimators.battles import CLASSES, check_labels
from arena_estimators.exceptions import ArenaError, LabelsError
from arena_estimators.feature_extraction._cached import writable_memory
from arena_estimators.linear_model import DavidsonClassifier

_LABELS_ONLY = ("sklearn.", "lightgbm.")
# Their **kwargs are for metadata routing alone, which members are fitted without.
_ROUTING_ONLY = (
    FixedThresholdClassifier,
    OneVsRestClassifier,
    RFECV,
    SelfTrainingClassifier,
    TunedThresholdClassifierCV,
)
_KNOWN = (*_LABELS_ONLY, "arena_estimators.")


class BattleClassifierMixin(ReadsBattles, ClassifierMixin, MetaEstimatorMixin):
    """What all classifiers of battles made of others have in common; each defines its `_proba`."""

    def __sklearn_is_fitted__(self):
        return hasattr(self, "classes_")  # set last; a fit that failed leaves other attributes

    def _read(self, X, y, sample_weight):
        """Check what `fit` is given; give classes, labels or soft labels, and weights or None."""
        validate_battles(self, X)
        classes, target = check_labels(y, n_battles=len(X))
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        return classes, classes[target] if target.ndim == 1 else target, sample_weight

    def predict_proba(self, X):
        """Compute the probabilities of the classes.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles, n_classes) of float64
        """
        check_is_fitted(self)
        validate_battles(self, X, reset=False)
        return self._proba(X)

    def predict(self, X):
        """Give the most probable class of each battle.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles,)
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]


def check_member(estimator, name, classes, *, prefit=False, soft=False):
    """Refuse, before anything is fitted, a classifier that could not be fitted or asked to predict.

    Parameters
    ----------
    estimator : estimator
    name : str
        What the error calls it.
    classes : ndarray of shape (n_classes,)
        The labels it will meet.
    prefit : bool, default=False
        Whether it is fitted already: what only a fit needs may be gone.
    soft : bool, default=False
        Whether the labels it will be fitted on are soft.

    Raises
    ------
    LabelsError
        If labels are soft and it does not take such, like the classifiers of scikit-learn and
        LightGBM, or if it is, or holds, a classifier that is fitted already and has other classes.
    NotFittedError
        If it should be fitted and is not.
    ArenaError
        If it, or a classifier it is made of, has no `predict_proba` or reads numbers instead of
        battles, or if a part of it that belongs to this library has settings that contradict each
        other or cannot work on this machine, such as a folder that cannot be written. The cache
        folder of a Pipeline is checked likewise.
    """
    for one, holder, reads_battles in _walk(estimator):
        if holder is None:
            _check_methods(one, name)
            if prefit:
                _check_prefit(one, name)
        elif _is_ours(holder) or getattr(holder, "voting", None) == "soft":
            # Other holders, such as CalibratedClassifierCV, make do with less than predict_proba.
            _check_methods(one, f"{name}: what {type(holder).__name__} holds")
        for fitted in _fitted_in(one):
            if hasattr(fitted, "classes_"):
                check_classes(fitted, classes, name)
        if reads_battles and not prefit:
            _check_reads_battles(one, name)
    if prefit:
        check_classes(estimator, classes, name)
        return
    if soft and takes_soft_labels(estimator) is False:
        raise LabelsError(
            f"{name} is a classifier of scikit-learn or LightGBM, or ends in one, and they take "
            "labels, not soft labels. Pass one label per battle, or use a classifier that takes "
            "soft labels: DavidsonClassifier, BertPairClassifier."
        )
    for part in _parts(estimator):
        if isinstance(part, Pipeline):
            writable_memory(part.memory)
        elif _is_ours(part):
            part._validate_params()
            getattr(part, "_check_settings", lambda: None)()


def _walk(estimator, holder=None, reads_battles=True):
    """Yield a classifier and all it fits, each with what holds it and whether it gets battles."""
    if isinstance(estimator, Pipeline):
        before = (step for _, step in estimator.steps[:-1])
        reads_battles = reads_battles and all(step in (None, "passthrough") for step in before)
    yield estimator, holder, reads_battles
    for held in _held_by(estimator):
        yield from _walk(held, estimator, reads_battles)


def _check_methods(estimator, name):
    for method in ("fit", "predict_proba"):
        if isinstance(estimator, type) or not (
            hasattr(estimator, method) or _ends_in_a_default_stack(estimator)
        ):
            shown = " ".join(repr(estimator).split())
            raise ArenaError(
                f"{name} ({shown:.80}) has no {method}. Every member must be a classifier "
                "with predict_proba; wrap one that has only a decision_function in "
                "CalibratedClassifierCV, and give VotingClassifier voting='soft'."
            )


def _check_prefit(estimator, name):
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        raise NotFittedError(
            f"{name} is not fitted, but prefit=True. If a clone is fitted (as in GridSearchCV), "
            "wrap what is fitted already in FrozenEstimator."
        ) from None


def _ends_in_a_default_stack(estimator):
    """Tell whether `fit` will give it `predict_proba`, by the default of a stack it ends in."""
    if isinstance(estimator, StackingClassifier):
        return estimator.final_estimator is None
    passes_on = isinstance(estimator, Pipeline | BaseSearchCV)
    return passes_on and any(map(_ends_in_a_default_stack, _held_by(estimator)))


def _check_reads_battles(estimator, name):
    kind = type(estimator)
    known = kind.__module__.startswith(_KNOWN)  # else nobody can know what it reads
    if not known or isinstance(estimator, FrozenEstimator) or _held_by(estimator):
        return
    tags = get_tags(estimator)
    if not (tags.input_tags.string or tags.no_validation):
        settings = "'auto', tie_alpha='auto'" if kind is DavidsonClassifier else ""
        raise ArenaError(
            f"{name} would give battles to a {kind.__name__}, which reads numbers. Put a step "
            "that makes them in front, as in make_pipeline(PairStyleFeatures(), "
            f"StandardScaler(with_mean=False), {kind.__name__}({settings}))."
        )


def _parts(estimator):
    """Give an estimator and all it is made of, but not what is fitted already."""
    yield estimator
    if isinstance(estimator, FrozenEstimator):
        return
    fitted = _fitted_in(estimator)
    values = list(estimator.get_params(deep=False).values())
    while values:
        value = values.pop()
        if isinstance(value, list | tuple):
            values += value
        elif hasattr(value, "get_params") and not isinstance(value, type):
            if not any(value is one for one in fitted):
                yield from _parts(value)


def _fitted_in(estimator):
    """List the classifiers whose predictions a classifier uses without fitting them."""
    if isinstance(estimator, FrozenEstimator):
        return [estimator]
    if not (_is_ours(estimator) and getattr(estimator, "prefit", False)):
        return []
    members = [member for _, member in getattr(estimator, "estimators", [])]
    return [*members, getattr(estimator, "teacher", None)]


def _is_ours(estimator):
    return any(kind.__module__.startswith("arena_estimators.") for kind in type(estimator).__mro__)


def _held_by(estimator):
    """List the classifiers that a classifier fits itself: none if it is frozen, no prefit ones."""
    if isinstance(estimator, FrozenEstimator):
        return []
    if isinstance(estimator, Pipeline):
        held = [estimator.steps[-1][1]]
    else:
        prefit = getattr(estimator, "prefit", False)
        names = ("estimator", "student") if prefit else ("estimator", "student", "teacher")
        held = [getattr(estimator, name, None) for name in names]
        members = [] if prefit else getattr(estimator, "estimators", None)
        if isinstance(members, list):
            held += [item[-1] for item in members if isinstance(item, list | tuple)]
    held = [one for one in held if not (one is None or isinstance(one, str))]
    return held if _is_ours(estimator) else [one for one in held if hasattr(one, "fit")]


def weight_name(estimator, name):
    """Find the argument of `fit` that takes sample weights: of a Pipeline, its last step's.

    Parameters
    ----------
    estimator : estimator
    name : str
        What the error calls it.

    Returns
    -------
    str

    Raises
    ------
    ArenaError
        If there is no such argument, if the weights would not reach a classifier it is made of, or
        if a step resamples rows, which the weights would not fit.
    """
    for one, holder, _ in _walk(estimator):
        if step := resampling_step(one):
            raise ArenaError(
                f"{name} needs sample weights in fit, but its step {step!r} resamples rows, which "
                "the weights would not fit. Leave that step out, and weight battles instead."
            )
        if not (isinstance(one, Pipeline) or _takes_weights(one, by_name=False)):
            raise ArenaError(
                f"{name} ({type(one).__name__}) takes no sample_weight in fit; choose a classifier "
                "that takes it, such as LogisticRegression."
            )
        hands_on = holder is None or isinstance(holder, Pipeline) or _is_ours(holder)
        if not (hands_on or _takes_weights(one, by_name=True)):
            outer, inner = type(holder).__name__, type(one).__name__
            raise ArenaError(
                f"{name} needs sample weights in fit, but holds a {outer} of a {inner}, and "
                f"{outer} hands none to a {inner}. Make {outer} the last step of the Pipeline "
                f"instead, as in make_pipeline(features, {outer}(...)), or choose a "
                "classifier that takes them."
            )
    prefix = ""
    while isinstance(estimator, Pipeline):
        step, estimator = estimator.steps[-1]
        prefix += f"{step}__"
    return f"{prefix}sample_weight"


def resampling_step(estimator):
    """Name the step of a Pipeline that resamples rows in `fit`, as those of imbalanced-learn do."""
    steps = estimator.steps if isinstance(estimator, Pipeline) else ()
    return next((name for name, step in steps if hasattr(step, "fit_resample")), None)


def _takes_weights(estimator, *, by_name):
    if isinstance(estimator, FrozenEstimator):
        return True  # it is not fitted again
    parameters = inspect.signature(estimator.fit).parameters.values()
    by_name = by_name or isinstance(estimator, _ROUTING_ONLY)
    return any(
        p.name == "sample_weight" or (p.kind is p.VAR_KEYWORD and not by_name) for p in parameters
    )


def fit_member(estimator, X, y, weight=None):
    """Fit a clone of an estimator, with sample weights if there are any.

    They go to the last step of a Pipeline as `step__sample_weight`, which metadata routing refuses.
    """
    member = clone(estimator)
    if weight is None:
        member.fit(X, y)
    else:
        with config_context(enable_metadata_routing=False):
            member.fit(X, y, **{weight_name(estimator, "estimator"): weight})
    return member  # not what `fit` returned, which may be None from a user's own classifier


def takes_soft_labels(estimator):
    """Say whether a classifier takes soft labels; None where that cannot be known.

    Those of this library do, those of scikit-learn and LightGBM do not. For a Pipeline, its last
    step decides; for a wrapper or a blend, whatever it fits on the labels it is given.
    """
    if isinstance(estimator, FrozenEstimator | BaseSearchCV):
        return None  # the first is not fitted; for the second, it depends on its scorer
    if not (_is_ours(estimator) or isinstance(estimator, Pipeline)):
        return False if type(estimator).__module__.startswith(_LABELS_ONLY) else None
    held = _held_by(estimator)
    if hasattr(estimator, "student"):
        # Only the teacher is fitted on the labels as given; the student gets a form that it takes.
        held = [held[-1]] if held and not estimator.prefit else []
    answers = [takes_soft_labels(one) for one in held]
    if False in answers:
        return False
    return None if None in answers else True


def check_classes(estimator, classes, name):
    """Find the columns of a fitted classifier's probabilities that belong to `classes`.

    The integers 0, 1 and 2 are the same as the names model_a, model_b and tie.

    Raises
    ------
    LabelsError
        If it has other classes.
    ArenaError
        If it has no `classes_`.
    """
    if not hasattr(estimator, "classes_"):
        raise ArenaError(f"{name} ({type(estimator).__name__}) has no classes_ after its fit.")
    found, expected = _names(estimator.classes_), _names(classes)
    if len(found) != len(expected) or set(found) != set(expected):
        raise LabelsError(
            f"{name} ({type(estimator).__name__}) has the classes {found}; expected {expected}, "
            "those of y. Fit it on labels of the same task."
        )
    return [found.index(label) for label in expected]


def proba_of(estimator, X, classes, name):
    """Predict probabilities as float64 rows that sum to one, columns in the order of `classes`."""
    order = check_classes(estimator, classes, name)
    proba = np.asarray(estimator.predict_proba(X), np.float64)
    if proba.shape != (len(X), len(order)):
        raise ArenaError(
            f"{name} ({type(estimator).__name__}) predicts probabilities of the shape "
            f"{proba.shape}; expected {(len(X), len(order))}, a column for each of its classes_."
        )
    proba = np.ascontiguousarray(proba[:, order])
    if not (np.isfinite(proba).all() and (proba >= 0).all() and (proba.sum(axis=1) > 0).all()):
        raise ArenaError(f"{name} ({type(estimator).__name__}) predicts what is no probability.")
    return proba / proba.sum(axis=1, keepdims=True)


def _names(classes):
    return [
        label if isinstance(label, str) else CLASSES[int(label)] if label in (0, 1, 2) else label
        for label in np.asarray(classes).tolist()
    ]
