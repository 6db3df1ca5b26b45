"""Warnings that are logged once per process."""

from __future__ import annotations

import logging

_logged: set[str] = set()


def warn_once(log: logging.Logger, message: str, topic: str | None = None) -> None:
    """Log a warning unless it was logged before.

    Args:
        log: Logger to use.
        message: Text of the warning. An empty text is not logged.
        topic: Log only one warning per topic; by default one per text.
    """
    if message and (topic or message) not in _logged:
        _logged.add(topic or message)
        log.warning("%s", message)
