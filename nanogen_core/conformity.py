"""Whether a part has what the protocol of its kind asks for, said before its first use. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core import protocols
from nanogen_core.errors import NanoGenError

PROTOCOLS: Mapping[str, type] = {
    "tokenizer": protocols.Tokenizer,
    "conditioner": protocols.Conditioner,
    "backbone": protocols.Backbone,
    "objective": protocols.Objective,
    "task": protocols.Task,
    "dataset": protocols.Dataset,
    "guidance": protocols.Guidance,
    "sampler": protocols.Sampler,
    "auxiliary": protocols.Auxiliary,
    "stage": protocols.Stage,
    "metric": protocols.Metric,
    "features": protocols.Features,
}
MODULE = ("parameters", "state_dict")  # of a torch.nn.Module, which a backbone must be


def members(protocol: type) -> list[str]:
    """The names that a protocol declares: its methods, its attributes, and the call."""
    declared = [*vars(protocol), *vars(protocol).get("__annotations__", {})]
    return [name for name in dict.fromkeys(declared) if not name.startswith("_") or name == "__call__"]


def check(kind: str, part: Any, who: str) -> None:
    """Raises NanoGenError where the part lacks something. `who` is the subject of the sentence."""
    if kind not in PROTOCOLS:
        return
    wanted = [*members(PROTOCOLS[kind]), *(MODULE if kind == "backbone" else ())]
    present = {*dir(part)}  # no property is read, which might open files
    missing = [name for name in wanted if name not in present and not hasattr(part, name)]
    if missing:
        lacks = ", ".join(missing)
        raise NanoGenError(f"{who} is no {kind}: it lacks {lacks}. nanogen_core/protocols.py says what it must have.")
