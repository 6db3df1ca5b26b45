"""A judge's network by name: an `encoder` component that provides the capability word of the job."""

from __future__ import annotations

from typing import Any

from nanogen_core.errors import ConfigError, listing
from nanogen_core.named_components import Named, build_named
from nanogen_core.registry import registry


def frozen_judge(word: str, named: Named, *, path: str) -> Any:
    """The encoder of this name, or of a mapping with `name` and its options. Raises ConfigError for one that does not
    provide `word`: `"detector"`, `"vqa"` or `"vqascore"`."""
    name = named if isinstance(named, str) else named.get("name")
    if isinstance(name, str) and word not in registry().component("encoder", name).what.provides:
        able = listing(registry().providing("encoder", [word]))
        raise ConfigError(f"{path}: the encoder {name!r} does not provide {word!r}; those that do: {able}.")
    return build_named("encoder", named, path=path)
