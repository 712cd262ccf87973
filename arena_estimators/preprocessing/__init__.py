"""Cleaning of battles before features are read from them."""

from arena_estimators.preprocessing._nltk_cleaner import NLTKCleaner

__all__ = ["NLTKCleaner"]
