"""The style of battles: two standardised blocks of columns, and what they tell by themselves."""

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from arena_estimators.feature_extraction import PairStyleFeatures
from arena_estimators.feature_extraction._pair_style import BLOCKS, ODD
from arena_estimators.linear_model import DavidsonClassifier
from arena_estimators.neural_network._heads import PairLoss, smoothed
from arena_estimators.neural_network._optimizer import decay_of, rate_at

_LARGEST = 2.5  # measures of style have long tails
_EPOCHS, _BATCH, _MOST_STEPS = 3, 16, 350  # of `learn_style`; the steps are an epoch's


class StyleInputs:
    """PairStyleFeatures, scaled for a network without breaking their symmetry.

    Odd columns are divided by their root mean square and never shifted; symmetric ones are
    standardised. Both are clipped at +-2.5.
    """

    def fit_transform(self, X):
        """Learn the scales from battles and give (odd, even), each float32 of len(X) rows."""
        features = PairStyleFeatures(blocks=BLOCKS)
        self.features_ = features.set_output(transform="default")  # whatever the global setting
        columns = self.features_.fit_transform(X).astype(np.float64)
        names = self.features_.get_feature_names_out()
        self.n_odd_ = sum(name.split("__")[0] in ODD for name in names)
        even = columns[:, self.n_odd_ :]
        self.shift_ = np.r_[np.zeros(self.n_odd_), even.mean(0)]
        spread = np.sqrt(np.mean((columns - self.shift_) ** 2, axis=0))
        self.scale_ = np.where(spread > 1e-6, spread, 1.0)
        return self._scale(columns)

    def transform(self, X):
        """Give (odd, even) of battles."""
        return self._scale(self.features_.transform(X))

    def _scale(self, columns):
        scaled = ((columns - self.shift_) / self.scale_).clip(-_LARGEST, _LARGEST)
        scaled = scaled.astype(np.float32)
        return scaled[:, : self.n_odd_], scaled[:, self.n_odd_ :]


class NoStyle:
    """Stands in for StyleInputs where no style features are wanted."""

    def fit_transform(self, X):
        """Give two blocks without columns."""
        return self.transform(X)

    def transform(self, X):
        """Give two blocks without columns."""
        return np.zeros((len(X), 0), np.float32), np.zeros((len(X), 0), np.float32)


def learn_style(heads, data, settings):
    """Train the style heads on style alone, before the text is learnt.

    They start from a Davidson model, for which few battles suffice, and learn what it misses in
    several epochs, which cost next to nothing. Then they are frozen: trained on together with the
    text, they would learn the style of few battles by heart.

    Parameters
    ----------
    heads : StyleHeads
        On the CPU.
    data : PairData
        The battles to train on.
    settings : BertPairClassifier
        Whose parameters are read.
    """
    n_battles, p = len(data), settings
    target = smoothed(data.target, p.label_smoothing)
    weight = data.weight / data.weight.mean()
    davidson = DavidsonClassifier("auto", tie_alpha="auto")
    heads.start_from(davidson.fit(data.odd, target, weight))
    size = max(_BATCH, -(-n_battles // _MOST_STEPS))
    columns = [torch.from_numpy(array) for array in (data.odd, data.even)]
    truth = {"target": torch.from_numpy(target).float(), "weight": torch.from_numpy(weight).float()}
    loss_of = PairLoss()
    groups = [
        {"params": [part], "weight_decay": decay_of(part, p.weight_decay)}
        for part in heads.parameters()
    ]
    optimizer = AdamW(groups, fused=True)
    steps = [rows for _ in range(_EPOCHS) for rows in torch.randperm(n_battles).split(size)]
    heads.train()
    for step, rows in enumerate(steps):
        factor = rate_at(step, len(steps), warmup=p.warmup, schedule=p.schedule)
        for group in optimizer.param_groups:
            group["lr"] = p.head_learning_rate * factor
        logits = heads(*(column[rows] for column in columns))
        known = {name: values[rows] for name, values in truth.items()}
        loss = loss_of(logits.unsqueeze(0), known | {"total": len(rows)})
        optimizer.zero_grad()
        loss.backward()
        if p.max_grad_norm is not None:
            clip_grad_norm_(heads.parameters(), p.max_grad_norm)
        optimizer.step()
    heads.requires_grad_(False).eval()


def style_logits(heads, data):
    """Give what the style alone says of battles, of shape (1, n_battles, n_classes)."""
    with torch.inference_mode():
        return heads(torch.from_numpy(data.odd), torch.from_numpy(data.even)).numpy()[None]
