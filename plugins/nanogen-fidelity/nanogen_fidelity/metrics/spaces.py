"""The metrics `fdr6` and `mind6`: a distance in each of up to six feature spaces."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.tensors import Batch
from nanogen_data.image_folders import SkippedFiles, images_below
from nanogen_eval.protocols import Features
from nanogen_eval.row_metric import RowMetric
from nanogen_fidelity.config import Fdr6Config, Mind6Config
from nanogen_fidelity.distances.frechet import frechet_distance
from nanogen_fidelity.distances.mind import PROJECTIONS, mind
from nanogen_fidelity.extractor import shared
from nanogen_fidelity.metrics.frechet import NamedMoments
from nanogen_fidelity.reference import ROWS, Reference
from nanogen_fidelity.spaces import STATISTICS, relative


def spaces_of(config: Fdr6Config | Mind6Config, metric: str) -> dict[str, Features]:
    """Return the feature extractors of the chosen spaces, by the name of the space. Errors name `metric`."""
    named = {space: {"name": space.replace("_", "-")} for space in config.spaces}
    weights = {space: {"weights": file} for space, file in config.weights.items()}
    path = f"metric.{metric}.weights"
    return {space: shared({**named[space], **weights.get(space, {})}, path=f"{path}.{space}") for space in named}


def references_of(config: Mind6Config) -> dict[str, Reference]:
    """Return the reference of each space: `<space>.npz` in the folder `reference`, or else `reference` for all spaces.

    Raises:
        DataError: The reference does not exist, or has the features of some spaces only.
    """
    whole = Reference(config.reference)
    files = {space: whole.path / f"{space}.npz" for space in config.spaces}
    missing = [space for space, file in files.items() if not file.is_file()]
    if not missing:
        return {space: Reference(str(file)) for space, file in files.items()}
    if len(missing) < len(files) and not any(images_below(whole.path, SkippedFiles())):
        raise DataError(
            f"mind6: {whole.path} has no {missing[0]}.npz. Write it with `python -m nanogen_fidelity.statistics IMAGES "
            f"{files[missing[0]]} --features {missing[0].replace('_', '-')} --keep-features`, or leave {missing[0]} "
            "out of `spaces`."
        )
    if len(files) > 1 and ROWS in whole.arrays:
        raise DataError(
            f"mind6: {whole.path} has the features of one space, but `spaces` names {len(files)}. Set `reference` to a "
            f"folder with one such file per space ({config.spaces[0]}.npz and so on), or to a folder of images."
        )
    return dict.fromkeys(files, whole)


class Fdr6(NamedMoments):
    """`fdr_<space>`: the Fréchet distance to the reference, divided by the distance of ImageNet's validation images to
    it. `fdr6`: the mean over the spaces, if all six are chosen."""

    higher_is_better = False

    def __init__(self, config: Fdr6Config):
        """Raises DataError for a missing file of statistics."""
        self._features = spaces_of(config, "fdr6")
        self.score_names = (*(f"fdr_{space}" for space in config.spaces), "fdr6")
        self._references = {space: Reference(f"{config.reference}/{STATISTICS[space]}") for space in config.spaces}
        super().__init__(config.spaces)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {
            space: {"features": dict(features.settings), "reference": self._references[space].digest}
            for space, features in self._features.items()
        }

    def update(self, images: Tensor, batch: Batch) -> None:
        """Add images [B, 3, H, W] in [-1, 1]."""
        for space, features in self._features.items():
            self._running[space].add(batch.indices, features(images))

    def compute(self) -> Mapping[str, float]:
        if not all(map(len, self._running.values())):
            return {}
        return relative({space: self._distance(space) for space in self._features})

    def _distance(self, space: str) -> float:
        reference = self._references[space].moments(self._features[space])
        return frechet_distance(self._running[space].moments(), reference)


class Mind6(RowMetric):
    """`mind_<space>`: the MIND distance (arXiv 2605.06797) in each space. There is no mean over the spaces."""

    higher_is_better = False

    def __init__(self, config: Mind6Config):
        super().__init__()
        self.score_names = tuple(f"mind_{space}" for space in config.spaces)
        self._features = spaces_of(config, "mind6")
        self._references = references_of(config)
        self._seed = config.seed

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        spaces = {space: dict(features.settings) for space, features in self._features.items()}
        options = {"projections": PROJECTIONS, "seed": self._seed}
        return {"spaces": spaces, "reference": self._digest, **options}

    @cached_property
    def reference_features(self) -> Mapping[str, Tensor]:
        """The features [M, D] of the reference in each space."""
        return {space: self._references[space].rows(features) for space, features in self._features.items()}

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {space: features(images) for space, features in self._features.items()}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        reference = self.reference_features
        return {f"mind_{space}": mind(rows[space], reference[space], seed=self._seed) for space in self._features}

    @property
    def _digest(self) -> str | Mapping[str, str]:
        """The SHA-256 of the reference, by space if each space has its own file."""
        digests = {reference.path: reference.digest for reference in self._references.values()}
        if len(digests) == 1:
            return next(iter(digests.values()))
        return {space: digests[reference.path] for space, reference in self._references.items()}
