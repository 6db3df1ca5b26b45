"""Checks whether an image shows what its metadata line specifies, as in the official GenEval code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nanogen_textscore.geneval.boxes import MARGIN, relations
from nanogen_textscore.geneval.colours import COLOURS
from nanogen_textscore.geneval.detections import Detection

Detections = Mapping[str, Sequence[Detection]]  # by class
ColourClassifier = Callable[[Sequence[Detection], str], Sequence[str]]  # (detections, class) -> their colours


class Correctness(NamedTuple):
    """Whether an image is correct, and one line per error, worded as in the official results file."""

    correct: bool
    reason: str = ""


def check_image(
    detections: Detections, line: Mapping[str, Any], classify_colours: ColourClassifier, *, margin: float = MARGIN
) -> Correctness:
    """Check the detections in an image against its metadata line.

    Args:
        detections: The selected detections (`detections.select_detections`), highest score first.
        line: A line of the official metadata. The image must show every item of `include` and no item of `exclude`.
            For an item of `include`, only the `count` detections of its class with the highest scores are checked.
        classify_colours: Returns the colour of each detection of a class.
        margin: See `boxes.relations`.
    """
    errors: list[str] = []
    matched: list[Sequence[Detection]] = []  # the detections of each correct item; empty for an incorrect one
    for item in line.get("include", ()):
        objects = list(detections.get(item["class"], ()))[: item["count"]]
        error = _item_error(item, objects, matched, classify_colours, margin)
        errors += [error] if error else []
        matched.append([] if error else objects)
    for item in line.get("exclude", ()):
        count = len(detections.get(item["class"], ()))
        if count >= item["count"]:
            errors.append(f"expected {item['class']}<{item['count']}, found {count}")
    return Correctness(not errors, "\n".join(errors))


def _item_error(
    item: Mapping[str, Any],
    objects: Sequence[Detection],
    matched: Sequence[Sequence[Detection]],
    classify_colours: ColourClassifier,
    margin: float,
) -> str:
    """Return the first error of an item: its count, then its colour, then its position. Empty for a correct item."""
    if len(objects) < item["count"]:
        return f"expected {item['class']}>={item['count']}, found {len(objects)}"
    if "color" in item and (error := _colour_error(item, classify_colours(objects, item["class"]))):
        return error
    return _position_error(item, objects, matched, margin) if "position" in item else ""


def _colour_error(item: Mapping[str, Any], found: Sequence[str]) -> str:
    right = found.count(item["color"])
    if right >= item["count"]:
        return ""
    others = ", ".join(f"{found.count(colour)} {colour}" for colour in COLOURS if colour in found)
    return f"expected {item['color']} {item['class']}>={item['count']}, found {right} {item['color']}; and {others}"


def _position_error(
    item: Mapping[str, Any], objects: Sequence[Detection], matched: Sequence[Sequence[Detection]], margin: float
) -> str:
    """Return the error unless every object has the relation to every object of the item that `position` refers to."""
    relation, target = item["position"]
    if not matched[target]:
        return f"no target for {item['class']} to be {relation}"
    for one in objects:
        for other in matched[target]:
            found = relations(one.box, other.box, margin=margin)
            if relation not in found:
                return f"expected {item['class']} {relation} target, found {' and '.join(found)} target"
    return ""
