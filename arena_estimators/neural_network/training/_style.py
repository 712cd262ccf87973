"""Learn what the style of battles tells by itself, before the text is learnt."""

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from arena_estimators.linear_model import DavidsonClassifier
from arena_estimators.neural_network.training._loss import PairLoss, smoothed
from arena_estimators.neural_network.training._optimizer import decay_of, rate_at

_EPOCHS, _BATCH, _MOST_STEPS = 3, 16, 350  # of `learn_style`; the steps are an epoch's


def learn_style(heads, data, plan):
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
    plan : TrainingPlan
    """
    n_battles = len(data)
    target = smoothed(data.target, plan.label_smoothing)
    weight = data.weight / data.weight.mean()
    total = weight.sum()
    davidson = DavidsonClassifier(100 / total, tie_alpha=1000 / total)  # for unit variance
    heads.start_from(davidson.fit(data.odd, target, weight))
    size = max(_BATCH, -(-n_battles // _MOST_STEPS))
    columns = [torch.from_numpy(array) for array in (data.odd, data.even)]
    truth = {"target": torch.from_numpy(target).float(), "weight": torch.from_numpy(weight).float()}
    loss_of = PairLoss()
    groups = [
        {"params": [part], "weight_decay": decay_of(part, plan.weight_decay)}
        for part in heads.parameters()
    ]
    optimizer = AdamW(groups, fused=True)
    steps = [rows for _ in range(_EPOCHS) for rows in torch.randperm(n_battles).split(size)]
    heads.train()
    for step, rows in enumerate(steps):
        factor = rate_at(step, len(steps), warmup=plan.warmup, schedule=plan.schedule)
        for group in optimizer.param_groups:
            group["lr"] = plan.head_learning_rate * factor
        logits = heads(*(column[rows] for column in columns))
        known = {name: values[rows] for name, values in truth.items()}
        loss = loss_of(logits.unsqueeze(0), known | {"total": len(rows)})
        optimizer.zero_grad()
        loss.backward()
        if plan.max_grad_norm is not None:
            clip_grad_norm_(heads.parameters(), plan.max_grad_norm)
        optimizer.step()
    heads.requires_grad_(False).eval()


def style_logits(heads, data):
    """Give what the style alone says of battles, of shape (1, n_battles, n_classes)."""
    with torch.inference_mode():
        return heads(torch.from_numpy(data.odd), torch.from_numpy(data.even)).numpy()[None]
