"""`from_pretrained` of transformers and diffusers, without running any code that lies beside a model."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from nanogen_files.errors import DataError
from nanogen_files.weights import refuse_nonfinite

REMOTE = "trust_remote_code"


def from_pretrained(kind: Any, source: str | Path | None, **options: Any) -> Any:
    """`kind.from_pretrained(source)`; a local folder never asks the network.

    Raises DataError for a model that asks for Python code of its own, and for a file of weights that is damaged or has
    Python objects in it; whatever else the library raises goes on.
    """
    folder = None if source is None else Path(source).expanduser()
    place = str(folder) if folder is not None and folder.is_dir() else source
    own: dict[str, Any] = {"local_files_only": place is not source or isinstance(source, Path)}
    if kind.__name__.startswith("Auto"):  # the classes that choose others by what a folder says
        own[REMOTE] = False
    try:
        return kind.from_pretrained(place, **{**own, **options})
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{source} has a file of weights with Python objects in it, which is not opened, because opening it could"
            " run any code: save the weights as safetensors."
        ) from error
    except SafetensorError as error:
        raise DataError(f"{source} has a damaged safetensors file ({error}): fetch the model again.") from error
    except ValueError as error:
        if REMOTE not in str(error):
            raise
        raise DataError(
            f"{source} asks for Python code of its own (`auto_map` in its configuration), which is never run: use a"
            " model whose class comes with the library."
        ) from error


def refuse_damaged(model: Any, source: str | Path) -> None:
    """Raises DataError that names the first parameter with numbers that are not finite."""
    refuse_nonfinite({name: value.detach() for name, value in model.named_parameters()}, Path(source))
