"""Training options of a recipe, as the field `training` of a published row."""

from __future__ import annotations

from typing import Any

from nanogen_core.assembly import Assembly

IMAGES = 1_281_167  # in ImageNet's training split; the incomplete last batch of an epoch is dropped
VIRTUAL_EPOCH = 10_000  # steps, of text-to-image
SCHEDULES = {"constant-linear": "linear"}


def training(parts: Assembly) -> dict[str, Any]:
    """Return batch size, length, optimizer, EMA, and the learning rate at some steps."""
    resolved, train = parts.resolved, parts.resolved.sections["train"]
    epoch = IMAGES // train.batch_size if resolved.task == "imagenet" else VIRTUAL_EPOCH
    return {
        "batch": train.batch_size,
        "accumulate": train.grad_accum_steps,
        "epochs": train.steps / epoch,
        "steps_per_epoch": epoch,
        "steps": train.steps,
        "clip": train.gradient_clip,
        "ema": resolved.slots["stage"].config.ema_decay,
        "seed": resolved.seed,
        "optimizer": _optimizer(parts),
        "schedule": _schedule(parts),
    }


def _optimizer(parts: Assembly) -> dict[str, Any]:
    part = parts.resolved.slots["optimizer"]
    config = part.config
    return {
        "name": part.name,
        "lr": config.lr,
        "betas": [config.beta1, config.beta2],
        "weight_decay": config.weight_decay,
        "eps": config.eps,
    }


def _schedule(parts: Assembly) -> dict[str, Any]:
    part, steps = parts.resolved.slots["schedule"], parts.resolved.sections["train"].steps
    config, lr = part.config, parts.resolved.slots["optimizer"].config.lr
    factor = parts["schedule"].factor
    at = {"step_0": 0, "three_quarters": steps * 3 // 4, "last_step": steps - 1}
    return {
        "kind": SCHEDULES.get(part.name, part.name),
        "constant_until_step": config.constant_steps,
        "rising": config.warmup_steps > 0,
        "linear_to_step": config.end_step,
        "base": _recorded(lr),
        "final": _recorded(lr * config.final),
        **{f"lr_at_{name}": _recorded(lr * factor(step)) for name, step in at.items()},
    }


def _recorded(rate: float) -> float:
    """Round to the eight recorded digits."""
    return float(f"{rate:.8g}")
