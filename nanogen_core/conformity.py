"""Whether a part has what the protocol of its kind asks for, said before its first use. Loads no torch."""

from __future__ import annotations

from typing import Any

from nanogen_core.errors import NanoGenError
from nanogen_core.registry import import_object, registry

MODULE = ("parameters", "state_dict")  # of a torch.nn.Module


def members(protocol: type) -> list[str]:
    """The names that a protocol declares: its methods, its attributes, and the call."""
    declared = [*vars(protocol), *vars(protocol).get("__annotations__", {})]
    return [name for name in dict.fromkeys(declared) if not name.startswith("_") or name == "__call__"]


def check(kind: str, part: Any, who: str) -> None:
    """Raises NanoGenError where the part lacks something. `who` is the subject of the sentence."""
    declared = registry().kinds[kind]
    protocol = members(import_object(declared.protocol)) if declared.protocol else ()
    wanted = [*protocol, *(MODULE if declared.module else ())]
    present = {*dir(part)}  # no property is read, which might open files
    missing = [name for name in wanted if name not in present and not hasattr(part, name)]
    if missing:
        lacks = ", ".join(missing)
        raise NanoGenError(f"{who} is no {kind}: it lacks {lacks}. {declared.protocol} says what it must have.")
