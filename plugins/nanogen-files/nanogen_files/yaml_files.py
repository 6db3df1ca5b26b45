"""Read and write YAML configuration files safely, with size limits.

- Duplicate keys and keys that are not strings are errors. PyYAML keeps the last duplicate.
- `1e-3` is a number; PyYAML reads it as a string. `1:30`, `010` and dates are strings.
- Size, depth and expanded aliases are limited before any value is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from nanogen_files.errors import ConfigError, shown

LONGEST_PATH = 1000  # characters; errors truncate longer paths
CHARACTERS = 500_000  #: maximum length of a file
DEPTH = 50  #: maximum nesting of lists and mappings
VALUES = 100_000  #: maximum number of values in a file, with aliases expanded

_INT = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(
    r"^([-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+)"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)
_TAG = "tag:yaml.org,2002:"
_OWN = {f"{_TAG}int": (_INT, "-+0123456789"), f"{_TAG}float": (_FLOAT, "-+.0123456789")}
_KNOWN = {_TAG + word for word in ("str", "int", "float", "bool", "null", "seq", "map", "merge")}


class _Loader(yaml.SafeLoader):
    """Loader with limits. Builds strings, numbers, booleans, null, lists and mappings only."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            problem = f"lists and mappings are nested more than {DEPTH} levels deep: flatten them"
            raise ConstructorError(None, None, problem, mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_yaml_int(self, node: Any) -> int:
        text = self.construct_scalar(node).replace("_", "")
        return int(text, 16 if "x" in text else 10)


class _Dumper(yaml.SafeDumper):
    """Dumper that quotes every string that PyYAML or `_Loader` would read as another type."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = '"' if any(letter in text for letter in "\r\x85\u2028\u2029") else None  # YAML folds these line ends
        return self.represent_scalar(f"{_TAG}str", text, style=style)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (*_OWN, f"{_TAG}timestamp", f"{_TAG}value")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_yaml_int)
_Dumper.add_representer(str, _Dumper.represent_text)
for _tag, (_pattern, _first) in _OWN.items():
    _Loader.add_implicit_resolver(_tag, _pattern, list(_first))
    _Dumper.add_implicit_resolver(_tag, _pattern, list(_first))


def parse(text: str, source: str) -> Any:
    """Parse a YAML text.

    Args:
        text: The YAML text.
        source: Name of the text in error messages.

    Raises:
        ConfigError: The text is not valid YAML, has unsupported content or exceeds a limit. Gives line and column where
            known.
    """
    return _parsed(text, source, _built)


def flow(text: str, source: str, unquoted: Callable[[str], Any]) -> Any:
    """Parse a YAML text into lists, mappings and strings.

    Args:
        text: The YAML text.
        source: Name of the text in error messages.
        unquoted: Called with every unquoted scalar value; its result replaces the value. Not called for keys and empty
            values. An empty value is None.

    Raises:
        ConfigError: The text is not valid YAML, has unsupported content or exceeds a limit.
    """
    return _parsed(text, source, lambda _, node: _strings(node, unquoted))


def scalar(text: str) -> Any:
    """Parse an unquoted YAML scalar: null, a boolean, a number, or the text itself."""
    loader = _Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    node = yaml.ScalarNode(tag, text)
    try:
        return text if node.tag == f"{_TAG}str" or not text else loader.construct_object(node)
    except (ValueError, yaml.YAMLError):  # an integer with too many digits
        return text


def read(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping. Raises ConfigError if it is missing, invalid, or not a mapping."""
    path = Path(path)
    value = parse(_text(path), str(path))
    if not isinstance(value, dict):
        found = "is empty" if value is None else f"contains a value of type {type(value).__name__}"
        raise ConfigError(f"{path} {found}. Write a mapping such as `task: t2i`.")
    return value


def dump(value: Any) -> str:
    """Format a value as YAML, with keys in insertion order and one key per line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(4 * CHARACTERS + 1)  # a pipe or device has no size
        return content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"Cannot read the configuration {path}: it is not UTF-8. Save it as UTF-8.") from error
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        reason = getattr(error, "strerror", None) or error
        name = str(path) if len(str(path)) <= LONGEST_PATH and "\0" not in str(path) else shown(str(path))
        raise ConfigError(f"Cannot read the configuration {name}: {reason}.") from error


def _parsed(text: str, source: str, build: Any) -> Any:
    if len(text) > CHARACTERS:
        raise ConfigError(
            f"{source} is too long for a configuration file: more than {CHARACTERS:,} characters. Check that it is the"
            " right file."
        )
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, {})
        return build(loader, node)
    except yaml.YAMLError as error:
        problem_position = getattr(error, "problem_mark", None)
        where = f" (line {problem_position.line + 1}, column {problem_position.column + 1})" if problem_position else ""
        texts = [getattr(error, "context", None), getattr(error, "problem", None)]
        problem = " ".join(word for word in texts if word) or str(error)
        problem = problem.splitlines()[0][:200]
        raise ConfigError(f"{source} cannot be read as YAML{where}: {problem}.") from error
    except ValueError as error:  # an integer with too many digits
        raise ConfigError(f"{source} contains a value that cannot be read: {error}. Correct or quote it.") from error


def _built(loader: _Loader, node: Any) -> Any:
    return loader.construct_document(node)


def _strings(node: Any, unquoted: Callable[[str], Any]) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_strings(item, unquoted) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {key.value: _strings(value, unquoted) for key, value in node.value}
    if node.style is None:
        return unquoted(node.value) if node.value else None
    return node.value


def _check(node: Any, sizes: dict[int, int]) -> int:
    """Return the number of values in a node, with aliases expanded. Raises ConstructorError for unsupported content."""
    size = sizes.get(id(node))
    if size == 0:
        raise _constructor_error("a value contains itself: remove the alias", node)
    if size is not None:
        return size
    sizes[id(node)] = 0  # being visited
    if node.tag not in _KNOWN:
        raise _constructor_error(f"the tag {shown(node.tag)} is not supported: remove it", node)
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
    total = 1 + sum(_check(child, sizes) for child in _children(node))
    if total > VALUES:
        raise _constructor_error(f"it has more than {VALUES:,} values with aliases expanded: use fewer", node)
    sizes[id(node)] = total
    return total


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        yield from (value for _, value in node.value)


def _check_keys(node: yaml.MappingNode) -> None:
    """Check the keys as written. Keys from a merge (`<<`) may repeat; the explicit key takes precedence."""
    seen: set[str] = set()
    for key, _value in node.value:
        if key.tag not in (f"{_TAG}str", f"{_TAG}merge") or not isinstance(key, yaml.ScalarNode):
            written = shown(key.value) if isinstance(key, yaml.ScalarNode) else "(a list or a mapping)"
            raise _constructor_error(f"the key {written} is not a string: quote it", key)
        if key.value in seen:
            raise _constructor_error(f"the key {shown(key.value)} occurs twice: remove one", key)
        seen.add(key.value)


def _constructor_error(problem: str, node: Any) -> ConstructorError:
    return ConstructorError(None, None, problem, node.start_mark)
