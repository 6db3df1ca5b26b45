"""Reading of recorded training curves: `training_curve_NAME.json` and `training_curve_NAME.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.equivalence.recorded import Network, configuration, network_of
from nanogen_core.errors import DataError

PATTERN = "training_curve*.json"


@frozen
class Moments:
    """Mean and standard deviation over seeds at each recorded step."""

    mean: tuple[float, ...]
    sd: tuple[float, ...]


@frozen
class Curve:
    """A recorded curve with its settings and data."""

    name: str
    network: Network
    configuration: Mapping[str, Any]  # of the same training by this library
    steps: tuple[int, ...]  # recorded ones, rising
    seeds: int
    student: Moments
    average: Moments
    tensors: Mapping[str, Tensor]  # latents, labels, val.latents, val.labels, val.noise, val.t


def curves_in(folder: Path) -> list[Path]:
    """Return the JSON files of the curves in a folder. Raises DataError if there are none."""
    found = sorted(folder.glob(PATTERN))
    if not found:
        raise DataError(f"There is no training curve ({PATTERN}) in {folder}: give a folder with curves.")
    return found


def read(path: Path) -> Curve:
    """Read a curve. Raises DataError if a file is missing, or has unknown settings."""
    try:
        recorded = json.loads(path.read_text())
        tensors = load_file(path.with_suffix(".safetensors"))
        network = network_of(recorded["network"])
        return Curve(
            name=path.stem,
            network=network,
            configuration=configuration(network, recorded["training"]),
            steps=tuple(recorded["steps"]),
            seeds=int(recorded["seeds"]),
            student=_moments(recorded["student"]),
            average=_moments(recorded["average"]),
            tensors={name: x.float() if x.is_floating_point() else x for name, x in tensors.items()},
        )
    except KeyError as error:
        raise DataError(f"{path} has no {error.args[0]!r}.") from error
    except (DataError, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a training curve: {error}") from error


def _moments(recorded: Mapping[str, Any]) -> Moments:
    return Moments(tuple(recorded["mean"]), tuple(recorded["sd"]))
