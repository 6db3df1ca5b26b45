"""The loop that the three scripts share: Muon for matrices, AdamW for the rest, a linear decay at the end."""

import time
from collections.abc import Callable

import attrs
import torch
from torch import Tensor, nn


@attrs.frozen(kw_only=True)
class Recipe:
    """`muon` and `adamw` are peak learning rates; `decay` is the share of the steps over which they fall to zero."""

    steps: int
    muon: float = 0.02
    adamw: float = 2e-3
    warmup: int = 50
    decay: float = 0.5
    bf16: bool = False  # quicker only on a processor with bf16 units


def fit(network: nn.Module, loss_at: Callable[[int], Tensor], recipe: Recipe) -> float:
    """Train in place on `loss_at(step)`, a scalar; prints the loss as it goes and returns the seconds taken."""
    optimisers = _optimisers(network, recipe)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, lambda step: _rate(step, recipe)) for each in optimisers]
    start = time.perf_counter()
    for step in range(recipe.steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            loss = loss_at(step)
        network.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            schedule.step()
        if step % 100 == 0:
            print(f"step {step}  loss {loss.item():.4f}  {time.perf_counter() - start:.0f} s", flush=True)
    return time.perf_counter() - start


def _rate(step: int, recipe: Recipe) -> float:
    return min((step + 1) / recipe.warmup, (recipe.steps - step) / (recipe.decay * recipe.steps), 1)


def _optimisers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for p in network.parameters() if p.ndim == 2]
    others = [p for p in network.parameters() if p.ndim != 2]
    return [
        torch.optim.Muon(matrices, lr=recipe.muon, weight_decay=0.0),
        torch.optim.AdamW(others, lr=recipe.adamw, weight_decay=0.0, betas=(0.9, 0.99)),
    ]
