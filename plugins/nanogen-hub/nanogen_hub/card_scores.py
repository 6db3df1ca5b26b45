"""The scores that a model card lists, and their names in its table and metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nanogen_eval.score import Score, canonical
from nanogen_files.config_diff import flat


def without_smaller(scores: Sequence[Score]) -> list[Score]:
    """Return the scores without those that repeat another one with fewer images and otherwise equal settings."""
    largest: dict[str, Score] = {}
    for score in scores:
        # the hash of the requests differs between numbers of images
        settings = {name: value for name, value in score.settings.items() if name != "requests"}
        key = f"{score.metric} {score.component} {canonical(settings)}"
        if key not in largest or _images(score) >= _images(largest[key]):
            largest[key] = score
    return list(largest.values())


def label(score: Score, scores: Sequence[Score]) -> str:
    """Return the name of a score, with sampling settings that differ among scores of this name: `fid (steps 10)`."""
    own, others = _sampling(score), [_sampling(other) for other in scores if other.metric == score.metric]
    differing = [name for name, value in own.items() if any(other.get(name) != value for other in others)]
    words = ", ".join(f"{name} {own[name]}" for name in differing)
    return f"{score.metric} ({words})" if words else score.metric


def _sampling(score: Score) -> dict[str, Any]:
    """Return the sampling settings of a score by dotted name. Empty for a score of reconstructions."""
    return dict(flat(score.settings.get("sampling") or {}))


def _images(score: Score) -> int:
    return score.n * max(1, len(score.seeds))
