"""Filters for log messages that torchao causes when transformers or diffusers import it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

ENUMS = ("KernelPreference", "ScaleCalculationMode")
DIFFUSERS = "diffusers.quantizers.torchao.torchao_quantizer"


def hide_torchao_messages() -> None:
    """Drop log messages about torchao: its own about its C++ extensions, torch's about two of its enums, and that of
    diffusers about checkpoints in its formats.

    NanoGen does not use the extensions and the formats. torchao has no switch for their messages:
    `TORCHAO_FORCE_SKIP_LOADING_SO_FILES=1` only changes the text. All other messages of these loggers are kept.
    """
    import logging  # takes 10 ms; `nanogen --help` does not need it

    for name in ("torchao", "torch.utils._pytree", DIFFUSERS):
        logging.getLogger(name).addFilter(_is_other)


def _is_other(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    extension = record.name == "torchao" and text.startswith(("Failed to load ", "Skipping import of cpp extensions"))
    # torchao registers enums, which newer versions of torch support without registration
    enum = text.startswith(tuple(f"<enum '{name}'> is an Enum subclass" for name in ENUMS))
    formats = record.name == DIFFUSERS and text.startswith("Unable to import `torchao` Tensor objects")
    return not (extension or enum or formats)
