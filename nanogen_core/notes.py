"""Sentences that a user should read once in a process, however often what they are about is opened."""

from __future__ import annotations

import logging

_said: set[str] = set()


def warn_once(log: logging.Logger, sentence: str) -> None:
    """Logs a warning, unless it is empty or this process has logged it before."""
    if sentence and sentence not in _said:
        _said.add(sentence)
        log.warning("%s", sentence)
