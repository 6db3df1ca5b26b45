"""One changed byte changes the fingerprint, for every option of every part that accepts a path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import attrs
import pytest

from nanogen_core.errors import NanoGenError
from nanogen_core.registry import import_object, registry
from nanogen_data import contents
from nanogen_eval.score import fingerprint
from nanogen_files.structure import structure

UNREAD = {"dataset"}  # what a dataset reads is no part of a model: `prepared.identity` and a run's record hash it
Write = Callable[[str], Any]


def members(kind: Any) -> tuple[Any, ...]:
    """The types that a type stands for."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def texts(config: type) -> Iterator[tuple[tuple[str, ...], Write]]:
    """The options that may be a text, or hold texts, as (names on the way, what to write there for a path)."""
    attrs.resolve_types(config)
    for field in attrs.fields(config):
        for kind in members(field.type):
            origin = get_origin(kind)
            if kind is str:
                yield (field.name,), lambda path: path
            elif origin is tuple and get_args(kind)[0] is str:
                yield (field.name,), lambda path: [path, f"{path}x"]
            elif isinstance(origin, type) and issubclass(origin, Mapping) and get_args(kind)[1] in (str, Any):
                for key in ("path", *registry().components["features"]):
                    yield (field.name,), partial(lambda key, path: {key: path}, key)
            elif attrs.has(kind):
                yield from (((field.name, *names), write) for names, write in texts(kind))


def built(config: type, names: tuple[str, ...], value: Any) -> Any:
    for name in reversed(names):
        value = {name: value}
    required = {field.name: "x" for field in attrs.fields(config) if field.default is attrs.NOTHING}
    return structure({**required, **value}, config, "part")


def takes(config: type, names: tuple[str, ...], value: Any) -> bool:
    """Whether an option takes a path: others allow certain words alone."""
    try:
        return bool(built(config, names, value))
    except NanoGenError:
        return False


def cases() -> list[Any]:
    found = []
    for kind, components in registry().components.items():
        for name, offers in components.items():
            if kind not in UNREAD and offers[0].what.config is not None:
                options = import_object(offers[0].what.config)
                taken = {names: write for names, write in texts(options) if takes(options, names, write("/no/such"))}
                for names, write in taken.items():
                    found.append(pytest.param(options, names, write, id=f"{kind}-{name}-{'.'.join(names)}"))
    return found


CASES = cases()


@pytest.mark.parametrize("layout", ["file", "folder", "deep"])
@pytest.mark.parametrize(("config", "names", "write"), CASES)
def test_one_changed_byte_changes_what_a_configuration_is(
    config: type, names: tuple[str, ...], write: Write, layout: str, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    file = {"file": there, "folder": there / "a.bin", "deep": there / "b" / "c" / "a.json"}[layout]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"some content")
    part = built(config, names, write(str(there)))
    before = fingerprint(contents.options(part))
    file.write_bytes(b"some contenu")
    assert fingerprint(contents.options(part)) != before
    file.write_bytes(b"some content")
    assert fingerprint(contents.options(part)) == before


def test_the_kinds_that_read_files_are_among_them() -> None:
    kinds = {case.id.partition("-")[0] for case in CASES}
    assert {"encoder", "tokenizer", "metric", "auxiliary", "features", "stage"} <= kinds
