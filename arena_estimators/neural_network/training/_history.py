"""What a training leaves behind beside the network."""

import dataclasses

import numpy as np
import pandas as pd


@dataclasses.dataclass
class TrainingHistory:
    """How a training went.

    Attributes
    ----------
    epochs : DataFrame
        One row per epoch: `epoch`, `train_loss`, `valid_loss` and `seconds`.
    loss_curve : ndarray of shape (n_steps,)
        The loss of each optimizer step.
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    epochs: pd.DataFrame
    loss_curve: np.ndarray
    interrupted: bool


def read_history(net):
    """Read the TrainingHistory of a net of skorch."""
    columns = ["epoch", "train_loss", "valid_loss", "dur"]
    whole = [row for row in net.history if "train_loss" in row]
    rows = [[row.get(column, np.nan) for column in columns] for row in whole]
    steps = [b["train_loss"] for row in net.history for b in row["batches"] if "train_loss" in b]
    epochs = pd.DataFrame(rows, columns=[*columns[:3], "seconds"])
    return TrainingHistory(epochs, np.array(steps), net.interrupted_)
