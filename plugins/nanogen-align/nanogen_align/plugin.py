"""The manifest of nanogen-align. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Kind

if TYPE_CHECKING:
    from nanogen_core.registry import Chosen

NANOGEN_API = 1

_REPA = Component(
    kind="auxiliary",
    name="repa",
    target="nanogen_align.repa:Repa",
    config="nanogen_align.config:RepaConfig",
    summary="a block's tokens, projected, come to resemble a vision encoder's (REPA, arXiv 2410.06940)",
    needs={"backbone": {"features"}},
)

_IREPA = Component(
    kind="auxiliary",
    name="irepa",
    target="nanogen_align.irepa:IRepa",
    config="nanogen_align.config:IRepaConfig",
    summary="REPA through a convolution, to tokens normalised over space (iREPA, arXiv 2512.10794)",
    needs={"backbone": {"features"}},
)

_REG = Component(
    kind="auxiliary",
    name="reg",
    target="nanogen_align.reg:Reg",
    config="nanogen_align.config:RegConfig",
    summary="a vision encoder's class token is diffused along (REG, arXiv 2507.01467)",
    provides={"cls-token"},
    needs={"backbone": {"cls-token"}},
)

_INTERNAL = Component(
    kind="guidance",
    name="internal",
    target="nanogen_align.internal:Internal",
    config="nanogen_align.config:InternalConfig",
    summary="away from what a second head on an intermediate block predicts (internal guidance)",
    needs={"backbone": {"internal-head"}},
)


@hookimpl
def nanogen_kinds() -> list[Kind]:
    return [Kind(name="vision_encoder", place="named", protocol="nanogen_align.teacher:VisionEncoder")]


@hookimpl
def nanogen_components() -> list[Component]:
    return [_REPA, _IREPA, _REG, _INTERNAL]


@hookimpl
def nanogen_check(parts: Mapping[str, Chosen], config: Mapping[str, Any]) -> list[str]:
    """Whether the teachers that are named exist."""
    from nanogen_align.config import DEFAULT_TEACHER  # here, so that the scan of plugins need not wait for it
    from nanogen_align.naming import teacher_problem

    chosen = config.get("auxiliary", {})
    own = {c.name: chosen[c.name] for c in (_REPA, _IREPA, _REG) if chosen.get(c.name) is not None}
    teachers = {name: options.get("teacher", DEFAULT_TEACHER) for name, options in own.items()}
    return [line for name, teacher in teachers.items() if (line := teacher_problem(f"auxiliary.{name}", teacher))]
