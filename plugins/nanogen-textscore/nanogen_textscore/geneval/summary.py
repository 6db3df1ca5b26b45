"""From the verdicts on images to the scores: the official one and the one that the published table uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the original tools say of results: `overall_score` is the mean over the tags, `correct_images` that over
    all images, `correct_prompts` the share of prompts with an image that is right.

    A result has a `tag`, `correct`, and `metadata` (or else `prompt`), by which images of one prompt are known.
    """
    by_tag: dict[str, list[bool]] = {}
    by_prompt: dict[str, list[bool]] = {}
    for result in results:
        by_tag.setdefault(result["tag"], []).append(bool(result["correct"]))
        by_prompt.setdefault(result.get("metadata", result.get("prompt")), []).append(bool(result["correct"]))
    tags = {tag: fmean(verdicts) for tag, verdicts in by_tag.items()}
    return {
        "total_images": len(results),
        "total_prompts": len(by_prompt),
        "correct_images": fmean(bool(result["correct"]) for result in results) if results else 0.0,
        "correct_prompts": fmean(any(verdicts) for verdicts in by_prompt.values()) if results else 0.0,
        "task_scores": tags,
        "overall_score": fmean(tags.values()) if tags else 0.0,
    }
