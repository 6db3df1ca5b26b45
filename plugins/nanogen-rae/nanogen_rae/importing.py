"""What `nanogen import` answers to the file of a RAE's decoder, which is no model of its own."""

from __future__ import annotations

from typing import NoReturn

from nanogen_core.errors import ConfigError
from nanogen_import import Unrecognised, WeightsFile
from nanogen_rae.decoder_files import decoder_names


def refuse(file: WeightsFile, **options: object) -> NoReturn:
    """Raises ConfigError, which says where the file belongs, for a RAE's decoder, and Unrecognised for another file."""
    if decoder_names(file.tensors):
        raise ConfigError(
            f"{file.path} holds the decoder of a RAE (a stage 1 checkpoint, or a part of one) and no backbone. It"
            f" is not imported but read where it lies: set `tokenizer.decoder.path` to it and"
            f" `tokenizer.decoder.output` to 'normalised' for a decoder of the original RAE repository or to 'pixels'"
            f" for one of DiffusionBench."
        )
    raise Unrecognised("it has no decoder of a RAE")
