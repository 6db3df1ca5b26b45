"""Builds a vision encoder by its registered name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_align.naming import KIND
from nanogen_core.named_components import build_named
from nanogen_rae.protocol import VisionEncoder


def vision_encoder(name: str, options: Mapping[str, Any] | None = None, path: str = "encoder") -> VisionEncoder:
    """Build a vision encoder. No weights are loaded.

    Args:
        name: Registered name.
        options: Options of the encoder.
        path: Path of the options in the configuration, for error messages.

    Raises:
        UnknownName: There is no encoder of this name.
        AmbiguousName: Several plugins have an encoder of this name.
        ConfigError: An option is invalid.
    """
    encoder: VisionEncoder = build_named(KIND, {**(options or {}), "name": name}, path=path)
    return encoder
