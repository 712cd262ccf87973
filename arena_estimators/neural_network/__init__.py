"""Classifiers of battles that fine-tune a neural network."""

__all__ = ["BertPairClassifier"]


def __getattr__(name):
    if name != "BertPairClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from arena_estimators.neural_network._bert_pair import BertPairClassifier

    return BertPairClassifier


def __dir__():
    return sorted([*globals(), *__all__])
