"""Ctrl-C in a command: a message that says what is kept and how to continue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nanogen_files.errors import NanoGenError


class Interrupted(NanoGenError):
    """The user stopped the command. The message says what is kept and how to continue."""

    exit_code = 130  # shell convention for a program ended by Ctrl-C


@contextmanager
def on_interrupt(message: str) -> Iterator[None]:
    """Raise `Interrupted` with a message if Ctrl-C (KeyboardInterrupt) ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(message) from None
