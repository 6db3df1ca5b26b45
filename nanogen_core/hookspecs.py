"""The whole extension surface: the hooks that a plugin's manifest module may implement. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from nanogen_core.registry import Chosen
    from nanogen_core.specs import Component, Kind, Method

PROJECT = "nanogen"
API = 1  #: what a manifest states as NANOGEN_API

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def nanogen_components() -> list[Component]:  # type: ignore[empty-body]
    """The components that this plugin offers."""


@hookspec
def nanogen_methods() -> list[Method]:  # type: ignore[empty-body]
    """The ready combinations that this plugin offers under one name."""


@hookspec
def nanogen_kinds() -> list[Kind]:  # type: ignore[empty-body]
    """The kinds of component that this plugin brings."""


@hookspec
def nanogen_sections() -> Mapping[str, str]:  # type: ignore[empty-body]
    """The sections of a configuration that this plugin reads: `{"name": "module:AttrsClass"}`."""


@hookspec
def nanogen_commands() -> Mapping[str, tuple[str, str]]:  # type: ignore[empty-body]
    """The verbs of the command line that this plugin brings: `{"verb": ("module:command", "one line of help")}`.

    The command is a click command. It is imported when the verb is used.
    """


@hookspec
def nanogen_recipes() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Configuration files that come in the plugin's wheel: `{"name": "package:folder/file.yaml"}`."""


@hookspec
def nanogen_plans() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Plans of many runs that come in the plugin's wheel: `{"name": "package:folder/file.yaml"}`."""


@hookspec
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:  # type: ignore[empty-body]
    """Reasons why the chosen parts cannot work together, one sentence each; asked before anything is imported."""
