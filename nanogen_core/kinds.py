"""The kinds of component and the sections of a configuration that the installed plugins bring. Loads no torch."""

from __future__ import annotations

from typing import Any

from nanogen_core.registry import registry


def slots() -> tuple[str, ...]:
    """The kinds of which a configuration holds one component."""
    return tuple(kind.name for kind in registry().kinds.values() if kind.place == "slot")


def groups() -> tuple[str, ...]:
    """The kinds of which a configuration holds any number of components."""
    return tuple(kind.name for kind in registry().kinds.values() if kind.place == "group")


def group_arguments() -> dict[str, str]:
    """The keyword by which a constructor asks for the components of a group, by kind."""
    return {kind: registry().kinds[kind].argument for kind in groups()}


def defaults() -> dict[str, Any]:
    """The components of slots where nobody names others."""
    return {kind.name: kind.default for kind in registry().kinds.values() if kind.default}


def required() -> tuple[str, ...]:
    """The slots that every configuration fills. Any other is kept where a part needs it."""
    return tuple(kind for kind in slots() if registry().kinds[kind].required)


def sections() -> tuple[str, ...]:
    """The sections of a configuration."""
    return tuple(registry().sections)
