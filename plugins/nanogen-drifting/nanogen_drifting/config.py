"""Options of the stage `drifting`. Does not import torch."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Attribute, field, frozen

from nanogen_align.naming import is_slot
from nanogen_core.validators import at_least, between, count, decay, positive
from nanogen_train.stages.diffusion_settings import SnapshotConfig

_samples = at_least(2, 4096)


def _valid_temperatures(_: object, attribute: Attribute[tuple[float, ...]], value: tuple[float, ...]) -> None:
    if not value:
        raise ValueError(f"{attribute.name}: must have at least one temperature")
    for temperature in value:
        positive.check(attribute.name, temperature)


def _slot_or_none(instance: object, attribute: Attribute[Any], value: Any) -> None:
    if value is not None:
        is_slot(instance, attribute, value)


@frozen(kw_only=True)
class DriftingConfig:
    """Options of `Drifting`. The defaults follow model B in the authors' public code (ImageNet, latents).

    Args:
        generated: Number of samples to generate for each condition. They are also negatives.
        positives: Number of real samples for each condition, including the training example itself.
        unconditional: Number of real samples of any condition. For guidance they are added to the negatives of each
            condition.
        bank_size: Number of real latents to store for each label.
        queue_size: Number of real latents to store without regard to labels.
        temperatures: Temperatures of the field's kernel, relative to the mean distance of features. There is
            one field for each temperature, and the fields are added.
        scale_max, scale_power: In training, guidance scales are drawn from [1, scale_max] with a density proportional
            to `scale^-scale_power`.
        features: Vision encoder in whose tokens the samples drift: a name, or a mapping with a `name` and options. It
            reads the decoded latents. Null for none.
        latent_features: Whether the samples drift in features of the latent.
        group_by: Which real samples are positives of a condition. "label": samples of the same label. "condition":
            samples with the most similar condition. "auto": "label" if the dataset has labels and the condition is
            not a padded text, otherwise "condition".
        condition_temperature: T in the weight `exp((s - 1) / T)` of a positive, if grouped by condition. s is the
            cosine similarity of the conditions.
        ema_decay: EMA decay per step.
        ema_snapshots: Additional EMAs to save; none by default.
    """

    generated: int = field(default=64, validator=_samples)
    positives: int = field(default=64, validator=count)
    unconditional: int = field(default=32, validator=count)
    bank_size: int = field(default=128, validator=count)
    queue_size: int = field(default=1000, validator=count)
    temperatures: tuple[float, ...] = field(default=(0.02, 0.05, 0.2), validator=_valid_temperatures)
    scale_max: float = field(default=4.0, validator=between(1, 1000))
    scale_power: float = field(default=5.0, validator=between(0, 100))
    features: Any = field(default=None, validator=_slot_or_none)
    latent_features: bool = field(default=True)
    group_by: Literal["auto", "label", "condition"] = "auto"
    condition_temperature: float = field(default=0.05, validator=positive)
    ema_decay: float = field(default=0.999, validator=decay)
    ema_snapshots: SnapshotConfig | None = None

    @latent_features.validator
    def _has_features(self, attribute: Attribute[bool], value: bool) -> None:
        if not value and self.features is None:
            raise ValueError("latent_features: must be true, or `features` must name a vision encoder")
