"""Linear models of preference."""

from arena_estimators.linear_model._davidson import DavidsonClassifier

__all__ = ["DavidsonClassifier"]
