"""Load transformers and diffusers models without running code from the model folder."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from nanogen_files.errors import DataError
from nanogen_files.hub import can_download
from nanogen_files.weights import refuse_nonfinite

REMOTE = "trust_remote_code"


def from_pretrained(kind: Any, source: str | Path | None, **options: Any) -> Any:
    """Call `kind.from_pretrained(source)`. Stays offline for a local folder or a Path, and if the hub does not answer.

    Args:
        kind: Model, tokenizer or configuration class of transformers or diffusers.
        source: Local folder or hub name. None is passed on.
        options: Further arguments of `kind.from_pretrained`.

    Raises:
        FileNotFoundError: `source` is a string that is not a local folder and cannot be a hub name.
        DataError: The model needs its own Python code, or its weights are corrupt or contain Python objects. Other
            errors of transformers or diffusers are not caught.
    """
    folder = None if source is None else Path(source).expanduser()
    place = str(folder) if folder is not None and folder.is_dir() else source
    defaults: dict[str, Any] = {"local_files_only": place is not source or isinstance(source, Path)}
    if source is not None and not {**defaults, **options}["local_files_only"]:
        defaults["local_files_only"] = not can_download(source)
    if kind.__name__.startswith("Auto"):  # the Auto classes accept this option
        defaults[REMOTE] = False
    try:
        return kind.from_pretrained(place, **{**defaults, **options})
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{source} has a weight file that is corrupt or has pickled Python objects. It is not loaded, because"
            " loading it could run any code. Save its weights as safetensors. If it is corrupt, download it again."
        ) from error
    except SafetensorError as error:
        raise DataError(f"{source} has a corrupt safetensors file ({error}): download the model again.") from error
    except ValueError as error:
        if REMOTE not in str(error):
            raise
        raise DataError(
            f"{source} requires its own Python code (`auto_map` in its configuration), which is never run: use a"
            " model whose class is part of transformers or diffusers."
        ) from error


def refuse_damaged(model: Any, source: str | Path) -> None:
    """Raise DataError if a parameter contains NaN or infinity. Names the first such parameter."""
    refuse_nonfinite({name: value.detach() for name, value in model.named_parameters()}, Path(source))
