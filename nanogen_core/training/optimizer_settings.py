"""Options of the optimisers and of the learning rate's schedules. Loads no torch."""

from __future__ import annotations

from attrs import field, frozen, validators

_unit = validators.and_(validators.ge(0.0), validators.le(1.0))


@frozen(kw_only=True)
class AdamWConfig:
    lr: float = field(default=2e-4, validator=validators.gt(0.0))
    beta1: float = field(default=0.9, validator=_unit)
    beta2: float = field(default=0.95, validator=_unit)
    eps: float = field(default=1e-8, validator=validators.gt(0.0))
    weight_decay: float = field(default=0.0, validator=validators.ge(0.0))


@frozen(kw_only=True)
class ConstantLinearConfig:
    """Constant for `constant_steps` (after `warmup_steps` of rising from 0), then linear, reaching `final` times the
    learning rate at `end_step`. The published recipe: 40 ImageNet epochs (5 virtual ones of 10,000 steps for text) are
    50,000 steps, 800 (100) are a million; a run of 100,000 steps ends on the way down."""

    warmup_steps: int = field(default=0, validator=validators.ge(0))
    constant_steps: int = field(default=50_000, validator=validators.ge(0))
    end_step: int = field(default=1_000_000, validator=validators.ge(1))
    final: float = field(default=0.1, validator=_unit)

    @end_step.validator
    def _after_the_constant_part(self, _: object, value: int) -> None:
        if value < self.constant_steps:
            raise ValueError(f"end_step {value} lies before constant_steps {self.constant_steps}")
