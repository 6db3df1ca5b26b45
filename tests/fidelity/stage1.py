"""Stage 1 on a decoder of a fixture, without an encoder: its tokens are given."""

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
    """A RAE that trains this decoder, with the options that it has by default."""

    def __init__(self, decoder: nn.Module):
        super().__init__(RAEConfig(), image_size=256)
        self._given = decoder

    def new_decoder(self) -> Any:
        return self._given


def published(steps: int, steps_per_epoch: int, **stage: Any) -> Resolved:
    """The recipe of stage 1 with epochs of this length. Nothing else is changed, but for options of `stage`."""
    return resolve(
        {
            "task": "imagenet",
            "stage": {"name": "rae-decoder", **stage},
            "train": {"steps": steps},
            "schedule": {"warmup_steps": steps_per_epoch, "end_step": steps},
        }
    )


def training(decoder: nn.Module, resolved: Resolved) -> DecoderTraining:
    """The stage itself. The pipeline around it has no parts but those that the stage asks for."""
    pipeline: Any = SimpleNamespace(tokenizer=GivenRAE(decoder), config=resolved)
    return DecoderTraining(resolved.slots["stage"].config, pipeline=pipeline)
