"""Experiment trackers of accelerate, such as TensorBoard and Weights & Biases."""

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

from nanogen_core.errors import ConfigError, TrainingError, listing, near_miss
from nanogen_core.resolved import Resolved
from nanogen_files.config_diff import flat

AUTO = "auto"
TENSORBOARD = str(LoggerType.TENSORBOARD)
FOLDER = "tensorboard"  # subfolder of a run for trackers that write files
PROJECT = "nanogen"
SINGLE_IMAGE = ("aim", "clearml")  # trackers that take one image, not a list


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Return the trackers in `train.trackers` without duplicates; "auto" is TensorBoard if it is installed.

    Raises:
        ConfigError: A tracker is unknown, or its package is not installed.
    """
    installed = _installed()
    for name in names:
        if name != AUTO and name not in LOGGER_TYPE_TO_CLASS:
            known = [*LOGGER_TYPE_TO_CLASS, AUTO]
            raise ConfigError(
                f"train.trackers: unknown tracker {name!r}.{near_miss(name, known)} Known: {listing(known)}."
            )
        if name != AUTO and name not in installed:
            raise ConfigError(
                f"train.trackers: {name} is not installed: `pip install {name}`, or remove it. Installed:"
                f" {listing(installed)}."
            )
    names_ = [TENSORBOARD if name == AUTO else name for name in names]
    return tuple(name for name in dict.fromkeys(names_) if name in installed)


def _installed() -> list[str]:
    """Return accelerate's trackers whose package is installed, and registered ones."""
    builtin = {str(member) for member in LoggerType}
    return [*map(str, get_available_trackers()), *(name for name in LOGGER_TYPE_TO_CLASS if name not in builtin)]


class Trackers:
    """The trackers of a run. Only calls on the first process have an effect."""

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator

    def start(self, config: Resolved, folder: Path, step: int) -> None:
        """Start the trackers.

        Args:
            config: The configuration, which is logged.
            folder: Folder of the run.
            step: Step to start at. TensorBoard discards later steps, which a killed run may have written.

        Raises:
            TrainingError: A tracker cannot start.
        """
        options = {
            TENSORBOARD: {"purge_step": step + 1} if step else {},
            str(LoggerType.WANDB): {"name": folder.name, "dir": str(folder)},
        }
        chosen = config.sections["train"].trackers
        values = {key: _plain(value) for key, value in flat(config.as_dict())}
        try:
            self._accelerator.init_trackers(PROJECT, config=values, init_kwargs=options)
        except OSError:
            raise
        except Exception as error:  # service unreachable, or not authenticated
            raise TrainingError(
                f"A tracker of train.trackers ({listing(chosen)}) cannot start ({type(error).__name__}: {error}):"
                " configure it, or remove it from the list."
            ) from error

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Log the scalars of a step."""
        self._accelerator.log(dict(scalars), step=step)

    def log_images(self, step: int, pictures: Mapping[str, Image.Image]) -> None:
        """Log images by name. Trackers without image support ignore them."""
        for tracker in self._accelerator.trackers:
            for name, picture in pictures.items():
                _log_image(tracker, step, name, picture)

    def close(self) -> None:
        """Finish all trackers."""
        for tracker in self._accelerator.trackers:  # end_training() would also destroy the process group
            tracker.finish()


def _log_image(tracker: Any, step: int, name: str, picture: Image.Image) -> None:
    writer = tracker.tracker
    if hasattr(writer, "add_image"):  # TensorBoard
        writer.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")
    elif hasattr(tracker, "log_images"):
        tracker.log_images({name: picture if tracker.name in SINGLE_IMAGE else [picture]}, step=step)


def _plain(value: Any) -> bool | int | float | str:
    """Return a value that every tracker accepts; others as JSON text."""
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
