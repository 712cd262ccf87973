"""Cleaning of battles before features are read from them.

A worker process that only cleans texts starts without importing pandas and scikit-learn.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
