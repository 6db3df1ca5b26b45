"""What the arguments of SiT's training script, which its checkpoints hold, decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import DataError
from nanogen_dit.dit_published.architecture import SiTArchitecture
from nanogen_import import WeightsFile

PREFIX = "args."
VAES = {"ema": "sdvae-ema", "mse": "sdvae-mse"}


def configured(file: WeightsFile, found: SiTArchitecture) -> dict[str, Any]:
    """The part of a configuration that the arguments decide; empty where the file has none.

    Raises DataError for the arguments of DiT's script, of other paths or predictions, and of other classes.
    """
    said = {name.removeprefix(PREFIX): x for name, x in file.values.items() if name.startswith(PREFIX)}
    if "model" not in said:
        return {}
    _refuse_other_kinds(file, said)
    classes = found.condition.width - 1
    if said.get("num_classes", classes) != classes:
        raise DataError(
            f"{file.path}: its arguments say {said['num_classes']} classes, its table has {classes} and the null class."
        )
    objective = {"name": "flow", "prediction": "velocity", "shift": 1.0, "sample_shift": 1.0}
    tokenizer = {"name": "vae", "preset": VAES[said["vae"]]} if said.get("vae") in VAES else None
    size = {"image_size": int(said["image_size"])} if "image_size" in said else {}
    return {"objective": objective, **({"tokenizer": tokenizer} if tokenizer else {}), **size}


def _refuse_other_kinds(file: WeightsFile, said: Mapping[str, Any]) -> None:
    path, prediction = said.get("path_type"), said.get("prediction")
    if path is None or prediction is None:
        raise DataError(
            f"{file.path} was written by DiT's training script ({said['model']}): epsilon-prediction on its own noise"
            " schedule is not supported, only SiT's velocity on the linear path."
        )
    if (path, prediction) != ("Linear", "velocity"):
        raise DataError(
            f"{file.path} is a SiT of path {path!r} and prediction {prediction!r}: only the linear path with"
            " velocity-prediction is supported."
        )
