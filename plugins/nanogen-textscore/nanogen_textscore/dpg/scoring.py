"""Computes the scores of DPG-Bench from answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

YES = "yes"  # the only answer that counts as yes


class AnswerScores(NamedTuple):
    """The points of one image, by question number."""

    raw: dict[int, float]  # 1 for yes, 0 for any other answer
    adjusted: dict[int, float]  # 0 if the question depends on a question with 0 points
    valid: dict[int, bool]  # whether all questions that it depends on have a point

    @property
    def score(self) -> float:
        """The mean of the adjusted points, in [0, 1]."""
        return fmean(self.adjusted.values())


class Result(NamedTuple):
    """The result of one image."""

    score: float  # in [0, 1]
    raw: Mapping[int, float]  # question number -> 1 for yes, 0 for any other answer
    about: Mapping[int, str]  # question number -> category and entities


def score_answers(raw: Mapping[int, float], parents: Mapping[int, Sequence[int]]) -> AnswerScores:
    """Set the points of a question to 0 if a question that it depends on has 0 points.

    Questions are visited in the order of `parents`, as in the published code: a lost point affects the dependent
    questions that come later in that order, not the earlier ones.

    Args:
        raw: Points by question number. A question without points counts as yes for the questions that depend on it.
        parents: For each question number, the numbers of the questions that it depends on. 0 stands for no question.
    """
    adjusted, valid = dict(raw), {}
    for number, needed in parents.items():
        valid[number] = all(adjusted.get(parent, 1.0) != 0 for parent in needed if parent != 0)
        if not valid[number]:
            adjusted[number] = 0.0
    return AnswerScores(dict(raw), adjusted, valid)


def category_1(about: str) -> str:
    """Return the level 1 category: `"attribute"` for `"attribute - color (cat, red)"`."""
    return category_2(about).split("-")[0].strip()


def category_2(about: str) -> str:
    """Return the level 2 category: `"attribute - color"` for `"attribute - color (cat, red)"`."""
    return about.split("(")[0].strip()


def aggregate(results: Sequence[Result]) -> tuple[float, dict[str, float], dict[str, float]]:
    """Average results.

    Returns:
        The mean score of the images, the mean points of each level 1 category, and those of each level 2 category. All
        are in [0, 1]. As published, the categories use raw points and not adjusted ones.
    """
    coarse: dict[str, list[float]] = {}
    fine: dict[str, list[float]] = {}
    for result in results:
        for number, about in result.about.items():
            coarse.setdefault(category_1(about), []).append(result.raw[number])
            fine.setdefault(category_2(about), []).append(result.raw[number])
    return fmean(result.score for result in results), _means(coarse), _means(fine)


def _means(points: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: fmean(values) for name, values in points.items()}
