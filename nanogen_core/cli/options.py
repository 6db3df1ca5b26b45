"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from nanogen_core.config import Resolved, combine, resolve
from nanogen_core.errors import ConfigError
from nanogen_core.layers import merge
from nanogen_core.yaml_files import parse


def overrides(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--set key.path=value`, any number of times."""
    return click.option(
        "--set", "settings", multiple=True, metavar="KEY.PATH=VALUE", help="Over the configuration; repeatable."
    )(command)


def override_layer(settings: tuple[str, ...]) -> dict[str, Any]:
    """`("train.steps=10", "task=t2i")` as `{"train": {"steps": 10}, "task": "t2i"}`."""
    return merge([_nested(setting) for setting in settings])


def resolved(config: str, settings: tuple[str, ...]) -> Resolved:
    """The configuration of a file or recipe, with the command line's settings over it, resolved."""
    return resolve(combine(config, override_layer(settings)))


def _nested(setting: str) -> dict[str, Any]:
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set takes KEY.PATH=VALUE such as train.steps=100, not {setting!r}.")
    value = parse(text, f"--set {path}")
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)
