"""Checks that the selected components provide the capabilities that others need, without importing any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nanogen_core.registry import Chosen, Registry

Parts = Mapping[str, Sequence[Chosen]]  # kind -> selected components


def wanted(parts: Parts, kind: str) -> frozenset[str]:
    """Return the capabilities that the selected components need from the component of this kind."""
    selected = [chosen for members in parts.values() for chosen in members]
    return frozenset().union(*(chosen.component.needs.get(kind, frozenset()) for chosen in selected))


def is_needed(kind: str, chosen: Mapping[str, Mapping[str, Chosen]]) -> bool:
    """Return whether any selected component needs a component of this kind."""
    return any(kind in part.component.needs for members in chosen.values() for part in members.values())


def excluded(parts: Parts) -> frozenset[str]:
    """Return the kinds that a selected component excludes. Their slots stay empty."""
    return frozenset().union(*(chosen.component.excludes for members in parts.values() for chosen in members))


def mismatches(parts: Parts, registry: Registry) -> list[str]:
    """Return one message for each unmet need. It names the installed components that would meet the need."""
    without = excluded(parts)
    return [
        sentence
        for members in parts.values()
        for chosen in members
        for kind, words in chosen.component.needs.items()
        if kind not in without and (sentence := _unmet(chosen, kind, words, parts, registry))
    ]


def _unmet(chosen: Chosen, kind: str, words: frozenset[str], parts: Parts, registry: Registry) -> str | None:
    present = parts.get(kind, ())
    missing = words - frozenset().union(*(part.component.provides for part in present))
    if not missing and present:
        return None
    needed = " and ".join(repr(word) for word in sorted(missing or words))
    providing = f" that provides {needed}" if needed else ""
    article = "an" if kind[0] in "aeo" else "a"
    need = f"{chosen.component.kind} {chosen.component.name!r} needs {article} {kind}{providing}"
    names = " and ".join(repr(part.component.name) for part in present)
    problem = f"{kind} {names} does not" if present else f"the configuration has no {kind}"
    return f"{need}; {problem}. {_advice(kind, registry.providing(kind, words), chosen)}"


def _advice(kind: str, suitable: list[str], chosen: Chosen) -> str:
    if suitable:
        options = " or ".join(f"{kind}={name!r}" for name in suitable)
        return f"Set {options}, or choose another {chosen.component.kind}."
    return f"No installed {kind} fits: choose another {chosen.component.kind}."
