"""Cleaning of battles before features are read from them.

`NLTKCleaner` is imported when it is first used, so that a process that only cleans for another one
starts without pandas and scikit-learn.
"""

__all__ = ["NLTKCleaner"]


def __getattr__(name):
    if name != "NLTKCleaner":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from arena_estimators.preprocessing._nltk_cleaner import NLTKCleaner

    return NLTKCleaner


def __dir__():
    return sorted([*globals(), *__all__])
