"""Classifiers made of classifiers."""

from arena_estimators.ensemble._blending import BlendingClassifier
from arena_estimators.ensemble._swap_symmetric import SwapSymmetricClassifier

__all__ = ["BlendingClassifier", "SwapSymmetricClassifier"]
