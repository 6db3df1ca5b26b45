"""`fid`, `rfid` and `frechet`: the Fréchet distance to a reference, from moments alone or with a row for each image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from nanogen_core.errors import ConfigError, DataError
from nanogen_core.tensors import Batch
from nanogen_eval.protocols import Metric
from nanogen_eval.sources.reconstructed import ORIGINAL
from nanogen_fidelity.config import FidConfig, FrechetConfig, RfidConfig
from nanogen_fidelity.distances.extrapolation import POINTS, extrapolated_distance
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments, small_sample
from nanogen_fidelity.distances.moments import RunningMoments
from nanogen_fidelity.extractor import shared
from nanogen_fidelity.metrics.kept import Resampling
from nanogen_fidelity.reference import Reference

WIDE, FEW = 512, 100  # a resampling in so many features takes seconds: an interval is made of so few then

Config = FrechetConfig | FidConfig | RfidConfig


class Compared:
    """A space, a reference in it, and the score's name. `notes` is what must be said beside the last score."""

    higher_is_better = False

    def __init__(self, config: Config, name: str):
        self.name = name
        self.score_names = (name, f"{name}_inf") if config.extrapolate else (name,)
        self.features = shared(config.features)
        self.reference = Reference(config.reference)
        self.notes: tuple[str, ...] = ()

    @cached_property
    def known(self) -> Moments:
        """The reference's moments."""
        return self.reference.moments(self.features)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"features": dict(self.features.settings), "reference": self.reference.digest}

    def distance(self, found: Moments) -> float:
        return frechet_distance(found, self.known)

    def warn(self, found: Moments) -> None:
        """Notes where either side has few examples."""
        said = (small_sample(side) for side in (found, self.known))
        self.notes = tuple(dict.fromkeys(note for note in said if note))


class OfMoments(Compared):
    """Keeps sums: 34 MB in 2048 features, however many images there are."""

    def __init__(self, config: Config, name: str):
        super().__init__(config, name)
        self.reset()

    def reset(self) -> None:
        self._running = RunningMoments()

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1]."""
        self._running.add(batch.indices, self.features(images))

    def compute(self) -> Mapping[str, float]:
        if not len(self._running):
            return {}
        found = self._running.moments()
        self.warn(found)
        return {self.name: self.distance(found)}

    def state(self) -> Mapping[str, Tensor]:
        return self._running.state()

    def merge(self, state: Mapping[str, Tensor]) -> None:
        self._running.merge(state)


class OfOriginals:
    """`rfid` against the originals that come with the images: sums of both."""

    higher_is_better = False
    score_names = ("rfid",)

    def __init__(self, config: RfidConfig):
        if config.keep_rows or config.extrapolate:
            raise ConfigError("rfid: `keep_rows` and `extrapolate` need a `reference` that is named.")
        self.features = shared(config.features)
        self.notes: tuple[str, ...] = ()
        self.reset()

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"features": dict(self.features.settings), "reference": "the originals"}

    def reset(self) -> None:
        self._sides = {"image": RunningMoments(), ORIGINAL: RunningMoments()}

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1]. Raises DataError where they come without originals."""
        if ORIGINAL not in batch.extras:
            raise DataError("rfid needs the originals: name them by its option `reference`, or use --reconstruct.")
        for name, seen in {"image": images, ORIGINAL: batch.extras[ORIGINAL]}.items():
            self._sides[name].add(batch.indices, self.features(seen))

    def compute(self) -> Mapping[str, float]:
        if not len(self._sides["image"]):
            return {}
        found, known = (side.moments() for side in self._sides.values())
        self.notes = tuple(dict.fromkeys(note for note in map(small_sample, (found, known)) if note))
        return {"rfid": frechet_distance(found, known)}

    def state(self) -> Mapping[str, Tensor]:
        sides = self._sides.items()
        return {f"{side}.{name}": tensor for side, kept in sides for name, tensor in kept.state().items()}

    def merge(self, state: Mapping[str, Tensor]) -> None:
        for side, kept in self._sides.items():
            names = {name for name in state if name.startswith(f"{side}.")}
            kept.merge({name.removeprefix(f"{side}."): state[name] for name in names})


class WithRows(Compared, Resampling):
    """Keeps the features: 8 KB an image in 2048 of them, for an interval and the extrapolated distance."""

    def __init__(self, config: Config, name: str):
        Compared.__init__(self, config, name)
        Resampling.__init__(self)
        self.extrapolate = config.extrapolate
        self.interval_draws = FEW if self.features.width > WIDE else 1000

    def see(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"features": self.features(images)}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {self.name: self.distance(moments(rows["features"]))}

    def compute(self) -> Mapping[str, float]:
        if not self.units:
            return {}
        rows = self._columns()["features"]
        found = moments(rows)
        self.warn(found)
        scores = {self.name: self.distance(found)}
        if self.extrapolate:
            scores[f"{self.name}_inf"] = extrapolated_distance(rows, self.known, points=POINTS)
        return scores


def frechet(config: FrechetConfig) -> Metric:
    """`frechet`: in any space."""
    return _made(config, "frechet")


def fid(config: FidConfig) -> Metric:
    """`fid`: of samples, in the space of the FID network."""
    return _made(config, "fid")


def rfid(config: RfidConfig) -> Metric:
    """`rfid`: of reconstructions; the reference are their originals."""
    return OfOriginals(config) if config.reference is None else _made(config, "rfid")


def _made(config: Config, name: str) -> Metric:
    if config.extrapolate and not config.keep_rows:
        raise ConfigError(f"{name}: `extrapolate` needs the features of each image: set `keep_rows` to true.")
    return WithRows(config, name) if config.keep_rows else OfMoments(config, name)
