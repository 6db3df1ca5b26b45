"""Directions of score columns: is a lower or a higher value better? Known by name, never inferred from values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nanogen_core.errors import ConfigError

LOWER, HIGHER = "lower", "higher"

#: First words of a column's name -> direction. "fid" also matches fid_cfg and fid_nocfg.
KNOWN: Mapping[str, str] = {
    **dict.fromkeys(("fid", "sfid", "rfid", "fd", "fdr", "fdr6", "frechet", "kid", "mind", "mind6", "lpips"), LOWER),
    **dict.fromkeys(("is", "inception_score", "precision", "recall", "density", "coverage", "psnr", "ssim"), HIGHER),
    **dict.fromkeys(("geneval", "dpgbench", "dpg_bench", "genaibench", "genai_bench", "vqascore", "clipscore"), HIGHER),
    **dict.fromkeys(("accuracy", "presence", "count", "colour", "position", "scenes"), HIGHER),
}
#: Words of columns that are not scores.
NO_SCORE = frozenset({"error", "high", "low", "loss", "n", "rank", "seed", "seeds", "sd", "se", "std", "weight"})


def known_direction(column: str) -> str | None:
    """Return `"lower"` or `"higher"`, whichever is better; None if the name is unknown.

    A name that contains a word of `NO_SCORE`, such as "loss", counts as unknown.
    """
    words = column.casefold().replace("-", "_").replace(" ", "_").split("_")
    if NO_SCORE & set(words):
        return None
    starts = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return next((KNOWN[start] for start in starts if start in KNOWN), None)


def all_directions(columns: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the direction of each column.

    Args:
        columns: Names of the columns.
        given: Directions given by the user. They override the known ones.

    Raises:
        ConfigError: A given direction is invalid, or the direction of a column is unknown.
    """
    wrong = next(((column, word) for column, word in given.items() if word not in (LOWER, HIGHER)), None)
    if wrong:
        raise ConfigError(f"--direction takes COLUMN=lower or COLUMN=higher, not {wrong[0]}={wrong[1]}.")
    found = {column: given.get(column) or known_direction(column) for column in columns}
    unknown = [column for column, word in found.items() if word is None]
    if unknown:
        options = " ".join(f"--direction {column}=higher" for column in unknown)
        raise ConfigError(f"The direction of {' and '.join(unknown)} is unknown: add {options} (or =lower).")
    return {column: word for column, word in found.items() if word is not None}


def sign(direction: str) -> int:
    """Return +1 if higher is better, -1 if lower is better."""
    return 1 if direction == HIGHER else -1
