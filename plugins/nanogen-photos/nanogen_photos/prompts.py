"""Prompts about the dataset's classes, as metadata lines in the format of the official GenEval (arXiv 2310.11513).

The tags are the official ones without `colors` and `color_attr`, which need CLIP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations, product
from random import Random
from typing import Any

Line = Mapping[str, Any]

WORDS = {2: "two", 3: "three", 4: "four"}
POSITIONS = ("left of", "right of", "above", "below")


def all_lines(classes: Sequence[str]) -> dict[str, list[Line]]:
    """Return the lines of all prompts by tag, in a fixed order."""
    return {tag: make(classes) for tag, make in TAGS.items()}


def some_lines(classes: Sequence[str], per_tag: int) -> list[Line]:
    """Return at most `per_tag` lines of each tag. The choice is always the same."""
    found = []
    for tag, lines in all_lines(classes).items():
        order = sorted(
            range(len(lines)), key=[Random(f"photos {tag} {n}").random() for n in range(len(lines))].__getitem__
        )
        found += [lines[number] for number in sorted(order[:per_tag])]
    return found


def single(name: str) -> Line:
    """Return the line of a prompt with one object, such as "a photo of a dog"."""
    return _line("single_object", [_item(name)], _a(name))


def _singles(classes: Sequence[str]) -> list[Line]:
    return [single(name) for name in classes]


def _pairs(classes: Sequence[str]) -> list[Line]:
    return [
        _line("two_object", [_item(first), _item(second)], f"{_a(first)} and {_a(second)}")
        for first, second in permutations(classes, 2)
    ]


def _counted(classes: Sequence[str]) -> list[Line]:
    """Return the lines with counts. `exclude` rejects images with more objects."""
    return [
        _line("counting", [_item(name, count)], f"{WORDS[count]} {_plural(name)}", exclude=[_item(name, count + 1)])
        for name, count in product(classes, WORDS)
    ]


def _positioned(classes: Sequence[str]) -> list[Line]:
    return [
        _line("position", [_item(target), _item(name, position=[where, 0])], f"{_a(name)} {where} {_a(target)}")
        for (name, target), where in product(permutations(classes, 2), POSITIONS)
    ]


TAGS: Mapping[str, Callable[[Sequence[str]], list[Line]]] = {
    "single_object": _singles,
    "two_object": _pairs,
    "counting": _counted,
    "position": _positioned,
}


def _line(tag: str, include: list[Line], words: str, **exclude: list[Line]) -> Line:
    return {"tag": tag, "include": include, **exclude, "prompt": f"a photo of {words}"}


def _item(name: str, count: int = 1, **more: Any) -> Line:
    return {"class": name, "count": count, **more}


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _plural(noun: str) -> str:
    """Return the plural as the official prompts form it, "two sheeps" included."""
    return noun + ("es" if noun.endswith("s") else "s")
