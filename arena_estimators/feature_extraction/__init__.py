"""Pair transformers: battles in, numbers out."""

from arena_estimators.feature_extraction._pair_style import PairStyleFeatures

__all__ = ["PairStyleFeatures"]
