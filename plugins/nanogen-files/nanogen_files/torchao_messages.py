"""Filters for two log messages that torchao causes when transformers or diffusers import it."""

from __future__ import annotations

import logging


def hide_torchao_messages() -> None:
    """Drop torchao's messages on its C++ extensions, which NanoGen does not use, and torch's on torchao's enums.

    torchao has no switch for them: `TORCHAO_FORCE_SKIP_LOADING_SO_FILES=1` only changes the text. All other messages of
    both loggers are kept.
    """
    logging.getLogger("torchao").addFilter(_is_other)
    logging.getLogger("torch.utils._pytree").addFilter(_is_other)


def _is_other(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    extension = record.name == "torchao" and text.startswith(("Failed to load ", "Skipping import of cpp extensions"))
    # torchao registers an enum, which newer versions of torch support without registration
    enum = text.startswith("<enum 'KernelPreference'> is an Enum subclass")
    return not (extension or enum)
