"""Error of `nanogen import` for the file of a RAE decoder, which is not a backbone."""

from __future__ import annotations

from typing import NoReturn

from nanogen_core.errors import ConfigError
from nanogen_import import Unrecognised, WeightsFile
from nanogen_rae.decoder_files import decoder_names


def refuse(file: WeightsFile, **options: object) -> NoReturn:
    """Raise ConfigError for the file of a RAE decoder, Unrecognised for any other file."""
    if decoder_names(file.tensors):
        raise ConfigError(
            f"{file.path} contains the decoder of a RAE, not a backbone, and needs no import. Set"
            f" `tokenizer.decoder.path` to it, and `tokenizer.decoder.output` to 'normalised' for a decoder of the"
            f" original RAE repository or to 'pixels' for one of DiffusionBench."
        )
    raise Unrecognised("it contains no RAE decoder")
