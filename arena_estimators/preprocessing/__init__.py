"""Cleaning of battles before features are read from them.

A worker process that only cleans texts starts without importing pandas and scikit-learn.
"""

from typing import TYPE_CHECKING

from arena_estimators._lazy import attach

if TYPE_CHECKING:
    from arena_estimators.preprocessing._nltk_cleaner import NLTKCleaner
else:
    __getattr__, __dir__, __all__ = attach(__name__, {"NLTKCleaner": "_nltk_cleaner"})
