"""The official prompts, one line of JSON each: what must be in the picture, and what not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nanogen_core.errors import DataError
from nanogen_files import json_files
from nanogen_textscore.files import benchmark_file
from nanogen_textscore.geneval.boxes import ABOVE, BELOW, LEFT, RIGHT

FILE = "evaluation_metadata.jsonl"
MOST = 1000  # objects of one kind in a picture


def read_metadata(option: str) -> list[dict[str, Any]]:
    """The lines of a file in their order. Raises DataError where it is missing, or a line has another form."""
    path = benchmark_file(option, "metadata", FILE)
    lines = list(json_files.objects(path))
    for number, line in lines:
        if fault := fault_of(line):
            raise DataError(f"Line {number} of {path} {fault}: fetch the official file again.")
    if not lines:
        raise DataError(f"{path} has no prompts: fetch the official file again.")
    return [line for _, line in lines]


def tag_counts(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many prompts each tag has, in the order in which the tags come."""
    return dict(Counter(line["tag"] for line in lines))


def classes(lines: Sequence[Mapping[str, Any]]) -> set[str]:
    """The classes that any of the lines speaks of."""
    return {item["class"] for line in lines for key in ("include", "exclude") for item in line.get(key, ())}


def fault_of(line: Any) -> str:
    """What is wrong with a line, or the empty string."""
    if not isinstance(line, dict):
        return "is no JSON object"
    if not isinstance(line.get("tag"), str) or not isinstance(line.get("prompt"), str):
        return "has no text as its `tag` and `prompt`"
    if not isinstance(line.get("include"), list) or not isinstance(line.get("exclude", []), list):
        return "has no list as its `include`"
    items = [*line["include"], *line.get("exclude", ())]
    if not all(isinstance(i, dict) and isinstance(i.get("class"), str) and type(i.get("count")) is int for i in items):
        return "has an item without its `class` and `count`"
    if not all(1 <= item["count"] <= MOST and isinstance(item.get("color", ""), str) for item in items):
        return f"has an item whose `count` is not from 1 to {MOST}, or whose `color` is no text"
    placed = [(place, item["position"]) for place, item in enumerate(line["include"]) if "position" in item]
    right = all(_is_place(position) and 0 <= position[1] < place for place, position in placed)
    return "" if right else "has a `position` to no item before it"


def _is_place(position: Any) -> bool:
    """`["left of", 0]`."""
    return (
        isinstance(position, list)
        and len(position) == 2
        and position[0] in (LEFT, RIGHT, ABOVE, BELOW)
        and type(position[1]) is int
    )
