"""Generates the 553 official prompts of GenEval (Ghosh et al., arXiv 2310.11513).

The official `evaluation_metadata.jsonl` (djghosh13/geneval, MIT) was drawn from the 80 classes of COCO by NumPy's
`default_rng(43)`. This module repeats the draws and compares their `lines_digest` with that of the official file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from nanogen_core.errors import DataError
from nanogen_textscore.geneval.boxes import ABOVE, BELOW, LEFT, RIGHT
from nanogen_textscore.geneval.colours import COLOURS

SEED = 43
DRAWS = 100  # draws for every tag but the first; duplicates are dropped afterwards
DIGEST = "94bc1c23d27e1ac4aa6d9415ac49a6e72263694e5149eb1d895cf61f9da1c083"  # see `lines_digest`

CLASSES = tuple(
    """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
    laptop, computer mouse, tv remote, computer keyboard, cell phone, microwave, oven, toaster, sink, refrigerator,
    book, clock, vase, scissors, teddy bear, hair drier, toothbrush""".replace("\n    ", " ").split(", ")
)
COLOURED_CLASSES = CLASSES[1:]  # without `person`
POSITIONS = (LEFT, RIGHT, ABOVE, BELOW)
WORDS = {2: "two", 3: "three", 4: "four"}

Line = Mapping[str, Any]


@lru_cache(maxsize=1)
def official_metadata() -> tuple[Line, ...]:
    """Return the official metadata lines in their order. Raises DataError if NumPy draws other numbers."""
    lines = tuple({json.dumps(line): line for line in _draws(np.random.default_rng(SEED))}.values())
    if lines_digest(lines) != DIGEST:
        raise DataError(
            f"NumPy {np.__version__} cannot reproduce the official GenEval prompts. Set `metadata` to the official "
            "evaluation_metadata.jsonl."
        )
    return lines


def lines_digest(lines: Sequence[Line]) -> str:
    """Return the SHA-256 of metadata lines. It does not depend on white space or on the order of keys."""
    return hashlib.sha256("\n".join(json.dumps(line, sort_keys=True) for line in lines).encode()).hexdigest()


def _draws(rng: np.random.Generator) -> Iterator[Line]:
    """Yield all draws, with duplicates. The order of the calls to `rng` defines the benchmark."""
    for noun in _chosen(rng, CLASSES, len(CLASSES)):
        yield _line("single_object", [_item(noun)], _a(noun))
    for _ in range(DRAWS):
        yield _two(*_chosen(rng, CLASSES, 2))
    for _ in range(DRAWS):
        yield _counted(_one(rng, CLASSES), int(rng.integers(2, 5)))
    for _ in range(DRAWS):
        noun, colour = _one(rng, COLOURED_CLASSES), _one(rng, COLOURS)
        yield _line("colors", [_item(noun, color=colour)], f"{_a(colour)} {noun}")
    for _ in range(DRAWS):
        yield _positioned(_chosen(rng, CLASSES, 2), _one(rng, POSITIONS))
    for _ in range(DRAWS):
        yield _coloured(_chosen(rng, COLOURED_CLASSES, 2), _chosen(rng, COLOURS, 2))


def _two(first: str, second: str) -> Line:
    return _line("two_object", [_item(first), _item(second)], f"{_a(first)} and {_a(second)}")


def _counted(noun: str, count: int) -> Line:
    """Return a prompt with a count. `exclude` rejects images with more objects."""
    words = f"{WORDS[count]} {noun}{'es' if noun.endswith('s') else 's'}"
    return _line("counting", [_item(noun, count)], words, exclude=[_item(noun, count + 1)])


def _positioned(nouns: Sequence[str], position: str) -> Line:
    noun, target = nouns
    items = [_item(target), _item(noun, position=[position, 0])]
    return _line("position", items, f"{_a(noun)} {position} {_a(target)}")


def _coloured(nouns: Sequence[str], colours: Sequence[str]) -> Line:
    pairs = list(zip(nouns, colours, strict=True))
    items = [_item(noun, color=colour) for noun, colour in pairs]
    return _line("color_attr", items, " and ".join(f"{_a(colour)} {noun}" for noun, colour in pairs))


def _line(tag: str, include: list[Line], words: str, **exclude: list[Line]) -> Line:
    return {"tag": tag, "include": include, **exclude, "prompt": f"a photo of {words}"}


def _item(noun: str, count: int = 1, **more: Any) -> Line:
    return {"class": noun, "count": count, **more}


def _chosen(rng: np.random.Generator, words: Sequence[str], count: int) -> list[str]:
    return [words[number] for number in rng.choice(len(words), size=count, replace=False)]


def _one(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[rng.choice(len(words))]


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
