"""What tests of BertPairClassifier share."""

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupShuffleSplit
from skorch.callbacks import Callback

from arena_estimators import BertPairClassifier, TrainingOptions, prompt_groups

GOOD = "clear helpful correct detailed kind".split()
BAD = "wrong rude vague lazy broken".split()


def word_battles(n_battles, *, seed=0, longest=20):
    """Write battles won by the response more likely to use good words; close calls are ties."""
    rng = np.random.default_rng(seed)
    quality = rng.random((n_battles, 2))

    def write(share):
        n_words = rng.integers(4, longest)
        return " ".join(rng.choice(GOOD if rng.random() < share else BAD) for _ in range(n_words))

    X = pd.DataFrame(
        {
            "prompt": [f"question {number // 2}" for number in range(n_battles)],
            "response_a": [write(share) for share in quality[:, 0]],
            "response_b": [write(share) for share in quality[:, 1]],
        }
    )
    gap = quality[:, 0] - quality[:, 1]
    return X, np.where(gap > 0.2, "model_a", np.where(gap < -0.2, "model_b", "tie"))


def bert_pair(*encoder, **parameters):
    """Make a classifier; options of the training are given beside its other parameters."""
    options = TrainingOptions().get_params()
    return BertPairClassifier(*encoder).set_params(
        **{
            f"training__{name}" if name in options else name: parameters[name]
            for name in parameters
        }
    )


class NoDropout(Callback):
    """Switch dropout off, to compare fits that differ only in how their batches are computed."""

    def on_train_begin(self, net, **kwargs):
        for part in net.module_.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0


def split_of(model, X):
    """Give the positions of the battles that a fit with an integer seed learns from and holds out.

    That is, where the first split leaves every class in training.
    """
    seed = np.random.RandomState(model.random_state).randint(np.iinfo(np.int32).max)
    splitter = GroupShuffleSplit(10, test_size=model.validation_fraction, random_state=seed)
    return next(splitter.split(X, groups=prompt_groups(X)))
