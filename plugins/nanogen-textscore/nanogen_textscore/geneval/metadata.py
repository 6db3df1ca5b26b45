"""The official prompts, one line of JSON each: what must be in the picture, and what not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nanogen_core.errors import DataError
from nanogen_textscore.files import benchmark_file, json_lines

FILE = "evaluation_metadata.jsonl"


def read_metadata(option: str) -> list[dict[str, Any]]:
    """The lines of a file in their order. Raises DataError where it is missing, or a line has another form."""
    path = benchmark_file(option, "metadata", FILE)
    lines = list(json_lines(path))
    for number, line in enumerate(lines, start=1):
        if fault := _fault(line):
            raise DataError(f"Prompt {number} of {path} {fault}: fetch the official file again.")
    if not lines:
        raise DataError(f"{path} has no prompts: fetch the official file again.")
    return lines


def tag_counts(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many prompts each tag has, in the order in which the tags come."""
    return dict(Counter(line["tag"] for line in lines))


def classes(lines: Sequence[Mapping[str, Any]]) -> set[str]:
    """The classes that any of the lines speaks of."""
    return {item["class"] for line in lines for key in ("include", "exclude") for item in line.get(key, ())}


def _fault(line: Mapping[str, Any]) -> str:
    if not isinstance(line.get("tag"), str) or not isinstance(line.get("prompt"), str):
        return "has no text as its `tag` and `prompt`"
    if not isinstance(line.get("include"), list) or not isinstance(line.get("exclude", []), list):
        return "has no list as its `include`"
    items = [*line["include"], *line.get("exclude", ())]
    if not all(isinstance(i, dict) and isinstance(i.get("class"), str) and type(i.get("count")) is int for i in items):
        return "has an item without its `class` and `count`"
    targets = [(place, item["position"][1]) for place, item in enumerate(line["include"]) if "position" in item]
    return "" if all(0 <= target < place for place, target in targets) else "has a `position` to no item before it"
