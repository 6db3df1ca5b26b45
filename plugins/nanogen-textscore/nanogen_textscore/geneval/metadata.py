"""Reads and validates metadata lines: what an image must show, and what it must not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nanogen_core.errors import DataError
from nanogen_files import json_files
from nanogen_textscore.files import benchmark_file
from nanogen_textscore.geneval.boxes import ABOVE, BELOW, LEFT, RIGHT

FILE = "evaluation_metadata.jsonl"
DEFAULT = "leave out `metadata` to use the official prompts."
MAX_COUNT = 1000  # of one item


def read_metadata(option: str) -> list[dict[str, Any]]:
    """Read a metadata file. Raises DataError for a missing or empty file, or a line in another format."""
    path = benchmark_file(option, "metadata", FILE)
    lines = list(json_files.objects(path))
    for number, line in lines:
        if error := format_error(line):
            raise DataError(f"Line {number} of {path} {error}. Correct the line, or {DEFAULT}")
    if not lines:
        raise DataError(f"{path} has no prompts. Write one JSON object per line, or {DEFAULT}")
    return [line for _, line in lines]


def tag_counts(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of prompts of each tag. Tags are in the order of their first appearance."""
    return dict(Counter(line["tag"] for line in lines))


def classes(lines: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the classes that the lines name in `include` or `exclude`."""
    return {item["class"] for line in lines for key in ("include", "exclude") for item in line.get(key, ())}


def format_error(line: Any) -> str:
    """Return what is wrong with the format of a line, as a predicate such as "is not a JSON object", or an empty
    string.
    """
    if not isinstance(line, dict):
        return "is not a JSON object"
    if not isinstance(line.get("tag"), str) or not isinstance(line.get("prompt"), str):
        return "lacks a text as its `tag` or `prompt`"
    if not isinstance(line.get("include"), list) or not isinstance(line.get("exclude", []), list):
        return "lacks a list as its `include`, or has an `exclude` that is not a list"
    items = [*line["include"], *line.get("exclude", ())]
    if not all(isinstance(i, dict) and isinstance(i.get("class"), str) and type(i.get("count")) is int for i in items):
        return "has an item that lacks a text as its `class` or a whole number as its `count`"
    if not all(1 <= item["count"] <= MAX_COUNT and isinstance(item.get("color", ""), str) for item in items):
        return f"has an item whose `count` is not from 1 to {MAX_COUNT}, or whose `color` is not a text"
    positions = [(number, item["position"]) for number, item in enumerate(line["include"]) if "position" in item]
    valid = all(_is_position(position) and 0 <= position[1] < number for number, position in positions)
    expected = 'expected a relation and the number of an earlier item, such as ["left of", 0]'
    return "" if valid else f"has an invalid `position`: {expected}"


def _is_position(position: Any) -> bool:
    """Return whether a value is a relation and an item number, such as `["left of", 0]`."""
    return (
        isinstance(position, list)
        and len(position) == 2
        and position[0] in (LEFT, RIGHT, ABOVE, BELOW)
        and type(position[1]) is int
    )
