"""Classifiers of battles that fine-tune a neural network."""

from typing import TYPE_CHECKING

from arena_estimators._lazy import attach

if TYPE_CHECKING:
    from arena_estimators.neural_network._bert_pair import BertPairClassifier
    from arena_estimators.neural_network._training_options import TrainingOptions
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {"BertPairClassifier": "_bert_pair", "TrainingOptions": "_training_options"},
    )
