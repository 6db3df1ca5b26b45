"""Reads and measures the mean and variance of an encoder's tokens, for each channel and position."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_files import storage
from nanogen_files.weights import read_weights

EPS = 1e-5


class Statistics(NamedTuple):
    """Mean and variance that normalise tokens: `latent = (tokens - mean) / sqrt(var + 1e-5)`, in float32."""

    mean: Tensor  # [C, h, w]
    var: Tensor  # [C, h, w]

    @property
    def std(self) -> Tensor:
        """`sqrt(var + 1e-5)` [C, h, w]."""
        return (self.var + EPS).sqrt()

    def apply(self, tokens: Tensor) -> Tensor:
        """Normalise tokens [B, C, h, w] to latents [B, C, h, w]."""
        return (tokens - self.mean) / self.std

    def denormalize(self, latents: Tensor) -> Tensor:
        """Invert `apply`: latents [B, C, h, w] to tokens [B, C, h, w]."""
        return latents * self.std + self.mean

    def to(self, device: torch.device | str) -> Statistics:
        """Return the statistics on a device."""
        return Statistics(self.mean.to(device), self.var.to(device))


def read_statistics(path: str | None, shape: tuple[int, int, int]) -> Statistics:
    """Read the statistics of latents.

    Args:
        path: The file. None raises DataError.
        shape: Expected shape (C, h, w).

    Raises:
        DataError: The file is missing or damaged, lacks `mean` or `var`, or one of them has another shape.
    """
    if path is None:
        raise DataError(
            "The RAE has no latent statistics. Measure them with `nanogen data stats`, and set "
            "`tokenizer.statistics` to the file."
        )
    state = read_weights(Path(path).expanduser())
    if not {"mean", "var"} <= set(state):
        raise DataError(
            f"{path} is not a file of latent statistics: it lacks `mean` or `var`. Set `tokenizer.statistics` to a file"
            " of `nanogen data stats`."
        )
    found = Statistics(*(state[name].float().reshape(_shape(state[name], shape)) for name in ("mean", "var")))
    for name, tensor in found._asdict().items():
        if tensor.shape != shape:
            raise DataError(
                f"The {name} in {path} has the shape {tuple(tensor.shape)}, but the latents of this RAE have {shape}"
                " (channels, height, width). Measure the statistics for this encoder and image size with"
                " `nanogen data stats`."
            )
    return found


def _shape(tensor: Tensor, shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the shape without the batch axis of one that published files have."""
    return shape if tensor.shape == (1, *shape) else tuple(tensor.shape)


class RunningStatistics:
    """Mean and variance over batches, accumulated in float64 (Chan, Golub and LeVeque, 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = self._squares = torch.zeros((), dtype=torch.float64)

    def update(self, tokens: Tensor) -> None:
        """Add tokens [B, C, h, w]."""
        new = tokens.double()
        total, fraction = self.count + len(new), len(new) / (self.count + len(new))
        mean = new.mean(dim=0)
        delta = mean - self._mean
        self._squares = self._squares + (new - mean).square().sum(dim=0) + delta.square() * self.count * fraction
        self._mean = self._mean + delta * fraction
        self.count = total

    def result(self) -> Statistics:
        """Return mean and population variance. Raises DataError without images or for non-finite values."""
        if not self.count:
            raise DataError("Latent statistics need images, but the dataset has none. Use a dataset of images.")
        statistics = Statistics(self._mean.float(), (self._squares / self.count).float())
        if not (statistics.mean.isfinite().all() and statistics.var.isfinite().all()):
            raise DataError(
                "The encoder's tokens are not finite. Set `tokenizer.encoder_options.dtype` to float32, or check the "
                "encoder's weights."
            )
        return statistics


def measure(tokens: Iterable[Tensor], file: Path) -> int:
    """Measure the statistics of tokens and write them.

    Args:
        tokens: Batches [B, C, h, w].
        file: The file to write.

    Returns:
        The number of images.

    Raises:
        DataError: There are no images, or tokens are not finite.
    """
    running = RunningStatistics()
    for batch in tokens:
        running.update(batch)
    statistics = running.result()
    storage.write_tensors(file, {**statistics._asdict(), "count": torch.tensor(running.count)})
    return running.count
