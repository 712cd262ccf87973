"""The small networks on top of the encoder's vectors.

Logits have the shape (n_predictors, n_orders, n_battles, n_classes): one order when each response
was encoded on its own, two when both orders were read. In either order the classes are those of
the battle as it was given, so that the two can be averaged.
"""

import torch
from torch import nn


class PairHeads(nn.Module):
    """Predictors of battles, each trained on its own loss, whose logits are then averaged.

    Without style features there is one, on the text. With them there are three: on the text, on
    text and style together, and on style alone. A text predictor added to style already learnt
    would only learn what that left over, in one epoch next to nothing; hence the separate losses.

    Parameters
    ----------
    head : type
        SiameseHead or CrossHead.
    width : int
        Of the encoder's vectors.
    n_odd, n_even : int
        Style columns.
    n_classes : int
    """

    def __init__(self, head, width, n_odd, n_even, n_classes):
        super().__init__()
        self.n_orders = head.n_orders
        self.n_odd, self.n_even, self.n_classes = n_odd, n_even, n_classes
        self.n_predictors = 3 if n_odd else 1
        self.text = head(width, 0, 0, n_classes)
        self.both = head(width, n_odd, n_even, n_classes) if n_odd else None
        self.style = StyleHeads(n_odd, n_even, n_classes) if n_odd else None

    def forward(self, vectors, odd, even):
        """Give logits of shape (n_predictors, n_orders, n_battles, n_classes).

        `vectors` has shape (n_battles, 2, width). In training `style` is left out: it was trained
        before.
        """
        logits = [self.text(vectors, odd[:, :0], even[:, :0])]
        if self.both is not None:
            logits.append(self.both(vectors, odd, even))
            if not self.training:
                logits.append(self.style(odd, even).expand_as(logits[0]))
        return torch.stack(logits)


class SiameseHead(nn.Module):
    """Three logits g(a, b), g(b, a) and h(a, b) of two vectors, where h is symmetric.

    Swapping a and b exchanges the first two logits and leaves the third, bit for bit: each is
    computed by the same products on the same numbers.
    """

    n_orders = 1

    def __init__(self, width, n_odd, n_even, n_classes):
        super().__init__()
        self.prefer = _mlp(4 * width + n_odd + n_even)
        self.tie = _mlp(3 * width + n_even) if n_classes == 3 else None

    @property
    def tie_bias(self):
        """The bias whose last number is that of ties."""
        return self.tie[-1].bias

    def forward(self, vectors, odd, even):
        """Give logits of shape (1, n_battles, n_classes); `vectors` has shape (n, 2, width)."""
        a, b = vectors.unbind(1)
        product = a * b
        logits = [
            self.prefer(torch.cat([a, b, product, a - b, odd, even], 1)),
            self.prefer(torch.cat([b, a, product, b - a, -odd, even], 1)),
        ]
        if self.tie is not None:
            logits.append(self.tie(torch.cat([a + b, (a - b).abs(), product, even], 1)))
        return torch.cat(logits, 1).unsqueeze(0)


class CrossHead(nn.Module):
    """The logits of two vectors that each saw both responses, one in each order."""

    n_orders = 2

    def __init__(self, width, n_odd, n_even, n_classes):
        super().__init__()
        self.classify = _mlp(width + n_odd + n_even, n_classes)

    @property
    def tie_bias(self):
        """The bias whose last number is that of ties."""
        return self.classify[-1].bias

    def forward(self, vectors, odd, even):
        """Give logits of shape (2, n_battles, n_classes); `vectors` has shape (n, 2, width)."""
        given, exchanged = vectors.unbind(1)
        first = self.classify(torch.cat([given, odd, even], 1))
        second = self.classify(torch.cat([exchanged, -odd, even], 1))
        return torch.stack([first, second[:, [1, 0, 2][: second.shape[1]]]])


class StyleHeads(nn.Module):
    """Logits of the style features alone, equivariant like those of `SiameseHead`.

    They are those of a Davidson model on the odd features, plus what two small networks add.
    """

    def __init__(self, n_odd, n_even, n_classes):
        super().__init__()
        sizes = {"hidden": 64, "dropout": 0.3, "dropout_in": 0.2}
        self.prefer = _mlp(n_odd + n_even, **sizes)
        self.tie = _mlp(n_odd + n_even, **sizes) if n_classes == 3 else None
        shapes = {"gap": (n_odd, 1), "tie_gap": (n_odd, 1), "tie_constant": (1,)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float32))

    def train(self, mode=True):
        """Enter training mode unless frozen: frozen heads never drop anything."""
        return super().train(mode and next(self.parameters()).requires_grad)

    def start_from(self, davidson):
        """Predict what a fitted DavidsonClassifier does, until the networks have learnt."""
        self.gap[:, 0] = torch.from_numpy(davidson.coef_)
        if self.tie is not None:
            self.tie_gap[:, 0] = torch.from_numpy(davidson.tie_coef_)
            self.tie_constant[:] = davidson.tie_intercept_

    def forward(self, odd, even):
        """Give logits of shape (n_battles, n_classes)."""
        half = odd @ self.gap / 2
        logits = [
            self.prefer(torch.cat([odd, even], 1)) + half,
            self.prefer(torch.cat([-odd, even], 1)) - half,
        ]
        if self.tie is not None:
            size = odd.abs()
            tie = size @ self.tie_gap + self.tie_constant
            logits.append(self.tie(torch.cat([size, even], 1)) + tie)
        return torch.cat(logits, 1)


def _mlp(n_inputs, n_outputs=1, *, hidden=256, dropout=0.1, dropout_in=0.0):
    """Make a small network whose outputs begin at zero."""
    last = nn.Linear(hidden, n_outputs, dtype=torch.float32)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    first = nn.Linear(n_inputs, hidden, dtype=torch.float32)
    return nn.Sequential(nn.Dropout(dropout_in), first, nn.GELU(), nn.Dropout(dropout), last)
