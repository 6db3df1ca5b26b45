"""Option `teacher` of the auxiliary losses: a name, or a mapping with a `name` and options. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import NanoGenError, shown
from nanogen_core.registry import registry

KIND = "vision_encoder"  # the kind of component that a teacher is
DEFAULT_TEACHER = "dinov2-vit-b"


def slot(teacher: Any) -> dict[str, Any]:
    """Return `teacher` as a mapping: a string becomes `{"name": teacher}`. A value of another type becomes `{}`."""
    if isinstance(teacher, str):
        return {"name": teacher}
    return dict(teacher) if isinstance(teacher, Mapping) else {}


def is_slot(_: object, attribute: Any, value: Any) -> None:
    """Validate that an option is a name or a mapping with a `name`. Raises ValueError."""
    if not isinstance(slot(value).get("name"), str):
        raise ValueError(f"expected the name of a vision encoder, or a mapping with a `name`, got {shown(value)}")


def teacher_problem(path: str, teacher: Any) -> str | None:
    """Return an error message if the option `path.teacher` names no installed vision encoder, else None.

    A value without a name gives None: the validator of the option rejects it.
    """
    name = slot(teacher).get("name")
    if not isinstance(name, str):
        return None
    try:
        registry().component(KIND, name)
    except NanoGenError as error:
        advice = "" if registry().components.get(KIND) else " `pip install nanogen-rae` installs vision encoders."
        return f"{path}.teacher: {error}{advice}"
    return None
