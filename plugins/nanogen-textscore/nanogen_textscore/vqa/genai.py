"""The files and score names of GenAI-Bench (Li et al., arXiv 2406.13743)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from nanogen_core.errors import DataError
from nanogen_files import json_files

_NUMBER = re.compile(r"[0-9]{1,18}")


def read_prompts(file: Path) -> dict[int, str]:
    """Read the prompts of a `genai_image.json` by id, in file order. Raises DataError for another format."""
    content = json_files.read(file)
    found: dict[int, str] = {}
    for key, entry in content.items() if isinstance(content, dict) else [("", None)]:
        prompt = entry.get("prompt") if isinstance(entry, dict) else None
        if not _NUMBER.fullmatch(key) or not isinstance(prompt, str) or int(key) in found:
            raise DataError(
                f'{file} is not of the form {{"00000": {{"prompt": ...}}}}, each number once. Set `prompts` to the '
                "official genai_image.json."
            )
        found[int(key)] = prompt
    if not found:
        raise DataError(f"{file} has no prompts. Set `prompts` to the official genai_image.json.")
    return found


def read_skills(file: Path, known: Mapping[int, str]) -> dict[str, list[int]]:
    """Read the prompt ids of each skill from a `genai_skills.json`.

    Args:
        known: The prompts by id.

    Raises:
        DataError: The file has another format, or an id that is not in `known`.
    """
    content = json_files.read(file)
    lists = list(content.values()) if isinstance(content, dict) else [None]
    if not all(isinstance(ids, list) and all(type(one) is int for one in ids) for ids in lists):
        raise DataError(
            f'{file} is not of the form {{"counting": [0, 7, ...]}}. Set `skills` to the official genai_skills.json.'
        )
    unknown = [one for ids in content.values() for one in ids if one not in known]
    if unknown:
        raise DataError(
            f"{file} has the prompt id {unknown[0]!r}, which is not in the file of prompts. "
            "Set `prompts` and `skills` to the files of one release of GenAI-Bench."
        )
    return {str(skill): list(ids) for skill, ids in content.items()}


def by_skill(scores: Mapping[int, float], skills: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Average scores by skill.

    Args:
        scores: Scores by prompt id.
        skills: The prompt ids of each skill.

    Returns:
        The mean score of each skill. `all` is the mean over the prompts with at least one skill. A mean counts each
        prompt once. Prompts without a score are left out, and so are skills without any score.
    """
    groups = {**skills, "all": [one for ids in skills.values() for one in ids]}
    scored = {name: [scores[one] for one in dict.fromkeys(ids) if one in scores] for name, ids in groups.items()}
    return {name: fmean(values) for name, values in scored.items() if values}


def image_name(key: int, number: int, each: int) -> str:
    """Return the file name of an image.

    Args:
        key: The prompt id.
        number: The number of the image among the images of the prompt, from 0.
        each: Images per prompt.

    Returns:
        `"00012.jpeg"`, the name of the original tool, or `"00012-1.jpeg"` for several images per prompt.
    """
    return f"{key:05d}.jpeg" if each == 1 else f"{key:05d}-{number}.jpeg"


def score_name(skill: str) -> str:
    """Return the score name of a skill: `"genaibench_spatial_relation"` for `"spatial relation"`."""
    return "_".join(["genaibench", *re.findall(r"\w+", skill)])
