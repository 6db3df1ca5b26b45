"""The metrics `fid`, `rfid` and `frechet`: Fréchet distances of image features to a reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from nanogen_core.errors import ConfigError, DataError
from nanogen_core.tensors import Batch
from nanogen_eval.row_metric import ResampledRowMetric
from nanogen_eval.sources.reconstructed import ORIGINAL
from nanogen_fidelity.config import FidConfig, FrechetConfig, RfidConfig
from nanogen_fidelity.distances.extrapolation import POINTS, extrapolated_distance
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments, small_sample
from nanogen_fidelity.distances.moments import RunningMoments
from nanogen_fidelity.extractor import shared
from nanogen_fidelity.reference import Reference

WIDE, FEW = 512, 100  # above WIDE features one bootstrap draw takes seconds, so the interval uses FEW draws

Config = FrechetConfig | FidConfig | RfidConfig


class ReferenceFrechet:
    """Base of the Fréchet distances to the file or folder `config.reference`.

    `notes` are warnings about the last score, such as too few images.
    """

    higher_is_better = False
    advice = "Evaluate more images."  # against too few evaluated images

    def __init__(self, config: Config, name: str):
        if config.reference is None:
            raise ConfigError(f"{name}: set `reference` to an .npz file or a folder of images.")
        self.name = name
        self.score_names = (name, f"{name}_inf") if config.extrapolate else (name,)
        self.features = shared(config.features, path=f"metric.{name}.features")
        self.reference = Reference(config.reference)
        self.notes: tuple[str, ...] = ()

    @cached_property
    def reference_moments(self) -> Moments:
        """The moments of the reference in this feature space."""
        return self.reference.moments(self.features)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"features": dict(self.features.settings), "reference": self.reference.digest}

    def distance(self, found: Moments) -> float:
        """Return the Fréchet distance of the moments `found` to the reference."""
        return frechet_distance(found, self.reference_moments)

    def warn(self, found: Moments) -> None:
        """Set `notes` to warnings about too few evaluated images or too few reference images."""
        notes = (
            small_sample(found, advice=self.advice),
            small_sample(self.reference_moments, "examples of the reference", "Use a reference of more images."),
        )
        self.notes = tuple(note for note in notes if note)


class MomentsFrechet(ReferenceFrechet):
    """Fréchet distance from running moments, which take 34 MB at 2048 features. Has no bootstrap interval."""

    advice = "Evaluate more images, or set `keep_rows` and `extrapolate`."

    def __init__(self, config: Config, name: str):
        super().__init__(config, name)
        self.reset()

    def reset(self) -> None:
        self._running = RunningMoments()

    def update(self, images: Tensor, batch: Batch) -> None:
        """Add images [B, 3, H, W] in [-1, 1]."""
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


class NamedMoments:
    """Base of metrics that keep running moments by name, such as one for each feature space."""

    def __init__(self, names: Iterable[str]):
        self._names = tuple(names)
        self.reset()

    def reset(self) -> None:
        self._running = {name: RunningMoments() for name in self._names}

    def state(self) -> Mapping[str, Tensor]:
        return {f"{name}.{key}": x for name, running in self._running.items() for key, x in running.state().items()}

    def merge(self, state: Mapping[str, Tensor]) -> None:
        for name, running in self._running.items():
            prefix = f"{name}."
            running.merge({key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)})


class ReconstructionFrechet(NamedMoments):
    """`rfid` of all reconstructions to all originals, for batches that contain both. Stores running moments of both."""

    higher_is_better = False
    score_names = ("rfid",)

    def __init__(self, config: RfidConfig):
        if config.keep_rows or config.extrapolate:
            raise ConfigError(
                "rfid: `keep_rows` and `extrapolate` need a reference. Set `reference` to an .npz file or a folder."
            )
        self.features = shared(config.features, path="metric.rfid.features")
        self.notes: tuple[str, ...] = ()
        super().__init__(("image", ORIGINAL))

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"features": dict(self.features.settings), "reference": "the originals"}

    def update(self, images: Tensor, batch: Batch) -> None:
        """Add images [B, 3, H, W] in [-1, 1] and their originals. Raises DataError for a batch without originals."""
        if ORIGINAL not in batch.extras:
            raise DataError("rfid needs the original images. Set its option `reference`, or use --reconstruct.")
        for name, side in {"image": images, ORIGINAL: batch.extras[ORIGINAL]}.items():
            self._running[name].add(batch.indices, self.features(side))

    def compute(self) -> Mapping[str, float]:
        if not len(self._running["image"]):
            return {}
        found, originals = (side.moments() for side in self._running.values())
        note = small_sample(found)  # there are as many originals
        self.notes = (note,) if note else ()
        return {"rfid": frechet_distance(found, originals)}


class RowFrechet(ReferenceFrechet, ResampledRowMetric):
    """Fréchet distance from stored features, 8 KB per image at 2048 features. Has a bootstrap interval.

    With `extrapolate`, also reports `<name>_inf`, the distance extrapolated to infinitely many images.
    """

    def __init__(self, config: Config, name: str):
        ReferenceFrechet.__init__(self, config, name)
        ResampledRowMetric.__init__(self)
        self.extrapolate = config.extrapolate
        if not self.extrapolate:
            self.advice = "Evaluate more images, or set `extrapolate`."
        self.interval_draws = FEW if self.features.width > WIDE else 1000

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"features": self.features(images)}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {self.name: self.distance(moments(rows["features"]))}

    def compute(self) -> Mapping[str, float]:
        if not self.units:
            return {}
        rows = self.columns()["features"]
        found = moments(rows)
        self.warn(found)
        scores = {self.name: self.distance(found)}
        if self.extrapolate:
            scores[f"{self.name}_inf"] = extrapolated_distance(rows, self.reference_moments, points=POINTS)
        return scores


def frechet(config: FrechetConfig) -> RowFrechet | MomentsFrechet:
    """Build `frechet`: the Fréchet distance to a reference in any feature space."""
    return _build(config, "frechet")


def fid(config: FidConfig) -> RowFrechet | MomentsFrechet:
    """Build `fid`: the Fréchet distance to a reference, by default in Inception features."""
    return _build(config, "fid")


def rfid(config: RfidConfig) -> RowFrechet | MomentsFrechet | ReconstructionFrechet:
    """Build `rfid`: `fid` of all reconstructions to a reference, or to all originals if no reference is set."""
    return ReconstructionFrechet(config) if config.reference is None else _build(config, "rfid")


def _build(config: Config, name: str) -> RowFrechet | MomentsFrechet:
    if config.extrapolate and not config.keep_rows:
        raise ConfigError(f"{name}: `extrapolate` needs the features of every image. Set `keep_rows: true`.")
    return RowFrechet(config, name) if config.keep_rows else MomentsFrechet(config, name)
