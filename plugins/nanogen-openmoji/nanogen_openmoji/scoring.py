"""Checks whether an image shows what its caption says, by the rules of GenEval (Ghosh et al., arXiv 2310.11513)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from nanogen_openmoji.captions import ObjectGroup, SceneDescription
from nanogen_openmoji.colours import NATURAL
from nanogen_openmoji.scene_reader import Detection

SKILLS = ("presence", "colour", "count", "position")
MIN_OFFSET = 0.1  # smallest offset of two centres for a relation, as a share of the image
OFFSETS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}  # from the second to the first
NOT_ASKED = -1  # in tensors: the caption does not specify the skill


@attrs.frozen(kw_only=True)
class SceneResult:
    """Whether each skill is correct. None: the caption does not specify it."""

    presence: bool
    colour: bool | None
    count: bool | None
    position: bool | None


def check_scene(description: SceneDescription, detections: Sequence[Detection]) -> SceneResult:
    """Check the detections in an image against its caption.

    - presence: every named object is there.
    - colour: every coloured group has objects, and all of them have its colour. An object that is not recoloured has
      the colour in `NATURAL`, if any.
    - count: a group with a count above one has exactly that many objects.
    - position: the centres of the two objects have the relation, with an offset above `MIN_OFFSET`. For each name, the
      detection with the highest score counts.

    Args:
        description: What the caption says.
        detections: The objects in the image, highest score first.
    """
    coloured = [group for group in description.groups if group.colour]
    counted = [group for group in description.groups if group.count > 1]
    return SceneResult(
        presence=all(_named(group, detections) for group in description.groups),
        colour=all(_colour_is_correct(group, detections) for group in coloured) if coloured else None,
        count=all(len(_named(group, detections)) == group.count for group in counted) if counted else None,
        position=_position_is_correct(description, detections) if description.relation else None,
    )


def skill_accuracies(results: Sequence[SceneResult]) -> dict[str, float]:
    """Return the share of correct results of each skill, over the captions that specify it. In [0, 1]."""
    return accuracies(to_tensor(results))


def to_tensor(results: Sequence[SceneResult]) -> Tensor:
    """Convert results to int8 [N, 4], in the order of `SKILLS`: 1 correct, 0 incorrect, -1 not specified."""
    rows = [[getattr(result, skill) for skill in SKILLS] for result in results]
    return torch.tensor([[NOT_ASKED if x is None else int(x) for x in row] for row in rows], dtype=torch.int8)


def accuracies(results: Tensor) -> dict[str, float]:
    """Return the accuracies of results [N, 4] from `to_tensor`. A skill that no caption specifies is left out."""
    columns = {skill: results[:, column] for column, skill in enumerate(SKILLS)}
    asked = {skill: column[column != NOT_ASKED] for skill, column in columns.items()}
    return {skill: int(column.sum(dtype=torch.int64)) / len(column) for skill, column in asked.items() if len(column)}


def _named(group: ObjectGroup, detections: Sequence[Detection]) -> list[Detection]:
    return [one for one in detections if one.name == group.name]


def _colour_is_correct(group: ObjectGroup, detections: Sequence[Detection]) -> bool:
    found = _named(group, detections)
    return bool(found) and all((one.colour or NATURAL.get(one.name)) == group.colour for one in found)


def _position_is_correct(description: SceneDescription, detections: Sequence[Detection]) -> bool:
    first, second = (_named(group, detections) for group in description.groups)
    if not first or not second:
        return False
    right, down = OFFSETS[str(description.relation)]
    offset = (first[0].x - second[0].x) * right + (first[0].y - second[0].y) * down
    return offset > MIN_OFFSET
