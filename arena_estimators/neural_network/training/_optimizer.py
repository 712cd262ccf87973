"""AdamW's parameter groups and the learning rate of each step."""

import math

import torch

SCHEDULES = {
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "constant": lambda done: 1.0,
}


def parameter_groups(module, *, learning_rate, head_learning_rate, weight_decay):
    """Group trainable parameters by learning rate and decay.

    Returns
    -------
    list of dict
        Each with `params`, `lr`, `initial_lr` and `weight_decay`.
    """
    groups = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = learning_rate if name.startswith("encoder.") else head_learning_rate
        groups.setdefault((rate, decay_of(parameter, weight_decay)), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "initial_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def decay_of(parameter, weight_decay):
    """Give the decay of a parameter; vectors (biases, norms) have none."""
    return weight_decay if parameter.ndim > 1 else 0.0


def make_optimizer(module, device, **settings):
    """Make AdamW over the groups, in a fused kernel where a device surely has it."""
    groups = parameter_groups(module, **settings)
    return torch.optim.AdamW(groups, fused=device.type in ("cpu", "cuda"))


def rate_at(step, n_steps, *, warmup, schedule):
    """Give the factor on every learning rate: a linear warm-up, then the schedule.

    Parameters
    ----------
    step : int
        From 0 to n_steps - 1.
    n_steps : int
    warmup : float
        Share of the steps.
    schedule : {"linear", "cosine", "constant"}
    """
    rising = math.ceil(round(warmup * n_steps, 6))  # 0.07 * 100 is above 7
    if step < rising:
        return (step + 1) / rising
    return SCHEDULES[schedule]((step - rising) / (n_steps - rising))
