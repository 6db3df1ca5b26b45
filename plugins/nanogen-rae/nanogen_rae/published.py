"""Makes each published encoder an attribute, so that the target of a component is `nanogen_rae.published:NAME`."""

from __future__ import annotations

from functools import partial
from typing import Any

from nanogen_rae.encoder import PublishedEncoder
from nanogen_rae.presets import ENCODERS


def __getattr__(name: str) -> Any:
    if name not in ENCODERS:
        raise AttributeError(f"module {__name__!r} has no encoder {name!r}")
    return partial(PublishedEncoder, name)
