"""The files of GenAI-Bench (Li et al., arXiv 2406.13743): prompts, and the skills that each of them asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from nanogen_core.errors import DataError
from nanogen_files import json_files

_NUMBER = re.compile(r"[0-9]{1,18}")


def read_prompts(file: Path) -> dict[int, str]:
    """The prompts of `genai_image.json` by their ids, in its order. Raises DataError for a file of another form."""
    content = json_files.read(file)
    found: dict[int, str] = {}
    for key, entry in content.items() if isinstance(content, dict) else [("", None)]:
        prompt = entry.get("prompt") if isinstance(entry, dict) else None
        if not _NUMBER.fullmatch(key) or not isinstance(prompt, str) or int(key) in found:
            raise DataError(f'{file} is not of the form {{"00000": {{"prompt": ...}}}}: name genai_image.json.')
        found[int(key)] = prompt
    if not found:
        raise DataError(f"{file} has no prompts: name genai_image.json.")
    return found


def read_skills(file: Path, known: Mapping[int, str]) -> dict[str, list[int]]:
    """The ids of `genai_skills.json` by skill. Raises DataError for another form, or an id that no prompt has."""
    content = json_files.read(file)
    lists = list(content.values()) if isinstance(content, dict) else [None]
    if not all(isinstance(ids, list) and all(type(one) is int for one in ids) for ids in lists):
        raise DataError(f'{file} is not of the form {{"counting": [0, 7, ...]}}: name genai_skills.json.')
    strange = [one for ids in content.values() for one in ids if one not in known]
    if strange:
        raise DataError(f"{file} names the prompt {strange[0]!r}, which the prompts do not have: fetch both again.")
    return content


def by_skill(scores: Mapping[int, float], skills: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """The mean score of each skill's prompts, and in `all` that of the prompts with any skill, each counted once.

    Only prompts with a score count; a skill without any has no mean.
    """
    groups = {**skills, "all": sorted({one for ids in skills.values() for one in ids})}
    scored = {name: [scores[one] for one in ids if one in scores] for name, ids in groups.items()}
    return {name: fmean(values) for name, values in scored.items() if values}


def picture_name(key: int, number: int, each: int) -> str:
    """`"00012.jpeg"`, as the original tool names a prompt's only picture; numbered where there are several."""
    return f"{key:05d}.jpeg" if each == 1 else f"{key:05d}-{number}.jpeg"


def score_name(skill: str) -> str:
    """`"genaibench_spatial_relation"` of `"spatial relation"`."""
    return "_".join(["genaibench", *re.findall(r"\w+", skill)])
