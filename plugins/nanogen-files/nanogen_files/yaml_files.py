"""Reads and writes configuration files: YAML without the traps of YAML 1.1, and with limits.

- A key that stands twice is an error (PyYAML keeps the last one), and so is a key that is no text.
- `1e-3` is a number (PyYAML reads a text). `1:30` (90), `010` (8) and dates are texts.
- Size, depth and what aliases expand to are limited before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from nanogen_files.errors import ConfigError, shown

LONGEST_PATH = 1000  # characters that an error repeats
CHARACTERS = 500_000  #: of one file
DEPTH = 50  #: of nested lists and mappings
VALUES = 100_000  #: in one file, with every alias written out

_INT = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(
    r"^([-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+)"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)
_TAG = "tag:yaml.org,2002:"
_OWN = {f"{_TAG}int": (_INT, "-+0123456789"), f"{_TAG}float": (_FLOAT, "-+.0123456789")}
_KNOWN = {_TAG + word for word in ("str", "int", "float", "bool", "null", "seq", "map", "merge")}


class _Loader(yaml.SafeLoader):
    """Composes within the limits. Builds texts, numbers, booleans, null, lists and mappings."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ConstructorError(None, None, f"more than {DEPTH} levels are nested", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_yaml_int(self, node: Any) -> int:
        text = self.construct_scalar(node).replace("_", "")
        return int(text, 16 if "x" in text else 10)


class _Dumper(yaml.SafeDumper):
    """Quotes a text that either PyYAML or `_Loader` would read as something else."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = '"' if any(letter in text for letter in "\r\x85\u2028\u2029") else None  # line ends that YAML folds
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
    """The value of a YAML text; `source` names it in the error. Raises ConfigError with the line of the mistake."""
    return _parsed(text, source, _built)


def flow(text: str, source: str, unquoted: Callable[[str], Any]) -> Any:
    """The lists and mappings of a YAML text, and in them texts: `unquoted` of those that stand without quotes."""
    return _parsed(text, source, lambda _, node: _texts(node, unquoted))


def scalar(text: str) -> Any:
    """What a YAML file has where `text` stands without quotes: null, a truth value, a number, or the text itself."""
    loader = _Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    node = yaml.ScalarNode(tag, text)
    try:
        return text if node.tag == f"{_TAG}str" or not text else loader.construct_object(node)
    except (ValueError, yaml.YAMLError):  # more digits than Python converts
        return text


def read(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError where the file is missing, no YAML or no mapping."""
    path = Path(path)
    value = parse(_text(path), str(path))
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold keys and values such as `task: t2i`, not {type(value).__name__}.")
    return value


def dump(value: Any) -> str:
    """YAML with the keys in their own order, one key a line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(4 * CHARACTERS + 1)  # a pipe or a device has no size to ask for
        return content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"Cannot read the configuration {path}: it is not a UTF-8 text.") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        name = str(path) if len(str(path)) <= LONGEST_PATH and "\0" not in str(path) else shown(str(path))
        raise ConfigError(f"Cannot read the configuration {name}: {reason}.") from error


def _parsed(text: str, source: str, build: Any) -> Any:
    if len(text) > CHARACTERS:
        raise ConfigError(f"{source} is too long for a configuration: more than {CHARACTERS:,} characters.")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, {})
        return build(loader, node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        words = [getattr(error, "context", None), getattr(error, "problem", None)]
        problem = " ".join(word for word in words if word) or str(error)
        problem = problem.splitlines()[0][:200]
        raise ConfigError(f"{source} is not valid YAML{where}: {problem}.") from error
    except ValueError as error:  # a number of more digits than Python converts
        raise ConfigError(f"{source} holds a value that cannot be read: {error}.") from error


def _built(loader: _Loader, node: Any) -> Any:
    return loader.construct_document(node)


def _texts(node: Any, unquoted: Callable[[str], Any]) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_texts(item, unquoted) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {key.value: _texts(value, unquoted) for key, value in node.value}
    if node.style is None:
        return unquoted(node.value) if node.value else None
    return node.value


def _check(node: Any, sizes: dict[int, int]) -> int:
    """How many values a node holds with its aliases written out. Raises for what no configuration can hold."""
    known = sizes.get(id(node))
    if known == 0:
        raise _refusal("a value holds itself", node)
    if known is not None:
        return known
    sizes[id(node)] = 0  # open
    if node.tag not in _KNOWN:
        raise _refusal(f"the tag {shown(node.tag)} is not supported", node)
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
    total = 1 + sum(_check(child, sizes) for child in _children(node))
    if total > VALUES:
        raise _refusal(f"it holds more than {VALUES:,} values, with every alias written out", node)
    sizes[id(node)] = total
    return total


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        yield from (value for _, value in node.value)


def _check_keys(node: yaml.MappingNode) -> None:
    """A mapping as it is written: merge keys (`<<`) may bring a key again, and lose to the one beside them."""
    seen: set[str] = set()
    for key, _value in node.value:
        if key.tag not in (f"{_TAG}str", f"{_TAG}merge") or not isinstance(key, yaml.ScalarNode):
            written = shown(key.value) if isinstance(key, yaml.ScalarNode) else "a list or a mapping"
            raise _refusal(f"the key {written} is no text: write it in quotes", key)
        if key.value in seen:
            raise _refusal(f"key {shown(key.value)} stands twice", key)
        seen.add(key.value)


def _refusal(problem: str, node: Any) -> ConstructorError:
    return ConstructorError(None, None, problem, node.start_mark)
