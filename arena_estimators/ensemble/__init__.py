"""Classifiers made of classifiers."""

from arena_estimators.ensemble._augmenting import AugmentingClassifier
from arena_estimators.ensemble._blending import BlendingClassifier
from arena_estimators.ensemble._early_stopping import EarlyStoppingClassifier
from arena_estimators.ensemble._soft_labels import DistillingClassifier, soften_labels
from arena_estimators.ensemble._swap_symmetric import SwapSymmetricClassifier

__all__ = [
    "AugmentingClassifier",
    "BlendingClassifier",
    "DistillingClassifier",
    "EarlyStoppingClassifier",
    "SwapSymmetricClassifier",
    "soften_labels",
]
