"""Classifiers made of classifiers."""

from arena_estimators.ensemble._swap_symmetric import SwapSymmetricClassifier

__all__ = ["SwapSymmetricClassifier"]
