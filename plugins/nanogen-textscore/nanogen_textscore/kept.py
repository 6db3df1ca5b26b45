"""What the metrics of this plugin share: one row for an image, and the prompt as the unit that is drawn from."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_eval.rows import Rows

PROMPT = "prompt"


class Kept(ABC):
    """Keeps columns by the image's index; those of one prompt make up one unit, whatever their number."""

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._rows = Rows()
        self._groups: tuple[Tensor, ...] | None = None

    def keep(self, indices: Tensor, prompts: Tensor, **columns: Tensor) -> None:
        """Rows of the images with these indices [B], which answer the prompts of these numbers [B].

        Raises NanoGenError for a number that is not finite.
        """
        for name, column in columns.items():
            if not column.isfinite().all():
                raise NanoGenError(
                    f"{type(self).__name__} gives a {name} that is not finite. Likely cause: its network computes in"
                    " float16 (set the option `dtype` of the judge to bfloat16 or float32)."
                )
        self._rows.add(indices, **{PROMPT: prompts}, **columns)
        self._groups = None

    def state(self) -> Mapping[str, Tensor]:
        return self._rows.state()

    def merge(self, state: Mapping[str, Tensor]) -> None:
        self._rows.merge(state)
        self._groups = None

    @abstractmethod
    def scores(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        """The scores over these rows, some of which may stand there several times; there is at least one."""

    def compute(self) -> Mapping[str, float]:
        state = self.state()
        return self.scores(state) if state else {}

    @property
    def units(self) -> int:
        """Prompts."""
        return len(self._by_prompt()[1]) if len(self._rows) else 0

    def resampled(self, units: Tensor) -> Mapping[str, float]:
        """The scores over all images of these prompts [n], a prompt that is drawn twice counting twice."""
        if not len(units):
            return {}
        order, starts, counts = self._by_prompt()
        drawn = counts[units]  # images of each
        ends = drawn.cumsum(0)
        within = torch.arange(int(ends[-1])) - (ends - drawn).repeat_interleave(drawn)
        chosen = order[starts[units].repeat_interleave(drawn) + within]
        return self.scores({name: column[chosen] for name, column in self.state().items()})

    def _by_prompt(self) -> tuple[Tensor, ...]:
        """The rows in the order of their prompts, and where each prompt's begin in it and how many there are."""
        if self._groups is None:
            prompts = self._rows[PROMPT]
            _, counts = torch.unique(prompts, return_counts=True)
            self._groups = (prompts.argsort(stable=True), counts.cumsum(0) - counts, counts)
        return self._groups


def caption_numbers(captions: Sequence[str]) -> Tensor:
    """A number [B] int64 for each caption, equal for equal ones and in any process: what units go by where the
    prompts have no official order."""
    heads = [hashlib.sha256(caption.encode()).digest()[:8] for caption in captions]
    return torch.tensor([int.from_bytes(head, "little", signed=True) for head in heads], dtype=torch.int64)
