"""Filters for two kinds of log messages that torchao causes when transformers or diffusers import it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

ENUMS = ("KernelPreference", "ScaleCalculationMode")


def hide_torchao_messages() -> None:
    """Drop torchao's log messages about its C++ extensions, and torch's log messages about two enums of torchao.

    NanoGen does not use the extensions. torchao has no switch for their messages:
    `TORCHAO_FORCE_SKIP_LOADING_SO_FILES=1` only changes the text. All other messages of both loggers are kept.
    """
    import logging  # takes 10 ms; `nanogen --help` does not need it

    logging.getLogger("torchao").addFilter(_is_other)
    logging.getLogger("torch.utils._pytree").addFilter(_is_other)


def _is_other(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    extension = record.name == "torchao" and text.startswith(("Failed to load ", "Skipping import of cpp extensions"))
    # torchao registers enums, which newer versions of torch support without registration
    enum = text.startswith(tuple(f"<enum '{name}'> is an Enum subclass" for name in ENUMS))
    return not (extension or enum)
