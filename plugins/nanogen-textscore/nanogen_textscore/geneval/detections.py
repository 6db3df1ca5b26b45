"""What a detector finds in a picture, and which of it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nanogen_textscore.geneval.boxes import MARGIN, Box, iou

COUNTING = "counting"  # the tag whose detections must be surer


class Detection(NamedTuple):
    """One object: its box, how sure the detector is of it in [0, 1], and its pixels, uint8 [H, W] of 0 and 255."""

    box: Box
    score: float
    mask: NDArray[np.uint8] | None = None


@frozen(kw_only=True)
class Rules:
    """The published thresholds. `max_overlap` = 1 keeps objects that lie upon each other."""

    threshold: float = 0.3
    counting_threshold: float = 0.9
    max_objects: int = 16  # of a class
    max_overlap: float = 1.0
    position_threshold: float = MARGIN


def kept(detections: Mapping[str, Sequence[Detection]], tag: str, rules: Rules = Rules()) -> dict[str, list[Detection]]:
    """Of each class the detections that count for a prompt of this tag, surest first; classes without any are left out.

    A score must be more than the threshold, not equal to it.
    """
    threshold = rules.counting_threshold if tag == COUNTING else rules.threshold
    found = {name: _of_class(those, threshold, rules) for name, those in detections.items()}
    return {name: those for name, those in found.items() if those}


def _of_class(detections: Sequence[Detection], threshold: float, rules: Rules) -> list[Detection]:
    surest_first = sorted(detections, key=lambda one: one.score, reverse=True)
    chosen = [one for one in surest_first if one.score > threshold][: rules.max_objects]
    if rules.max_overlap >= 1:
        return chosen
    apart: list[Detection] = []
    for one in chosen:
        if all(iou(one.box, other.box) < rules.max_overlap for other in apart):
            apart.append(one)
    return apart
