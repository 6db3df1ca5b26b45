"""Sentences that a user should read once in a process, however often what they are about is opened."""

from __future__ import annotations

import logging

_said: set[str] = set()


def warn_once(log: logging.Logger, sentence: str, about: str | None = None) -> None:
    """Logs a warning, unless it is empty or this process has logged it before: this very sentence, or one `about` the
    same."""
    if sentence and (about or sentence) not in _said:
        _said.add(about or sentence)
        log.warning("%s", sentence)
