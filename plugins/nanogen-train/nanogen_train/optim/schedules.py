"""Schedules of the learning rate: a factor for every step, so that a resumed run needs nothing but its step."""

from __future__ import annotations

import math

from nanogen_train.optim.settings import ConstantConfig, ConstantLinearConfig, CosineConfig


class Constant:
    """1 at every step after the warm-up."""

    def __init__(self, config: ConstantConfig):
        self.config = config

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by at `step` (from 0)."""
        return _rising(step, self.config.warmup_steps)


class ConstantLinear:
    """1 until `constant_steps`, then linear to `final` at `end_step`, and `final` from there on."""

    def __init__(self, config: ConstantLinearConfig):
        self.config = config

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by at `step` (from 0)."""
        c = self.config
        done = _share(step - c.constant_steps, c.end_step - c.constant_steps)
        return _rising(step, c.warmup_steps) * (1 - (1 - c.final) * done)


class Cosine:
    """`final + (1 - final) (1 + cos(pi x)) / 2`, x going from 0 at the end of the warm-up to 1 at `end_step`
    (Loshchilov and Hutter, arXiv 1608.03983, without restarts); `final` from there on."""

    def __init__(self, config: CosineConfig):
        self.config = config

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by at `step` (from 0)."""
        c = self.config
        done = _share(step - c.warmup_steps, c.end_step - c.warmup_steps)
        return _rising(step, c.warmup_steps) * (c.final + (1 - c.final) * (1 + math.cos(math.pi * done)) / 2)


def _rising(step: int, warmup_steps: int) -> float:
    """From 1 / warmup_steps at step 0 to 1."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def _share(steps: int, of: int) -> float:
    """How much of a span is over, in [0, 1]."""
    return min(1.0, max(0.0, steps / max(1, of)))
