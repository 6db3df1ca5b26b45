"""Running moments of features that arrive in batches."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_fidelity.distances.frechet import Moments
from nanogen_files.errors import counted


class RunningMoments:
    """Mean and co-moments of D features in float64 (Chan, Golub and LeVeque, 1979).

    Takes 8 D^2 bytes for any number of examples, and some bytes for the index of each example. With the indices, an
    example that is added twice counts once.
    """

    def __init__(self) -> None:
        self._index = torch.empty(0, dtype=torch.int64)  # [N] indices of the examples so far
        self._seen: set[int] = set()
        self._mean = torch.empty(0, dtype=torch.float64)  # [D]
        self._comoment = torch.empty(0, 0, dtype=torch.float64)  # [D, D], sum of (x - mean)(x - mean)'

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, indices: Tensor, features: Tensor) -> None:
        """Add the features [B, D] of the examples with indices [B] int64."""
        rows = self._new(indices.tolist())
        if not rows:
            return
        features = features[rows].detach().cpu().double()
        mean = features.mean(dim=0)
        centred = features - mean
        self._join(indices.cpu()[rows], mean, centred.T @ centred)

    def moments(self) -> Moments:
        """Return the moments of all examples so far. Raises DataError for fewer than two."""
        if len(self) < 2:
            raise DataError(f"A covariance needs at least two examples, got {len(self)}. Use more images.")
        return Moments(self._mean, self._comoment / (len(self) - 1), len(self))

    def state(self) -> Mapping[str, Tensor]:
        """Return `index` [N], `mean` [D] and `comoment` [D, D], for `merge`; empty without examples."""
        if not self._seen:
            return {}
        return {"index": self._index.clone(), "mean": self._mean.clone(), "comoment": self._comoment.clone()}

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Add the examples of another instance. Raises DataError for an example that both have: sums would count it
        twice."""
        if not state:
            return
        indices = state["index"].tolist()
        if not self._seen.isdisjoint(indices):
            both = len(self._seen.intersection(indices))
            raise DataError(
                f"Two parts of an evaluation share {counted(both, 'example')}. Merge parts without common examples."
            )
        self._join(state["index"], state["mean"], state["comoment"])

    def _new(self, indices: list[int]) -> list[int]:
        """Return the rows of new examples, one row for each."""
        first = {index: row for row, index in reversed(list(enumerate(indices)))}
        return sorted(row for index, row in first.items() if index not in self._seen)

    def _join(self, index: Tensor, mean: Tensor, comoment: Tensor) -> None:
        before, more = len(self._index), len(index)
        self._index = torch.cat([self._index, index])
        self._seen.update(index.tolist())
        if not before:
            self._mean, self._comoment = mean.clone(), comoment.clone()
            return
        step = mean - self._mean
        self._mean = self._mean + step * (more / (before + more))
        self._comoment = self._comoment + comoment + torch.outer(step, step) * (before * more / (before + more))
