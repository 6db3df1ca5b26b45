"""Shapes, random inputs and tensor comparisons that the contracts share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, Condition, State, Times

LATENT = LatentSpec(channels=4, height=8, width=8, factor=8)  # 4 x 4 backbone tokens at its default patch size
LABELS = ConditionSpec(width=10, length=1, learned=2)
TEXTS = ConditionSpec(width=12, length=6, normalize=True, padded=True)


def random_state(latent: LatentSpec, rows: int, purpose: str = "state") -> State:
    """Return standard normal latents [rows, C, h, w], and class tokens [rows, width] if `cls_token_width` is not 0."""
    draws = KeyedRNG(0, range(rows))
    cls_token = draws.normal(f"{purpose} token", [latent.cls_token_width]) if latent.cls_token_width else None
    return State(draws.normal(purpose, latent.shape), cls_token)


def random_times(rows: int) -> Times:
    """Return times [rows] with 0.2 <= r < t <= 0.9."""
    return Times(torch.linspace(0.5, 0.9, rows), torch.linspace(0.4, 0.2, rows))


def random_condition(spec: ConditionSpec, rows: int) -> Condition:
    """Return random conditions [rows, L, D], L = `spec.length`. If padded, row i has i mod (L + 1) unmasked tokens."""
    tokens = KeyedRNG(1, range(rows)).normal("tokens", [spec.length, spec.width])
    if not spec.padded:
        return Condition(tokens)
    counts = torch.arange(rows) % (spec.length + 1)
    return Condition(tokens, torch.arange(spec.length) < counts[:, None])


def fill_zero_parameters(module: nn.Module) -> None:
    """Fill all-zero parameters with noise, so that the output of an untrained network depends on its inputs."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1, generator=generator)


def same_batch(first: Batch, second: Batch) -> bool:
    """Return whether two batches have equal captions and equal tensors, including extras and conditions."""
    one, other = _tensors(first), _tensors(second)
    same_captions = list(first.captions or ()) == list(second.captions or ())
    return same_captions and one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _tensors(batch: Batch) -> dict[str, Tensor]:
    """Return the tensors of a batch and of its condition, by name."""
    found: dict[str, Tensor | None] = {
        name: getattr(batch, name) for name in ("indices", "images", "labels", "latents")
    }
    found |= {f"extras.{name}": value for name, value in batch.extras.items()}
    if batch.condition is not None:
        found |= {f"condition.{name}": getattr(batch.condition, name) for name in ("tokens", "mask", "null")}
        found |= {f"condition.extras.{name}": value for name, value in batch.condition.extras.items()}
    return {name: value for name, value in found.items() if value is not None}


def max_difference(first: Tensor, second: Tensor) -> float:
    """Return the largest absolute difference."""
    return float((first.detach().float() - second.detach().float()).abs().max())


@contextmanager
def global_rng_untouched() -> Iterator[None]:
    """Fail if the `with` block uses torch's global random generator (of the CPU) instead of a KeyedRNG."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "torch's global random generator was used: use a KeyedRNG"
