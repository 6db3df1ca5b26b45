"""Whether the chosen parts can work together, from their capability words alone: nothing is imported for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nanogen_core.registry import Chosen, Registry

Parts = Mapping[str, Sequence[Chosen]]  # slot or group -> what was chosen for it


def wanted(parts: Parts, kind: str) -> frozenset[str]:
    """The capability words that the chosen parts need of a kind."""
    everyone = [chosen for members in parts.values() for chosen in members]
    return frozenset().union(*(chosen.component.needs.get(kind, frozenset()) for chosen in everyone))


def asked_for(kind: str, chosen: Mapping[str, Mapping[str, Chosen]]) -> bool:
    """Whether any chosen component needs one of this kind."""
    return any(kind in part.component.needs for members in chosen.values() for part in members.values())


def excluded(parts: Parts) -> frozenset[str]:
    """The kinds whose slot stays empty beside the chosen parts."""
    return frozenset().union(*(chosen.component.excludes for members in parts.values() for chosen in members))


def mismatches(parts: Parts, registry: Registry) -> list[str]:
    """One sentence for each need that no chosen part meets, with the names that would meet it."""
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
    asked = " and ".join(repr(word) for word in sorted(missing or words)) or "anything"
    article = "an" if kind[0] in "aeo" else "a"
    who = f"{chosen.component.kind} {chosen.component.name!r} needs {article} {kind} that provides {asked}"
    names = " and ".join(repr(part.component.name) for part in present)
    what = f"{kind} {names} does not" if present else f"there is no {kind}"
    able = registry.providing(kind, words)
    return f"{who}; {what}. {_advice(kind, able, chosen)}"


def _advice(kind: str, able: list[str], chosen: Chosen) -> str:
    if able:
        return f"Write {' or '.join(f'{kind}={name!r}' for name in able)}, or choose another {chosen.component.kind}."
    return f"No installed {kind} provides it: choose another {chosen.component.kind}."
