"""Whether a picture shows what its line of the metadata asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nanogen_textscore.geneval.boxes import MARGIN, relations
from nanogen_textscore.geneval.colours import COLOURS
from nanogen_textscore.geneval.detections import Detection

Found = Mapping[str, Sequence[Detection]]
ColoursOf = Callable[[Sequence[Detection], str], Sequence[str]]


class Verdict(NamedTuple):
    """`reason` has a line for everything that is wrong, in the words of the official results file."""

    correct: bool
    reason: str = ""


def verdict(found: Found, line: Mapping[str, Any], colours_of: ColoursOf, *, margin: float = MARGIN) -> Verdict:
    """The verdict on the detections that count, surest first (`detections.kept`).

    `line` is one of the official metadata: all of `include` must be there, none of `exclude`. Of an item, the `count`
    surest detections of its class are looked at, no others. `colours_of` names the colour of each detection.
    """
    wrong: list[str] = []
    matched: list[Sequence[Detection]] = []  # of each item what was found, nothing where it is wrong
    for item in line.get("include", ()):
        objects = list(found.get(item["class"], ()))[: item["count"]]
        fault = _fault(item, objects, matched, colours_of, margin)
        wrong += [fault] if fault else []
        matched.append([] if fault else objects)
    for item in line.get("exclude", ()):
        count = len(found.get(item["class"], ()))
        if count >= item["count"]:
            wrong.append(f"expected {item['class']}<{item['count']}, found {count}")
    return Verdict(not wrong, "\n".join(wrong))


def _fault(
    item: Mapping[str, Any],
    objects: Sequence[Detection],
    matched: Sequence[Sequence[Detection]],
    colours_of: ColoursOf,
    margin: float,
) -> str:
    """The first thing that is wrong with an item, or the empty string: number, then colour, then place."""
    if len(objects) < item["count"]:
        return f"expected {item['class']}>={item['count']}, found {len(objects)}"
    if "color" in item and (fault := _wrong_colour(item, colours_of(objects, item["class"]))):
        return fault
    return _wrong_place(item, objects, matched, margin) if "position" in item else ""


def _wrong_colour(item: Mapping[str, Any], seen: Sequence[str]) -> str:
    right = seen.count(item["color"])
    if right >= item["count"]:
        return ""
    others = ", ".join(f"{seen.count(colour)} {colour}" for colour in COLOURS if colour in seen)
    return f"expected {item['color']} {item['class']}>={item['count']}, found {right} {item['color']}; and {others}"


def _wrong_place(
    item: Mapping[str, Any], objects: Sequence[Detection], matched: Sequence[Sequence[Detection]], margin: float
) -> str:
    """Every object must lie so to every one of the item that `position` points to."""
    relation, target = item["position"]
    if not matched[target]:
        return f"no target for {item['class']} to be {relation}"
    for one in objects:
        for other in matched[target]:
            seen = relations(one.box, other.box, margin=margin)
            if relation not in seen:
                return f"expected {item['class']} {relation} target, found {' and '.join(seen)} target"
    return ""
