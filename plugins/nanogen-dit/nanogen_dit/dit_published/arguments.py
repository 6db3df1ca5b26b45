"""Configuration from the training arguments that SiT checkpoints contain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import DataError
from nanogen_dit.dit_published.architecture import SiTArchitecture
from nanogen_import import WeightsFile

PREFIX = "args."
VAES = {"ema": "sdvae-ema", "mse": "sdvae-mse"}


def configured(file: WeightsFile, found: SiTArchitecture) -> dict[str, Any]:
    """Return the part of a configuration that the training arguments set. It is empty for a file without them.

    Args:
        file: The checkpoint.
        found: The architecture of its tensors.

    Raises:
        DataError: The arguments are DiT's, the path is not linear, the prediction is not velocity, or the number of
            classes differs from that of the tensors.
    """
    arguments = {name.removeprefix(PREFIX): x for name, x in file.values.items() if name.startswith(PREFIX)}
    if "model" not in arguments:
        return {}
    _refuse_other_kinds(file, arguments)
    classes = found.condition.width - 1
    if arguments.get("num_classes", classes) != classes:
        raise DataError(
            f"{file.path} is inconsistent: its training arguments have num_classes {arguments['num_classes']}, but"
            f" its embedding table implies num_classes {classes}. Use a published SiT checkpoint."
        )
    objective = {"name": "flow", "prediction": "velocity", "shift": 1.0, "sample_shift": 1.0}
    tokenizer = {"name": "vae", "preset": VAES[arguments["vae"]]} if arguments.get("vae") in VAES else None
    size = {"image_size": int(arguments["image_size"])} if "image_size" in arguments else {}
    return {"objective": objective, **({"tokenizer": tokenizer} if tokenizer else {}), **size}


def _refuse_other_kinds(file: WeightsFile, arguments: Mapping[str, Any]) -> None:
    path, prediction = arguments.get("path_type"), arguments.get("prediction")
    if path is None or prediction is None:
        raise DataError(
            f"{file.path} seems to be written by DiT's training script ({arguments['model']}): its arguments lack"
            " path_type or prediction. DiT's epsilon-prediction on another noise schedule is not supported. Use a SiT"
            " checkpoint that predicts the velocity on the linear path."
        )
    if (path, prediction) != ("Linear", "velocity"):
        raise DataError(
            f"{file.path} is a SiT with path {path!r} and prediction {prediction!r}. Only the linear path with"
            " velocity-prediction is supported. Use a SiT checkpoint that predicts the velocity on the linear path."
        )
