"""Learning rates of both optimizers at every step, and the options of the published recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen_core.assembly import Assembly
from nanogen_core.config import resolve
from nanogen_core.resolved import Resolved
from nanogen_rae.conv_decoder import ConvDecoder
from nanogen_rae.stage import DECODER, DISCRIMINATOR
from nanogen_train.optim.optimization import Optimization
from tests.fidelity.measurement import Measurement
from tests.fidelity.recorded import read
from tests.fidelity.stage1 import published, training

TOLERANCE = 1e-6
EPOCHS = 16  # of the published recipe


def measure(path: Path) -> Iterator[Measurement]:
    """Measure the learning rates of the phases at every step."""
    facts, _ = read(path)
    steps = facts["epochs"] * facts["steps_per_epoch"]
    first = facts["discriminator"]["first_step"]
    starts = {"discriminator_from": first / steps, "adversarial_from": facts["adversarial_loss_from_step"] / steps}
    resolved = published(steps, facts["steps_per_epoch"], perceptual="none", discriminator="encoder", **starts)
    rates = _rates(resolved, steps)
    yield from _compared("generator", rates[DECODER], dict(enumerate(facts["generator"])))
    yield from _compared("discriminator", rates[DISCRIMINATOR], dict(enumerate(facts["discriminator"]["rates"], first)))
    for name, same in _published_numbers(facts).items():
        yield Measurement(name, 0.0 if same else 1.0, 0.0)


def _rates(resolved: Resolved, steps: int) -> dict[str, dict[int, float]]:
    """Learning rates by phase and step. Without gradients no weight changes."""
    stage, parts = training(ConvDecoder(4, 2, [4]), resolved), Assembly(resolved)
    optimization = Optimization(stage, parts["optimizer"], parts["schedule"], resolved.sections["train"].gradient_clip)
    rates: dict[str, dict[int, float]] = {phase: {} for phase in stage.phase_names}
    for step in range(steps):
        for phase in stage.phases(step):
            optimization.update(phase, step)
            rates[phase][step] = optimization.rate(phase)
    return rates


def _compared(name: str, ours: Mapping[int, float], recorded: Mapping[int, float]) -> Iterator[Measurement]:
    yield Measurement(f"steps of the {name}", 0.0 if ours.keys() == recorded.keys() else 1.0, 0.0)
    worst = max(abs(ours.get(step, 0.0) - rate) / rate for step, rate in recorded.items())
    yield Measurement(f"rates of the {name}", worst, TOLERANCE)


def _published_numbers(facts: Mapping[str, Any]) -> dict[str, bool]:
    """Whether each default option is the published one."""
    resolved = resolve({"task": "imagenet", "stage": "rae-decoder"})
    stage, optimizer, schedule = (resolved.slots[slot].config for slot in ("stage", "optimizer", "schedule"))
    given = facts["optimizer"]
    return {
        "one epoch of warm-up": schedule.warmup_steps * EPOCHS == resolved.sections["train"].steps == schedule.end_step,
        "epochs of the starts": (stage.discriminator_from * EPOCHS, stage.adversarial_from * EPOCHS) == (6, 8),
        "no gradient clipping": resolved.sections["train"].gradient_clip is None,
        "optimizer": resolved.slots["optimizer"].name == given["name"],
        "betas": [optimizer.beta1, optimizer.beta2] == given["betas"],
        "weight decay": optimizer.weight_decay == given["weight_decay"],
        "eps": optimizer.eps == given["eps"],
        "base rate": optimizer.lr == given["base_lr"],
        "EMA": stage.ema_decay == facts["ema_decay"],
        "batch": resolved.sections["train"].batch_size == facts["batch"],
        "token noise": stage.noise == facts["noise_tau"],
    }
