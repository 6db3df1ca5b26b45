"""Computes the scores of a GenEval results file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise results under the names of the original tool.

    Args:
        results: Lines of a results file. Each has `tag` and `correct`. Lines of the same prompt have the same
            `metadata` or, if that is missing, the same `prompt`.

    Returns:
        `task_scores`: the share of correct images of each tag. `overall_score`: their mean. `correct_images`: the share
        of correct images. `correct_prompts`: the share of prompts with at least one correct image. `total_images` and
        `total_prompts`: the numbers of images and prompts.
    """
    by_tag: dict[str, list[bool]] = {}
    by_prompt: dict[str, list[bool]] = {}
    for result in results:
        by_tag.setdefault(result["tag"], []).append(bool(result["correct"]))
        by_prompt.setdefault(result.get("metadata", result.get("prompt")), []).append(bool(result["correct"]))
    tags = {tag: fmean(correct) for tag, correct in by_tag.items()}
    return {
        "total_images": len(results),
        "total_prompts": len(by_prompt),
        "correct_images": fmean(bool(result["correct"]) for result in results) if results else 0.0,
        "correct_prompts": fmean(any(correct) for correct in by_prompt.values()) if results else 0.0,
        "task_scores": tags,
        "overall_score": fmean(tags.values()) if tags else 0.0,
    }
