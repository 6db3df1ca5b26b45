"""How an auxiliary loss names its teacher: a name, or a mapping with a `name` and options. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import NanoGenError, listing, shown
from nanogen_core.registry import registry

WORD = "vision"  # what a component of kind `encoder` provides that can be a teacher


def slot(teacher: Any) -> dict[str, Any]:
    """The mapping that a teacher's name stands for; empty for what is neither a name nor a mapping."""
    if isinstance(teacher, str):
        return {"name": teacher}
    return dict(teacher) if isinstance(teacher, Mapping) else {}


def is_slot(_: object, attribute: Any, value: Any) -> None:
    """A validator: a name, or a mapping with one."""
    if not isinstance(slot(value).get("name"), str):
        raise ValueError(f"expected the name of an encoder, or a mapping with a `name`, got {shown(value)}")


def teacher_problem(path: str, teacher: Any) -> str | None:
    """Why the encoder that the option `path.teacher` names can be no teacher, in a sentence; None if it can.

    What is no name at all is left to the validator of the option.
    """
    name = slot(teacher).get("name")
    if not isinstance(name, str):
        return None
    try:
        component = registry().component("encoder", name).what
    except NanoGenError as error:
        return f"{path}.teacher: {error} {_advice()}"
    if WORD not in component.provides:
        return f"{path}.teacher: encoder {name!r} does not provide {WORD!r}. {_advice()}"
    return None


def _advice() -> str:
    able = registry().providing("encoder", {WORD})
    if able:
        return f"Teachers: {listing(able)}."
    return "No installed plugin brings a vision encoder: `pip install nanogen-rae` brings them."
