"""The training loop of the three scripts: Muon for matrices, AdamW for the rest, and a linear decay at the end."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
import torch
from torch import Tensor, nn


@attrs.frozen(kw_only=True)
class Recipe:
    """Options of a training run."""

    steps: int
    muon: float = 0.02  # peak learning rate of Muon
    adamw: float = 2e-3  # peak learning rate of AdamW
    warmup: int = 50  # steps
    decay: float = 0.5  # share of the steps over which the learning rates fall to zero
    bf16: bool = False  # faster only on a processor with bf16 units


def fit(network: nn.Module, loss_at: Callable[[int], Tensor], recipe: Recipe) -> float:
    """Train a network in place, and print the loss every 100 steps.

    Args:
        loss_at: Returns the loss [] of a step.
        recipe: The options.

    Returns:
        The training time in seconds.
    """
    optimizers = _optimizers(network, recipe)
    schedules = [torch.optim.lr_scheduler.LambdaLR(one, lambda step: _rate(step, recipe)) for one in optimizers]
    start = time.perf_counter()
    for step in range(recipe.steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            loss = loss_at(step)
        network.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        if step % 100 == 0:
            print(f"step {step}  loss {loss.item():.4f}  {time.perf_counter() - start:.0f} s", flush=True)
    return time.perf_counter() - start


def _rate(step: int, recipe: Recipe) -> float:
    return min((step + 1) / recipe.warmup, (recipe.steps - step) / (recipe.decay * recipe.steps), 1)


def _optimizers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for p in network.parameters() if p.ndim == 2]
    others = [p for p in network.parameters() if p.ndim != 2]
    return [
        torch.optim.Muon(matrices, lr=recipe.muon, weight_decay=0.0),
        torch.optim.AdamW(others, lr=recipe.adamw, weight_decay=0.0, betas=(0.9, 0.99)),
    ]
