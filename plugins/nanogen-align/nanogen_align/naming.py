"""Option `teacher` of the auxiliary losses: a name, or a mapping with a `name` and options. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import NanoGenError, listing, shown
from nanogen_core.registry import registry

VISION = "vision"  # capability word of the encoders that can be teachers


def slot(teacher: Any) -> dict[str, Any]:
    """Return the option as a mapping with a `name`. It is empty if `teacher` is neither a name nor a mapping."""
    if isinstance(teacher, str):
        return {"name": teacher}
    return dict(teacher) if isinstance(teacher, Mapping) else {}


def is_slot(_: object, attribute: Any, value: Any) -> None:
    """Validate that an option is a name or a mapping with a `name`. Raises ValueError."""
    if not isinstance(slot(value).get("name"), str):
        raise ValueError(f"must be the name of an encoder or a mapping with a `name`, got {shown(value)}")


def teacher_problem(path: str, teacher: Any) -> str | None:
    """Check that an encoder exists and can be a teacher.

    Args:
        path: Path of the auxiliary loss in the configuration, for the message.
        teacher: Value of its option `teacher`. The validator of the option reports values that are no name.

    Returns:
        An error message, or None.
    """
    name = slot(teacher).get("name")
    if not isinstance(name, str):
        return None
    try:
        component = registry().component("encoder", name).what
    except NanoGenError as error:
        return f"{path}.teacher: {error} {_advice()}"
    if VISION not in component.provides:
        return f"{path}.teacher: encoder {name!r} does not provide {VISION!r}. {_advice()}"
    return None


def _advice() -> str:
    teachers = registry().providing("encoder", {VISION})
    if teachers:
        return f"Available teachers: {listing(teachers)}."
    return "No vision encoder is installed. Run `pip install nanogen-rae`."
