"""The whole network: an encoder, the pooling of its tokens, and the heads."""

import torch
from torch import nn

from arena_estimators._encoder import _run
from arena_estimators._encoder._load import default_pooling, load_encoder, width_of
from arena_estimators._encoder._modes import own_modes
from arena_estimators.neural_network.model._heads import CrossHead, PairHeads, SiameseHead

HEADS = {"siamese": SiameseHead, "cross": CrossHead}


class PairModule(nn.Module):
    """Encode each sequence of a batch once and give the logits of its battles.

    Parameters
    ----------
    encoder : PreTrainedModel
    heads : PairHeads
    pooling : {"mean", "cls", "last", "max"}
    """

    def __init__(self, encoder, heads, pooling):
        super().__init__()
        self.encoder, self.heads, self.pooling = encoder, heads, pooling
        # A compiled encoder to run in training. Held in a tuple, so that torch takes it for no
        # part of this module, and left out of a validation, whose shapes all differ.
        self.compiled = ()

    def forward(self, inputs, rows, odd, even):
        """Give logits of shape (n_predictors, n_orders, n_battles, n_classes).

        Parameters
        ----------
        inputs : list of dict
            What `pad` or `pack` made; together they hold the batch's sequences.
        rows : Tensor of shape (n_battles, 2)
            The two sequences of each battle.
        odd, even : Tensor of shape (n_battles, n_columns)
            Style features.
        """
        (encoder,) = self.compiled if self.compiled and self.training else (self.encoder,)
        pooled = torch.cat([_run.forward(encoder, i, pooling=self.pooling) for i in inputs])
        with torch.autocast(pooled.device.type, enabled=False):
            # Not pooled[rows], whose gradient a CPU's threads add up in another order each time.
            return self.heads(nn.functional.embedding(rows, pooled), odd, even)


@own_modes()
def build_module(
    folder, *, architecture, pooling, attention, n_odd, n_even, n_classes, weights=None, heads=None
):
    """Load an encoder and put heads on it.

    Parameters
    ----------
    folder : str
        From `find_encoder`, or one that a fitted network was written to.
    architecture : {"siamese", "cross"}
    pooling : {"auto", "mean", "cls", "last", "max"}
    attention : {"auto", "packed", "sdpa"}
    n_odd, n_even : int
        Style columns.
    n_classes : int
    weights : dict of str to Tensor, optional
        The encoder's, by default those in the folder. The dict is emptied.
    heads : dict of str to Tensor, optional
        Weights for the heads; by default new ones are drawn. With them torch's random state is left
        alone, which another thread may depend on.

    Returns
    -------
    PairModule
        On the CPU, in eval mode.
    """
    encoder = load_encoder(folder, attention=attention, weights=weights)
    if pooling == "auto":
        pooling = default_pooling(encoder.config, folder)
    with torch.device("cpu" if heads is None else "meta"):
        width = width_of(encoder.config)
        made = PairHeads(HEADS[architecture], width, n_odd, n_even, n_classes)
    if heads is not None:
        made.load_state_dict(heads, assign=True)
    return PairModule(encoder, made, pooling).eval()
