"""A vision encoder by the name that it is registered under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_align.naming import KIND
from nanogen_core.building import build_named
from nanogen_rae.protocol import VisionEncoder


def vision_encoder(name: str, options: Mapping[str, Any] | None = None, path: str = "encoder") -> VisionEncoder:
    """The encoder of this name with these options; no weights are read. `path` stands before mistakes in options.

    Raises UnknownName or AmbiguousName for the name, ConfigError for an option.
    """
    encoder: VisionEncoder = build_named(KIND, {**(options or {}), "name": name}, path=path)
    return encoder
