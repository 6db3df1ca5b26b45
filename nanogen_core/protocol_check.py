"""Checks that a component implements the protocol of its kind, before its first use. Does not import torch."""

from __future__ import annotations

from typing import Any

from nanogen_core.errors import NanoGenError
from nanogen_core.registry import import_object, registry

MODULE = ("parameters", "state_dict")  # members that identify a torch.nn.Module


def members(protocol: type) -> list[str]:
    """Return the methods and attributes that a protocol declares, including `__call__`."""
    declared = [*vars(protocol), *vars(protocol).get("__annotations__", {})]
    return [name for name in dict.fromkeys(declared) if not name.startswith("_") or name == "__call__"]


def check(kind: str, part: Any, who: str) -> None:
    """Raise NanoGenError if `part` lacks members of the protocol of `kind`. `who` names the part in the message."""
    declared = registry().kinds[kind]
    protocol = members(import_object(declared.protocol)) if declared.protocol else ()
    expected = [*protocol, *(MODULE if declared.module else ())]
    present = {*dir(part)}  # unlike hasattr, dir() evaluates no property, which might open files
    if missing := [name for name in expected if name not in present and not hasattr(part, name)]:
        fault = "must be a torch.nn.Module" if {*MODULE} & {*missing} else f"does not implement {declared.protocol}"
        raise NanoGenError(f"{who} {fault}: it lacks {', '.join(missing)}.")
