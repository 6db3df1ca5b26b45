"""The description of a network beside its checkpoint: JSON, as a whole or its `config` part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import DataError


def network_part(described: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the numbers of the network. Raises DataError where they are no mapping."""
    whole = {} if described is None else described
    part = whole.get("config", whole) if isinstance(whole, Mapping) else whole
    if not isinstance(part, Mapping):
        raise DataError(f"The description of the network must hold keys and values, not {type(part).__name__}.")
    return dict(part)
