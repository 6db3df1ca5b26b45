"""Extracts the options of a network from its JSON description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import DataError


def network_part(described: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the `config` part of a description, or the whole description if it has no such key. Empty for None.

    Raises:
        DataError: The description or the part is not a mapping.
    """
    description = {} if described is None else described
    part = description.get("config", description) if isinstance(description, Mapping) else description
    if not isinstance(part, Mapping):
        raise DataError(
            "The JSON description of the network, and its `config` if it has one, must be an object with keys, not"
            f" {type(part).__name__}."
        )
    return dict(part)
