"""Compares options of a backbone with the architecture of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_dit.config import DDTConfig
from nanogen_dit.published.architecture import Architecture
from nanogen_files.structure import structure

TRUNK = ("hidden", "depth", "heads")


def conflicts(found: Architecture, options: Mapping[str, Any], config: type[Any]) -> list[str]:
    """Return a phrase such as `hidden 384, but the checkpoint has 1152` for each option that differs.

    Args:
        found: The architecture of the checkpoint.
        options: Options of the backbone. Null values are ignored. A `size` is compared by
            its widths, depths and heads.
        config: The options class of the backbone.
    """
    given = {name: value for name, value in options.items() if value is not None}
    numbers = {name: value for name, value in given.items() if name in found.settings}
    if "size" in given:
        numbers = {**_preset(structure({"size": given["size"]}, config, "backbone")), **numbers}
    return [
        f"{name} {value}, but the checkpoint has {found.settings[name]}"
        for name, value in numbers.items()
        if value != found.settings[name]
    ]


def _preset(config: Any) -> dict[str, int]:
    """Widths, depths and heads of a configuration by option name."""
    trunks = {"": config.trunk} | ({"decoder_": config.decoder} if isinstance(config, DDTConfig) else {})
    return {f"{prefix}{name}": getattr(trunk, name) for prefix, trunk in trunks.items() for name in TRUNK}
