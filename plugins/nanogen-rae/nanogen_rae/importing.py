"""What `nanogen import` answers to the file of a RAE's decoder, which is no model of its own."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from nanogen_core.errors import ConfigError, DataError
from nanogen_rae.decoder_files import decoder_names


def refuse(file: Path, *options: object) -> NoReturn:
    """Raises ConfigError, which says where the file belongs, for a RAE's decoder, and DataError for anything else."""
    if decoder_names(Path(file)):
        raise ConfigError(
            f"{file} holds the decoder of a RAE (a stage 1 checkpoint, or a part of one) and no diffusion backbone: it "
            f"is not imported but read where it lies: set `tokenizer.decoder.path` to it and `tokenizer.decoder.output`"
            f" to 'normalised' for a decoder of the original RAE repository or to 'pixels' for one of DiffusionBench."
        )
    raise DataError(f"{file} holds no decoder of a RAE.")
