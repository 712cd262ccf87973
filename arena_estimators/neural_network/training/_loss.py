"""The loss of a network of battles, and where its heads start."""

import numpy as np
import torch
from torch import nn


def smoothed(target, label_smoothing):
    """Move a share of soft labels, an array or a tensor, to all classes alike."""
    return target * (1 - label_smoothing) + label_smoothing / target.shape[1]


class PairLoss(nn.Module):
    """Cross-entropy against soft labels: weighted sum over battles, mean over the other axes.

    It is divided by `total`: the number of battles of the whole optimizer step, of which a batch
    may be a part, times the mean weight over all steps. So the losses of steps, each summed over
    its parts, average (by their numbers of battles) to the weighted mean over all battles.
    """

    def __init__(self, label_smoothing=0.0):
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits, truth):
        """Give the loss; `truth` holds `target`, `weight` and the float `total`."""
        target = truth["target"]
        if self.training:
            target = smoothed(target, self.label_smoothing)
        losses = -(torch.log_softmax(logits.float(), -1) * target).sum(-1).flatten(0, -2).mean(0)
        return (losses * truth["weight"]).sum() / truth["total"]


def init_tie_bias(heads, target, weight):
    """Let new heads start by predicting the class shares, equal ones for a and b.

    Parameters
    ----------
    heads : PairHeads
    target : ndarray of shape (n_battles, n_classes)
    weight : ndarray of shape (n_battles,)
    """
    if target.shape[1] == 3:
        a, b, tie = np.average(target, axis=0, weights=weight).clip(1e-3)
        with torch.no_grad():
            for head in filter(None, (heads.text, heads.both)):
                head.tie_bias[-1] = float(np.log(2 * tie / (a + b)))
