"""Classifiers of battles that fine-tune a neural network."""

from arena_estimators._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"BertPairClassifier": "_bert_pair"})
