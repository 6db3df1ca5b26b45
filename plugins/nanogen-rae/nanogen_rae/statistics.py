"""Mean and variance of the latents, for each channel and position: read from a file, or measured."""

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
    """latent = (tokens - mean) / sqrt(var + 1e-5), in float32."""

    mean: Tensor  # [C, h, w]
    var: Tensor  # [C, h, w]

    @property
    def deviation(self) -> Tensor:
        return (self.var + EPS).sqrt()

    def apply(self, tokens: Tensor) -> Tensor:
        """Tokens [B, C, h, w] -> latents [B, C, h, w]."""
        return (tokens - self.mean) / self.deviation

    def denormalize(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> tokens [B, C, h, w]."""
        return latents * self.deviation + self.mean

    def to(self, device: torch.device | str) -> Statistics:
        return Statistics(self.mean.to(device), self.var.to(device))


def read_statistics(path: str | None, shape: tuple[int, int, int]) -> Statistics:
    """The statistics of latents of this shape. Raises DataError: latents are never standardised by guesses."""
    if path is None:
        raise DataError(
            "The RAE has no statistics of its latents: measure them with `nanogen data stats`, and set "
            "`tokenizer.statistics` to the file that it writes."
        )
    state = read_weights(Path(path).expanduser())
    if not {"mean", "var"} <= set(state):
        raise DataError(f"{path} has no `mean` and `var`: it is no file of latent statistics.")
    found = Statistics(*(state[name].float().reshape(_shape(state[name], shape)) for name in ("mean", "var")))
    if found.mean.shape != shape:
        raise DataError(
            f"The statistics in {path} are of latents {tuple(found.mean.shape)} (channels, height, width), this RAE "
            f"has {shape}: measure them for this encoder and image size."
        )
    return found


def _shape(tensor: Tensor, shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Published files have a batch axis of one."""
    return shape if tensor.shape == (1, *shape) else tuple(tensor.shape)


class Running:
    """Mean and squared deviations over any number of batches, in float64 (Chan, Golub and LeVeque, 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = self._squares = torch.zeros((), dtype=torch.float64)

    def update(self, tokens: Tensor) -> None:
        """Adds tokens [B, C, h, w]."""
        new = tokens.double()
        total, share = self.count + len(new), len(new) / (self.count + len(new))
        mean = new.mean(dim=0)
        apart = mean - self._mean
        self._squares = self._squares + (new - mean).square().sum(dim=0) + apart.square() * self.count * share
        self._mean = self._mean + apart * share
        self.count = total

    def result(self) -> Statistics:
        """Of everything so far, the variance being that of the population. Raises DataError."""
        if not self.count:
            raise DataError("There were no images to measure latent statistics of.")
        statistics = Statistics(self._mean.float(), (self._squares / self.count).float())
        if not (statistics.mean.isfinite().all() and statistics.var.isfinite().all()):
            raise DataError("The latents hold numbers that are not finite: compute the encoder in float32.")
        return statistics


def measure(tokens: Iterable[Tensor], file: Path) -> int:
    """Writes the statistics of batches of tokens [B, C, h, w]; returns how many there were. Raises DataError."""
    running = Running()
    for batch in tokens:
        running.update(batch)
    statistics = running.result()
    storage.write_tensors(file, {**statistics._asdict(), "count": torch.tensor(running.count)})
    return running.count
