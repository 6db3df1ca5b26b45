"""From yes and no to scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

YES = "yes"  # this word and no other


class Judged(NamedTuple):
    """Of one image, by the number of the question: what was answered, what is left of it, and whether it counts."""

    raw: dict[int, float]
    adjusted: dict[int, float]
    valid: dict[int, bool]

    @property
    def score(self) -> float:
        """The mean of what is left."""
        return fmean(self.adjusted.values())


class Result(NamedTuple):
    """Of one image: its score, the raw answers and what each question is about."""

    score: float
    raw: Mapping[int, float]
    about: Mapping[int, str]


def judged(raw: Mapping[int, float], parents: Mapping[int, Sequence[int]]) -> Judged:
    """Takes away the point of a question where one of its parents has none at that moment.

    The questions are visited in the order of `parents`, so that a lost point is handed on to children that come later,
    and not to those that came before, as published. Parent 0 is none; a parent without an answer counts as yes.
    """
    adjusted, valid = dict(raw), {}
    for number, needed in parents.items():
        valid[number] = all(adjusted.get(parent, 1.0) != 0 for parent in needed if parent != 0)
        if not valid[number]:
            adjusted[number] = 0.0
    return Judged(dict(raw), adjusted, valid)


def broad(about: str) -> str:
    """`"attribute"` of `"attribute - color (cat, red)"`: the category of level 1."""
    return detailed(about).split("-")[0].strip()


def detailed(about: str) -> str:
    """`"attribute - color"` of `"attribute - color (cat, red)"`: the category of level 2."""
    return about.split("(")[0].strip()


def aggregate(results: Sequence[Result]) -> tuple[float, dict[str, float], dict[str, float]]:
    """The mean score over images, and the mean raw answer in each category of level 1 and of level 2.

    Categories see the answers before points were taken away, as published. Everything is in [0, 1].
    """
    coarse: dict[str, list[float]] = {}
    fine: dict[str, list[float]] = {}
    for result in results:
        for number, about in result.about.items():
            coarse.setdefault(broad(about), []).append(result.raw[number])
            fine.setdefault(detailed(about), []).append(result.raw[number])
    return fmean(result.score for result in results), _means(coarse), _means(fine)


def _means(answers: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: fmean(those) for name, those in answers.items()}
