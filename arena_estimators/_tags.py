"""What an estimator can do: tags of this library, beside scikit-learn's own."""

from dataclasses import dataclass, fields, replace

from sklearn import utils
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

# Other libraries' classes cannot declare these tags. This says what holds for them: first for
# meta-estimators, whose `fit` hands on sample weights without naming them; then for all others.
_FOREIGN_CLASSES = {
    FrozenEstimator: {"soft_labels": True, "sample_weight": True},  # its `fit` does nothing
    Pipeline: {"sample_weight": True},
    VotingClassifier: {"soft_labels": False, "sample_weight": True},
    StackingClassifier: {"soft_labels": False, "sample_weight": True},
    BaseSearchCV: {"sample_weight": True},  # whether soft labels work depends on its scorer
}
_FOREIGN_PACKAGES = {
    "sklearn": {"soft_labels": False, "numeric": True},
    "lightgbm": {"soft_labels": False, "numeric": True},
}


@dataclass(slots=True)
class BattleTags(utils.Tags):
    """scikit-learn's tags and those of this library, which `declare_tags` describes."""

    soft_labels: bool | None = None
    sample_weight: bool | None = None
    numeric: bool = False


def declare_tags(
    tags: utils.Tags,
    *,
    soft_labels: bool | None = None,
    sample_weight: bool | None = None,
    numeric: bool | None = None,
) -> BattleTags:
    """Declare, in `__sklearn_tags__`, what a classifier can do that scikit-learn has no tag for.

    Parameters
    ----------
    tags : :class:`sklearn.utils.Tags`
        What `super().__sklearn_tags__()` returns.
    soft_labels : bool, optional
        Whether `fit` takes an array of probabilities of shape (n_battles, n_classes) as `y`. If
        this is not declared, ensembles that are given soft labels hand them on, but
        :class:`DistillingClassifier` makes weighted rows of them.
    sample_weight : bool, optional
        Whether `fit` takes sample weights. If this is not declared, it does where one of its
        arguments has that name.
    numeric : bool, optional
        Whether `fit` takes numbers and not battles, so that a step before it must make features.
        If this is not declared, it does not.

    Returns
    -------
    BattleTags
        Tags of scikit-learn with these three.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator, ClassifierMixin
    >>> from sklearn.utils import get_tags
    >>> from arena_estimators import declare_tags
    >>> class MeanClassifier(ClassifierMixin, BaseEstimator):
    ...     def fit(self, X, y):
    ...         self.classes_, self.mean_ = np.array(["model_a", "model_b", "tie"]), y.mean(axis=0)
    ...         return self
    ...
    ...     def predict_proba(self, X):
    ...         return np.tile(self.mean_, (len(X), 1))
    ...
    ...     def __sklearn_tags__(self):
    ...         return declare_tags(super().__sklearn_tags__(), soft_labels=True)
    >>> get_tags(MeanClassifier()).soft_labels
    True
    """
    if not isinstance(tags, BattleTags):
        tags = BattleTags(**{field.name: getattr(tags, field.name) for field in fields(utils.Tags)})
    declared = {"soft_labels": soft_labels, "sample_weight": sample_weight, "numeric": numeric}
    return replace(tags, **{name: value for name, value in declared.items() if value is not None})


def get_battle_tags(estimator):
    """Give an estimator's tags with those of this library, also where it cannot declare them.

    Parameters
    ----------
    estimator : object
        An estimator, or whatever a user passed for one: that has no tags.

    Returns
    -------
    BattleTags
    """
    if isinstance(estimator, type) or not hasattr(estimator, "__sklearn_tags__"):
        return BattleTags(estimator_type=None, target_tags=utils.TargetTags(required=False))
    tags = utils.get_tags(estimator)
    if isinstance(tags, BattleTags):
        return tags
    for kind, declared in _FOREIGN_CLASSES.items():
        if isinstance(estimator, kind):
            tags = declare_tags(tags, **declared)
            if kind is Pipeline and estimator.steps:
                tags.soft_labels = get_battle_tags(estimator.steps[-1][1]).soft_labels
            return tags
    declared = _FOREIGN_PACKAGES.get(type(estimator).__module__.partition(".")[0], {})
    tags = declare_tags(tags, **declared)
    tags.numeric &= not tags.no_validation  # such as DummyClassifier, which looks at no features
    return tags


def takes_sample_weight(estimator):
    """Say whether an estimator's `fit` takes sample weights."""
    declared = get_battle_tags(estimator).sample_weight
    return has_fit_parameter(estimator, "sample_weight") if declared is None else declared


def all_of(values):
    """Tell whether all are True; None if some are None, which means unknown, and none is False."""
    values = list(values)
    return False if False in values else None if None in values else True
