"""Plugin hooks: the functions that a manifest module may implement. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from nanogen_core.registry import Chosen
    from nanogen_core.specs import Component, Kind, Method

PROJECT = "nanogen"
API = 1  #: value of `NANOGEN_API` in a manifest for this version of the hooks

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def nanogen_components() -> list[Component]:  # type: ignore[empty-body]
    """Return the components that this plugin offers."""


@hookspec
def nanogen_methods() -> list[Method]:  # type: ignore[empty-body]
    """Return the named combinations of components that this plugin offers (`method: NAME`)."""


@hookspec
def nanogen_kinds() -> list[Kind]:  # type: ignore[empty-body]
    """Return the kinds of component that this plugin defines."""


@hookspec
def nanogen_sections() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return the configuration sections that this plugin defines: `{"train": "module:AttrsClass"}`."""


@hookspec
def nanogen_commands() -> Mapping[str, tuple[str, str]]:  # type: ignore[empty-body]
    """Return commands of the command line: `{"name": ("module:command", "one line of help")}`.

    `module:command` references a click command. It is imported when the command is used.
    """


@hookspec
def nanogen_recipes() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return configuration files in this plugin's wheel: `{"name": "package:folder/file.yaml"}`."""


@hookspec
def nanogen_plans() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return experiment plans in this plugin's wheel: `{"name": "package:folder/file.yaml"}`."""


@hookspec
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:  # type: ignore[empty-body]
    """Return reasons why the selected components cannot be combined, one sentence each.

    `parts` maps each filled slot to its component with options; `config` is the merged configuration. Called before any
    component is imported, so decide by names and options alone.
    """
