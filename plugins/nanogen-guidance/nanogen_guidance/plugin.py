"""Plugin manifest: three guidances. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.hookspecs import hookimpl
from nanogen_core.registry import Chosen
from nanogen_core.specs import Component

NANOGEN_API = 1

REPLACES_CFG: dict[str, Any] = {"guidance": {"cfg": None}}
WITH_NULL = ("cfg", "cfg-zero-star", "apg")  # guidances by the unconditional velocity, which exclude each other


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="guidance",
            name="autoguidance",
            target="nanogen_guidance.autoguidance:AutoGuidance",
            config="nanogen_guidance.config:AutoGuidanceConfig",
            needs={"objective": {"instantaneous-velocity"}},
            defaults=REPLACES_CFG,
            summary="away from the velocity of a weaker pipeline (arXiv 2406.02507)",
        ),
        Component(
            kind="guidance",
            name="cfg-zero-star",
            target="nanogen_guidance.zero_star:CFGZeroStar",
            config="nanogen_guidance.config:CFGZeroStarConfig",
            needs={"objective": {"instantaneous-velocity"}},
            defaults=REPLACES_CFG,
            summary="CFG-Zero*: optimized scale of the unconditional velocity, zero-init (arXiv 2503.18886)",
        ),
        Component(
            kind="guidance",
            name="apg",
            target="nanogen_guidance.projected:AdaptiveProjected",
            config="nanogen_guidance.config:ProjectedConfig",
            needs={"objective": {"instantaneous-velocity"}},
            defaults=REPLACES_CFG,
            summary="adaptive projected guidance of the predicted data (arXiv 2410.02416)",
        ),
    ]


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Return an error message if several guidances that use the unconditional velocity are selected."""
    guidance = config.get("guidance") or {}
    chosen = [name for name in WITH_NULL if guidance.get(name) is not None]
    if len(chosen) < 2:
        return []
    names = ", ".join(f"`{name}`" for name in chosen)
    unset = [f"guidance.{name}=null" for name in chosen]
    advice = " or ".join(unset) if len(unset) == 2 else f"{len(unset) - 1} of {', '.join(unset)}"
    return [f"guidance: {names} exclude each other. Use only one of them. Set {advice}."]
