"""AdamW and its learning rate over the steps of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from personavlm.jobs.learning.config import OptimiserConfig


def rate(step: int, steps: int, config: OptimiserConfig) -> float:
    """The learning rate of update ``step``, counted from 0, of ``steps``: up in a line, down in a cosine."""
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    share = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.learning_rate * (config.floor + (1 - config.floor) * share)


def adamw(parameters: Iterable[nn.Parameter], config: OptimiserConfig) -> torch.optim.AdamW:
    """The optimiser; its moments exist from the start, so that a checkpoint can be read into them.

    Weights decay, biases and scales of norms do not.
    """
    trained = list(parameters)
    groups = [
        {"params": [one for one in trained if one.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [one for one in trained if one.dim() <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate, betas=config.betas, eps=config.epsilon, fused=True,
    )  # fmt: skip
    for parameter in trained:
        optimiser.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimiser
