"""Detections of objects, and the selection of those that count for a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nanogen_textscore.geneval.boxes import MARGIN, Box, iou

COUNTING = "counting"  # the tag with the higher score threshold


class Detection(NamedTuple):
    """A detected object."""

    box: Box
    score: float  # in [0, 1]
    mask: NDArray[np.uint8] | None = None  # [H, W], 255 on the object and 0 elsewhere


@frozen(kw_only=True)
class Rules:
    """The thresholds of GenEval. The defaults are the published ones. `GenEvalConfig` describes the fields."""

    threshold: float = 0.3
    counting_threshold: float = 0.9
    max_objects: int = 16
    max_overlap: float = 1.0
    position_threshold: float = MARGIN


def select_detections(
    detections: Mapping[str, Sequence[Detection]], tag: str, rules: Rules = Rules()
) -> dict[str, list[Detection]]:
    """Select the detections that count for a prompt.

    Args:
        detections: All detections by class.
        tag: The tag of the prompt.
        rules: The thresholds. A score must exceed its threshold.

    Returns:
        The selected detections by class, highest score first. Classes without selected detections are left out.
    """
    threshold = rules.counting_threshold if tag == COUNTING else rules.threshold
    selected = {name: _select(members, threshold, rules) for name, members in detections.items()}
    return {name: members for name, members in selected.items() if members}


def _select(detections: Sequence[Detection], threshold: float, rules: Rules) -> list[Detection]:
    by_score = sorted(detections, key=lambda one: one.score, reverse=True)
    chosen = [one for one in by_score if one.score > threshold][: rules.max_objects]
    if rules.max_overlap >= 1:
        return chosen
    distinct: list[Detection] = []
    for one in chosen:
        if all(iou(one.box, other.box) < rules.max_overlap for other in distinct):
            distinct.append(one)
    return distinct
