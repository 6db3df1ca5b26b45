"""Reads configuration files: YAML 1.1 as PyYAML has it, without its three traps.

A key that stands twice is an error (PyYAML keeps the last one), `1e-3` is a number (PyYAML reads a string), and a file
that is no mapping is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from nanogen_core.errors import ConfigError

_FLOAT = re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$")


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written: merge keys (`<<`) may bring a key again, and lose to the one beside them."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _value in node.value:
            written = (key.tag, str(key.value))
            if written in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(written)
        return node


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789"))


def parse(text: str, source: str) -> Any:
    """The value of a YAML text; `source` names it in the error. Raises ConfigError with the line of the mistake."""
    try:
        return yaml.load(text, _Loader)  # a SafeLoader: builds plain values only
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(f"{source} is not valid YAML{where}: {getattr(error, 'problem', error)}.") from error


def read(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError where the file is missing, no YAML or no mapping."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a UTF-8 text"
        raise ConfigError(f"Cannot read the configuration {path}: {reason}.") from error
    value = parse(text, str(path))
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{path} must hold keys and values such as `task: t2i`, not {type(value).__name__}.")
    return value


def dump(value: Any) -> str:
    """YAML with the keys in their own order, one key a line."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)
