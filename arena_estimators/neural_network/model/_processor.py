"""Battles as the numbers that a network reads: token sequences and style."""

import dataclasses
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from arena_estimators._encoder._tokenise import Sequences, tokenise


@dataclasses.dataclass(eq=False)
class PairData(Dataset):
    """Battles as numbers.

    Attributes
    ----------
    processor : PairProcessor
        What made them.
    sequences : Sequences
        Each distinct sequence of tokens once.
    rows : ndarray of shape (n_battles, 2)
        The two sequences of each battle.
    odd, even : ndarray of shape (n_battles, n_columns), float32
        Style.
    target : ndarray of shape (n_battles, n_classes) or None
        Soft labels, of battles to learn from.
    weight, prompts : ndarray of shape (n_battles,) or None
        Their weights, and the number of each one's prompt.
    """

    processor: Any
    sequences: Sequences
    rows: np.ndarray
    odd: np.ndarray
    even: np.ndarray
    target: np.ndarray | None = None
    weight: np.ndarray | None = None
    prompts: np.ndarray | None = None

    def __len__(self):
        return len(self.rows)

    def take(self, positions):
        """Give some of the battles; the sequences are shared, not copied."""
        arrays = (self.rows, self.odd, self.even, self.target, self.weight, self.prompts)
        taken = (array if array is None else array[positions] for array in arrays)
        return PairData(self.processor, self.sequences, *taken)

    def lengths(self, packed):
        """Count each battle's tokens: of both sequences if packed, else twice the longer one's."""
        both = self.sequences.lengths[self.rows]
        return both.sum(1) if packed else 2 * both.max(1)


class PairProcessor:
    """Turns battles into PairData, always as it did in `fit`.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizer
    architecture : {"siamese", "cross"}
        Whether a sequence holds one response or both.
    style : StyleInputs or NoStyle
    """

    def __init__(self, tokenizer, architecture, style):
        self.tokenizer, self.architecture, self.style = tokenizer, architecture, style

    def fit_transform(self, X, options):
        """Learn the scale of style from battles; give them, and what was cut of their texts.

        Parameters
        ----------
        X : DataFrame
            Battles, checked.
        options : PredictionOptions

        Returns
        -------
        data : PairData
        truncation_report : DataFrame
        """
        tokenised = self._tokenise(X, options)
        blocks = self.style.fit_transform(X)
        return PairData(self, tokenised.sequences, tokenised.rows, *blocks), tokenised.report

    def transform(self, X, options):
        """Give battles as PairData."""
        tokenised = self._tokenise(X, options)
        return PairData(self, tokenised.sequences, tokenised.rows, *self.style.transform(X))

    def _tokenise(self, X, options):
        return tokenise(
            X,
            self.tokenizer,
            layout=self.architecture,
            max_length=options.max_length,
            prompt_share=options.prompt_share,
            truncation=options.truncation,
            progress=options.progress,
        )
