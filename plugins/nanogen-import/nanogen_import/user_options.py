"""Options of an import: configuration (of NanoGen or published by another program), recipe and settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nanogen_core.config import combine, load_config
from nanogen_core.config_layers import Layer, for_task, keys, named
from nanogen_core.errors import ConfigError, UnknownName, listing, near_miss
from nanogen_core.registry import registry
from nanogen_files import yaml_files

#: A configuration of NanoGen has at least one of these keys. Other programs may also use its other keys.
OWN = frozenset({"task", "method", "tokenizer", "backbone", "objective"})
SETTINGS = "--set"


@frozen
class UserOptions:
    """Options that the user gave.

    Attributes:
        source: Name of the configuration or recipe, for messages.
        raw: Configuration of NanoGen, from a file or recipe; empty if there is none.
        foreign: Published configuration in another program's format; None if there is none.
        recipe: Name of the recipe; None if there is none.
        settings: Configuration of `--set`, which overrides the others.
    """

    source: str = ""
    raw: Mapping[str, Any] = field(factory=dict)
    foreign: Mapping[str, Any] | None = None
    recipe: str | None = None
    settings: Mapping[str, Any] = field(factory=dict)

    @property
    def complete(self) -> bool:
        """Whether a recipe or published configuration makes all choices."""
        return self.recipe is not None or self.foreign is not None

    def combined(self, task: str | None = None) -> dict[str, Any]:
        """Return the configuration merged with the settings, for `task` if it is given."""
        switch = {} if task is None else {"task": task}
        return combine(self.raw, {**switch, **self.settings})

    def without_settings(self, task: str) -> dict[str, Any]:
        """Return the configuration for a task, without the settings."""
        return combine(self.raw, {"task": task})

    def layers(self, task: str) -> list[tuple[str, Layer]]:
        """Return (source, layer) of the settings and of the configuration, highest priority first."""
        return [(SETTINGS, task_layer(self.settings, task)), (self.source, task_layer(self.raw, task))]


def task_layer(raw: Mapping[str, Any], task: str) -> Layer:
    """Return the values of a configuration for a task, without defaults. `resolve` reports its errors later."""
    return for_task(named(raw), task, [])


def read_options(
    config: str | Path | Mapping[str, Any] | None, recipe: str | None, settings: Mapping[str, Any] | None
) -> UserOptions:
    """Read the options of an import.

    Args:
        config: Configuration of NanoGen or of another program, as a file or mapping.
        recipe: Name of a recipe.
        settings: Configuration that overrides `config` or `recipe`.

    Raises:
        ConfigError: Both `config` and `recipe` are given, or the format of `config` is unclear.
        UnknownName: There is no such recipe.
    """
    over = settings or {}
    if recipe is not None:
        if config is not None:
            raise ConfigError("Give a configuration or a recipe, not both: --set changes single options of either.")
        return UserOptions(f"recipe {recipe}", _recipe(recipe), recipe=recipe, settings=over)
    if config is None:
        return UserOptions(settings=over)
    source = "the configuration" if isinstance(config, Mapping) else str(config)
    values = config if isinstance(config, Mapping) else _file(config)
    return (
        UserOptions(source, values, settings=over)
        if _is_own(values, source)
        else UserOptions(source, {}, values, None, over)
    )


def _recipe(name: str) -> Mapping[str, Any]:
    recipes = registry().recipes
    if name not in recipes:
        raise UnknownName(f"There is no recipe {name!r}.{near_miss(name, recipes)} Recipes: {listing(recipes)}.")
    return load_config(name)


def _file(path: str | Path) -> Mapping[str, Any]:
    if not Path(path).is_file() and str(path) in registry().recipes:
        raise ConfigError(f"--config takes a file, and {path} is the name of a recipe: use --recipe {path}.")
    return yaml_files.read(path)


def _is_own(values: Mapping[str, Any], source: str) -> bool:
    """Return whether a configuration is one of NanoGen.

    Raises ConfigError if it has keys of both formats, or only keys that both formats use.
    """
    own, unknown = values.keys() & OWN, values.keys() - set(keys())
    if own and unknown:
        near = "".join(near_miss(key, keys()) for key in sorted(unknown))
        raise ConfigError(
            f"{source} has keys of NanoGen ({listing(own)}) and unknown keys ({listing(unknown)}).{near} Correct the"
            " keys. If the file is another program's, remove NanoGen's keys."
        )
    if not own and not unknown:
        raise ConfigError(
            f"{source} could be a configuration of NanoGen or of another program: its keys ({listing(values)}) do not"
            " show which. Add `task:` and `method:`, or give the complete published file."
        )
    return bool(own)
