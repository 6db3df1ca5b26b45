"""A vision encoder by the name that it is registered under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.config import import_object
from nanogen_core.registry import registry
from nanogen_core.structure import structure
from nanogen_rae.protocol import VisionEncoder


def vision_encoder(name: str, options: Mapping[str, Any] | None = None, path: str = "encoder") -> VisionEncoder:
    """The encoder of this name with these options; no weights are read. `path` stands before mistakes in options.

    Raises UnknownName or AmbiguousName for the name, ConfigError for an option.
    """
    component = registry().component("encoder", name).what
    config = structure(options or {}, import_object(component.config), path) if component.config else None
    arguments = () if config is None else (config,)
    encoder: VisionEncoder = import_object(component.target)(*arguments)
    return encoder
