"""What the ensembles check of a member before anything is fitted."""

from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from arena_estimators._files import writable_memory
from arena_estimators._tags import get_battle_tags, takes_sample_weight
from arena_estimators._validation import check_parameters
from arena_estimators.ensemble._members import BattleClassifierMixin, check_classes
from arena_estimators.exceptions import ArenaError, LabelsError


def check_member(estimator, name, classes, *, prefit=False, soft=False, weighted=False):
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
    soft, weighted : bool, default=False
        Whether it will be fitted on soft labels, and with sample weights.

    Raises
    ------
    LabelsError
        If labels are soft and it takes none, or if it is, or holds, a classifier that is fitted
        already and has other classes.
    NotFittedError
        If it should be fitted and is not.
    ArenaError
        If it, or a classifier it is made of, has no `predict_proba`, reads numbers instead of
        battles or would not get the sample weights, or if a part of it has parameters that are not
        valid, contradict each other or cannot work on this machine.
    """
    for one, holder, on_battles in _walk(estimator):
        if holder is None:
            _check_methods(one, name)
        elif isinstance(holder, BattleClassifierMixin | VotingClassifier):
            # Other holders, such as CalibratedClassifierCV, make do with less than predict_proba.
            _check_methods(one, f"{name}: what {type(holder).__name__} holds")
        fits, fitted = _members_of(one)
        for other in fitted:
            if hasattr(other, "classes_"):
                check_classes(other, classes, name)
        if on_battles and not prefit and not fits:
            _check_reads_battles(one, name)
    if prefit:
        _check_prefit(estimator, name)
        check_classes(estimator, classes, name)
        return
    if soft and get_battle_tags(estimator).soft_labels is False:
        raise LabelsError(
            f"{name} ({type(estimator).__name__}) takes labels, not soft labels. Pass one label "
            "per battle, or use a classifier that takes soft labels: DavidsonClassifier, "
            "BertPairClassifier."
        )
    if weighted:
        check_takes_weights(estimator, name)
    for part in _parts(estimator):
        check_parameters(part)
        if isinstance(part, Pipeline):
            writable_memory(part.memory)


def check_takes_weights(estimator, name):
    """Refuse a classifier that takes no sample weights, or does not hand them to what it fits."""
    for one, holder, _ in _walk(estimator):
        kind = type(one).__name__
        if step := resampling_step(one):
            raise ArenaError(
                f"{name} needs sample weights in fit, but its step {step!r} resamples rows, which "
                "the weights would not fit. Leave that step out, and weight battles instead."
            )
        if not takes_sample_weight(one):
            raise ArenaError(
                f"{name} ({kind}) takes no sample_weight in fit; choose a classifier that takes "
                "it, such as LogisticRegression."
            )
        # scikit-learn's meta-estimators hand weights on only where `fit` names them.
        if not (
            holder is None
            or isinstance(holder, Pipeline | BattleClassifierMixin)
            or isinstance(one, FrozenEstimator)
            or has_fit_parameter(one, "sample_weight")
        ):
            outer = type(holder).__name__
            raise ArenaError(
                f"{name} needs sample weights in fit, but holds a {outer} of a {kind}, and {outer} "
                f"hands none to a {kind}. Make {outer} the last step of the Pipeline instead, as "
                f"in make_pipeline(features, {outer}(...)), or choose a classifier that takes them."
            )


def resampling_step(estimator):
    """Name the step of a Pipeline that resamples rows in `fit`, as those of imbalanced-learn do."""
    steps = estimator.steps if isinstance(estimator, Pipeline) else ()
    return next((name for name, step in steps if hasattr(step, "fit_resample")), None)


def _members_of(estimator):
    """List the classifiers that a classifier fits, and those that it uses as they are."""
    if isinstance(estimator, BattleClassifierMixin):
        return estimator._members()
    if isinstance(estimator, FrozenEstimator):
        return [], [estimator]
    if isinstance(estimator, Pipeline):
        members = [estimator.steps[-1][1]]
    else:  # what scikit-learn calls the parameters of its meta-estimators
        pairs = getattr(estimator, "estimators", None) or []
        members = [getattr(estimator, "estimator", None), *(member for _, member in pairs)]
    return [member for member in members if hasattr(member, "fit")], []


def _walk(estimator, holder=None, on_battles=True):
    """Yield a classifier and all it fits, each with what holds it and whether it gets battles."""
    if isinstance(estimator, Pipeline):
        before = (step for _, step in estimator.steps[:-1])
        on_battles = on_battles and all(step in (None, "passthrough") for step in before)
    yield estimator, holder, on_battles
    for member in _members_of(estimator)[0]:
        yield from _walk(member, estimator, on_battles)


def _parts(estimator):
    """Give an estimator and all it is made of, but not what is fitted already."""
    yield estimator
    fitted = _members_of(estimator)[1]
    values = list(estimator.get_params(deep=False).values())
    while values:
        value = values.pop()
        if isinstance(value, list | tuple):
            values += value
        elif hasattr(value, "get_params") and not isinstance(value, type):
            if not any(value is one for one in fitted):
                yield from _parts(value)


def _check_methods(estimator, name):
    for method in ("fit", "predict_proba"):
        if isinstance(estimator, type) or not _will_have(estimator, method):
            shown = " ".join(repr(estimator).split())
            raise ArenaError(
                f"{name} ({shown:.80}) has no {method}. Every member must be a classifier "
                "with predict_proba; wrap one that has only a decision_function in "
                "CalibratedClassifierCV, and give VotingClassifier voting='soft'."
            )


def _will_have(estimator, method):
    """Tell whether a classifier has a method, or gets it in `fit`, as a stack does by default."""
    if isinstance(estimator, StackingClassifier) and estimator.final_estimator is None:
        return True
    passes_on = isinstance(estimator, Pipeline | BaseSearchCV)
    inner = _members_of(estimator)[0] if passes_on else []
    return hasattr(estimator, method) or any(_will_have(one, method) for one in inner)


def _check_prefit(estimator, name):
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        raise NotFittedError(
            f"{name} is not fitted, but prefit=True. If a clone is fitted (as in GridSearchCV), "
            "wrap what is fitted already in FrozenEstimator."
        ) from None


def _check_reads_battles(estimator, name):
    if get_battle_tags(estimator).numeric:
        kind = type(estimator).__name__
        raise ArenaError(
            f"{name} would give battles to a {kind}, which reads numbers. Put a step "
            "that makes them in front, as in make_pipeline(PairStyleFeatures(), "
            f"StandardScaler(with_mean=False), {kind}())."
        )
