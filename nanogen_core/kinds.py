"""Component kinds and configuration sections of the installed plugins. Does not import torch."""

from __future__ import annotations

from typing import Any

from nanogen_core.registry import registry


def slots() -> tuple[str, ...]:
    """Return the kinds with at most one component per configuration."""
    return tuple(kind.name for kind in registry().kinds.values() if kind.place == "slot")


def groups() -> tuple[str, ...]:
    """Return the kinds with any number of components per configuration."""
    return tuple(kind.name for kind in registry().kinds.values() if kind.place == "group")


def group_arguments() -> dict[str, str]:
    """Return, for each group, the constructor parameter that receives its components."""
    return {kind: registry().kinds[kind].argument for kind in groups()}


def defaults() -> dict[str, Any]:
    """Return the default component of each slot that has one."""
    return {kind.name: kind.default for kind in registry().kinds.values() if kind.default}


def required() -> tuple[str, ...]:
    """Return the slots that every configuration must fill, unless a selected component excludes them."""
    return tuple(kind for kind in slots() if registry().kinds[kind].required)


def sections() -> tuple[str, ...]:
    """Return the names of the configuration sections, such as `train`."""
    return tuple(registry().sections)
