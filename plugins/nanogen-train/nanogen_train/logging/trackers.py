"""Experiment trackers, by accelerate's own: TensorBoard, Weights & Biases and others, beside the run's log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import LoggerType
from PIL import Image

from nanogen_core.config_diff import flat
from nanogen_core.errors import ConfigError, TrainingError, listing, near_miss
from nanogen_core.resolved import Resolved

AUTO = "auto"
TENSORBOARD = str(LoggerType.TENSORBOARD)
FOLDER = "tensorboard"  # of a run, for trackers that write files
PROJECT = "nanogen"
ONE_PICTURE = ("aim", "clearml")  # to these accelerate hands a picture as it comes, to all others a list of them


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The trackers that `train.trackers` names, each once; "auto" is TensorBoard or nothing.

    Raises ConfigError for one that accelerate does not know, or whose package is not installed.
    """
    installed = _installed()
    for name in names:
        if name != AUTO and name not in LOGGER_TYPE_TO_CLASS:
            known = [*LOGGER_TYPE_TO_CLASS, AUTO]
            raise ConfigError(
                f"train.trackers: there is no tracker {name!r}.{near_miss(name, known)} Known: {listing(known)}."
            )
        if name != AUTO and name not in installed:
            raise ConfigError(
                f"train.trackers: {name} is not installed: `pip install {name}`, or leave it out; installed:"
                f" {listing(installed)}."
            )
    meant = [TENSORBOARD if name == AUTO else name for name in names]
    return tuple(name for name in dict.fromkeys(meant) if name in installed)


def _installed() -> list[str]:
    """Those of accelerate whose package is here, and those that were registered with it."""
    own = {str(member) for member in LoggerType}
    return [*map(str, get_available_trackers()), *(name for name in LOGGER_TYPE_TO_CLASS if name not in own)]


class Trackers:
    """The trackers of a run. The first process's calls count; those of the others do nothing."""

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator

    def start(self, config: Resolved, folder: Path, step: int) -> None:
        """Opens them, from `step` on: what TensorBoard has of later steps was made by a run that was killed.

        Raises TrainingError for one that does not open.
        """
        options = {
            TENSORBOARD: {"purge_step": step + 1} if step else {},
            str(LoggerType.WANDB): {"name": folder.name, "dir": str(folder)},
        }
        chosen = config.sections["train"].trackers
        values = {key: _simple(value) for key, value in flat(config.as_dict())}
        try:
            self._accelerator.init_trackers(PROJECT, config=values, init_kwargs=options)
        except OSError:
            raise
        except Exception as error:  # a service that cannot be reached, or does not know who asks
            raise TrainingError(
                f"A tracker cannot start ({type(error).__name__}: {error}): set it up, or leave it out of"
                f" train.trackers ({listing(chosen)})."
            ) from error

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        self._accelerator.log(dict(scalars), step=step)

    def show(self, step: int, pictures: Mapping[str, Image.Image]) -> None:
        """Pictures by name: sheets of samples, figures. Trackers that take none are left out."""
        for tracker in self._accelerator.trackers:
            for name, picture in pictures.items():
                _show(tracker, step, name, picture)

    def close(self) -> None:
        for tracker in self._accelerator.trackers:  # not end_training(), which parts the processes
            tracker.finish()


def _show(tracker: Any, step: int, name: str, picture: Image.Image) -> None:
    writer = tracker.tracker
    if hasattr(writer, "add_image"):  # TensorBoard's
        writer.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")
    elif hasattr(tracker, "log_images"):
        tracker.log_images({name: picture if tracker.name in ONE_PICTURE else [picture]}, step=step)


def _simple(value: Any) -> bool | int | float | str:
    """What every tracker takes as a setting; the rest as its text."""
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
