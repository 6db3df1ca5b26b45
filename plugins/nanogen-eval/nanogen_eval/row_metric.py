"""Base classes of metrics that store a row for each image and compute their scores from all rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.tensors import Batch
from nanogen_eval.rows import INDEX, Rows


class RowMetric(ABC):
    """A metric that stores a row for each image. Subclasses implement `measure` and `score`.

    Rows are stored by image index. Scores therefore do not depend on the order of batches, their size or the number of
    processes, and an image that is seen twice counts once. Use `ResampledRowMetric` for a score that can have a
    bootstrap interval.
    """

    higher_is_better: bool

    def __init__(self) -> None:
        self.reset()

    @abstractmethod
    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Compute the rows of a batch.

        Args:
            images: Images [B, 3, H, W] in [-1, 1].
            batch: Requests of the images: labels or captions.

        Returns:
            Named columns [B, ...].
        """

    @abstractmethod
    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Return the scores by name. `rows` has columns [N, ...] by name, N > 0. A bootstrap sample may repeat rows."""

    def reset(self) -> None:
        """Discard all rows."""
        self._rows = Rows()

    def update(self, images: Tensor, batch: Batch) -> None:
        """Measure a batch and store its rows. Raises NanoGenError for values that are not finite."""
        columns = self.measure(images, batch)
        for name, column in columns.items():
            if not column.isfinite().all():
                raise NanoGenError(
                    f"{type(self).__name__} measured {name!r} values that are not finite. Likely causes: its network"
                    " runs in float16 (set its `dtype` to bfloat16 or float32), or its weights are damaged."
                )
        self._rows.add(batch.indices, **columns)

    def compute(self) -> Mapping[str, float]:
        """Return the scores of all rows, by name; empty without rows."""
        return self.score(self.columns()) if len(self._rows) else {}

    def state(self) -> Mapping[str, Tensor]:
        """Return all rows, for `merge`."""
        return self._rows.state()

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Add the rows of another process, or of an earlier part of the evaluation."""
        self._rows.merge(state)

    def columns(self) -> Mapping[str, Tensor]:
        """Return the columns [N, ...] of all rows, in the order of the image indices."""
        return {name: column for name, column in self._rows.state().items() if name != INDEX}


class ResampledRowMetric(RowMetric):
    """A `RowMetric` whose score can have a bootstrap interval.

    The bootstrap draws images, or groups of images with equal values in the column `unit_column`, such as all images of
    a prompt.
    """

    unit_column: str | None = None  # None: the unit is one image

    def reset(self) -> None:
        super().reset()
        self._grouped: tuple[int, _Groups] | None = None  # the groups, and the number of rows that they are made of

    @property
    def units(self) -> int:
        """The number of units that the bootstrap draws from."""
        if self.unit_column is None or not len(self._rows):
            return len(self._rows)
        return len(self._groups(self.unit_column).counts)

    def resampled(self, units: Tensor) -> Mapping[str, float]:
        """Return the scores of a bootstrap sample.

        Args:
            units: Indices [n] int64 of the units, below the property `units`. They may repeat.
        """
        if not len(units):
            return {}
        rows = torch.sort(units).values if self.unit_column is None else self._groups(self.unit_column).rows(units)
        return self.score({name: column[rows] for name, column in self.columns().items()})

    def _groups(self, column: str) -> _Groups:
        if self._grouped is None or self._grouped[0] != len(self._rows):
            self._grouped = len(self._rows), _Groups.of(self._rows[column])
        return self._grouped[1]


class _Groups(NamedTuple):
    """Rows by group, in the order of the group numbers."""

    order: Tensor  # [N] all rows, sorted by group
    starts: Tensor  # [G] where each group begins in `order`
    counts: Tensor  # [G] rows of each group

    @classmethod
    def of(cls, numbers: Tensor) -> _Groups:
        """Group rows by their group numbers [N]."""
        _, counts = torch.unique(numbers, return_counts=True)
        return cls(numbers.argsort(stable=True), counts.cumsum(0) - counts, counts)

    def rows(self, groups: Tensor) -> Tensor:
        """Return the rows of each drawn group [n], one group after the other."""
        drawn = self.counts[groups]  # [n] rows of each drawn group
        ends = drawn.cumsum(0)
        within = torch.arange(int(ends[-1])) - (ends - drawn).repeat_interleave(drawn)
        return self.order[self.starts[groups].repeat_interleave(drawn) + within]
