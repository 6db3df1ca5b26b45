"""How an auxiliary loss names its teacher: a name, or a mapping with a `name` and options. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import NanoGenError, listing
from nanogen_core.registry import registry

WORD = "vision"  # what a component of kind `encoder` provides that can be a teacher


def slot(teacher: str | Mapping[str, Any]) -> dict[str, Any]:
    """The mapping that a teacher's name stands for."""
    return {"name": teacher} if isinstance(teacher, str) else dict(teacher)


def is_slot(_: object, attribute: Any, value: Any) -> None:
    """A validator: a name, or a mapping with one."""
    if not isinstance(slot(value).get("name") if isinstance(value, (str, Mapping)) else None, str):
        raise ValueError(f"expected the name of an encoder, or a mapping with a `name`, got {value!r}")


def teacher_problem(path: str, teacher: Any) -> str | None:
    """Why the encoder that the option `path.teacher` names can be no teacher, in a sentence; None if it can.

    What is no name at all is left to the validator of the option.
    """
    name = teacher if isinstance(teacher, str) else dict(teacher).get("name") if isinstance(teacher, Mapping) else None
    if not isinstance(name, str):
        return None
    able = registry().providing("encoder", {WORD})
    try:
        component = registry().component("encoder", name).what
    except NanoGenError as error:
        return f"{path}.teacher: {error} {_advice(able)}"
    if WORD in component.provides:
        return None
    return f"{path}.teacher: encoder {name!r} does not provide {WORD!r}. {_advice(able)}"


def _advice(able: list[str]) -> str:
    if able:
        return f"Teachers: {listing(able)}."
    return "No installed plugin brings a vision encoder: `pip install nanogen-rae` brings them."
