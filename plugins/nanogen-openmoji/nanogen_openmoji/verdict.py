"""Whether a picture shows what its caption says: the rules of GenEval (Ghosh et al. 2023) on what the reader finds."""

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from nanogen_openmoji.colours import NATURAL
from nanogen_openmoji.meaning import Group, Meaning
from nanogen_openmoji.scene_reader import Detection

SKILLS = ("presence", "colour", "count", "position")
BESIDE = 0.1  # how far apart, as a share of the image, two centres must lie for a relation to hold
OFFSETS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}  # from the second to the first


@attrs.frozen(kw_only=True)
class Verdict:
    """Right, wrong, or None where the caption says nothing about it."""

    presence: bool
    colour: bool | None
    count: bool | None
    position: bool | None


def verdict(meaning: Meaning, detections: Sequence[Detection]) -> Verdict:
    """Judge one picture.

    presence: every named object is there. colour: and all of that name have the asked colour (a drawing that has it of
    itself will do). count: exactly so many, where the caption gives a number above one. position: the surest of both
    names lie as asked, by their centres.
    """
    coloured = [group for group in meaning.groups if group.colour]
    counted = [group for group in meaning.groups if group.count > 1]
    return Verdict(
        presence=all(_named(group, detections) for group in meaning.groups),
        colour=all(_in_colour(group, detections) for group in coloured) if coloured else None,
        count=all(len(_named(group, detections)) == group.count for group in counted) if counted else None,
        position=_in_place(meaning, detections) if meaning.relation else None,
    )


def rates(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """The share that is right of presence, colour, count and position, each over the captions that speak of it."""
    return shares(as_numbers(verdicts))


def as_numbers(verdicts: Sequence[Verdict]) -> Tensor:
    """int8 [N, 4] in the order of `SKILLS`: 1 right, 0 wrong, -1 where the caption says nothing about it."""
    rows = [[getattr(each, skill) for skill in SKILLS] for each in verdicts]
    return torch.tensor([[-1 if right is None else int(right) for right in row] for row in rows], dtype=torch.int8)


def shares(numbers: Tensor) -> dict[str, float]:
    """`rates` of verdicts as numbers [N, 4]."""
    columns = {skill: numbers[:, place] for place, skill in enumerate(SKILLS)}
    asked = {skill: column[column >= 0] for skill, column in columns.items()}
    return {skill: int(column.sum(dtype=torch.int64)) / len(column) for skill, column in asked.items() if len(column)}


def _named(group: Group, detections: Sequence[Detection]) -> list[Detection]:
    return [each for each in detections if each.name == group.name]


def _in_colour(group: Group, detections: Sequence[Detection]) -> bool:
    found = _named(group, detections)
    return bool(found) and all((each.colour or NATURAL.get(each.name)) == group.colour for each in found)


def _in_place(meaning: Meaning, detections: Sequence[Detection]) -> bool:
    first, second = (_named(group, detections) for group in meaning.groups)
    if not first or not second:
        return False
    right, down = OFFSETS[str(meaning.relation)]
    apart = (first[0].x - second[0].x) * right + (first[0].y - second[0].y) * down
    return apart > BESIDE
