"""Stage 1 on the decoder of a fixture, with given tokens in place of an encoder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from torch import nn

from nanogen_core.config import resolve
from nanogen_core.resolved import Resolved
from nanogen_rae.config import RAEConfig
from nanogen_rae.stage import DecoderTraining
from nanogen_rae.tokenizer import RAE


class GivenRAE(RAE):
    """A RAE with default options and a given decoder."""

    def __init__(self, decoder: nn.Module):
        super().__init__(RAEConfig(), image_size=256)
        self._given = decoder

    def new_decoder(self) -> Any:
        return self._given


def published(steps: int, steps_per_epoch: int, **stage: Any) -> Resolved:
    """Resolve the recipe of stage 1 with another epoch length and options of the stage."""
    return resolve(
        {
            "task": "imagenet",
            "stage": {"name": "rae-decoder", **stage},
            "train": {"steps": steps},
            "schedule": {"warmup_steps": steps_per_epoch, "end_step": steps},
        }
    )


def training(decoder: nn.Module, resolved: Resolved) -> DecoderTraining:
    """Build the stage, with a pipeline that has only a tokenizer and a configuration."""
    pipeline: Any = SimpleNamespace(tokenizer=GivenRAE(decoder), config=resolved)
    return DecoderTraining(resolved.slots["stage"].config, pipeline=pipeline)
