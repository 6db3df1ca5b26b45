"""Which way a column points. It is never guessed from the numbers: what is not known here must be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nanogen_core.errors import ConfigError

LOWER, HIGHER = "lower", "higher"

#: The first words of a column's name -> what is better. "fid" answers for fid_cfg and fid_nocfg too.
KNOWN: Mapping[str, str] = {
    **dict.fromkeys(("fid", "sfid", "rfid", "fd", "fdr", "fdr6", "frechet", "kid", "mind", "mind6", "lpips"), LOWER),
    **dict.fromkeys(("is", "inception_score", "precision", "recall", "density", "coverage", "psnr", "ssim"), HIGHER),
    **dict.fromkeys(("geneval", "dpgbench", "dpg_bench", "genaibench", "genai_bench", "vqascore", "clipscore"), HIGHER),
    **dict.fromkeys(("accuracy", "presence", "count", "colour", "position", "scenes"), HIGHER),
}
#: With one of these words a name is about a score and no score.
ABOUT = frozenset({"error", "high", "low", "loss", "n", "rank", "seed", "seeds", "sd", "se", "std", "weight"})


def known_direction(column: str) -> str | None:
    """`"lower"` or `"higher"`, whichever is better; None where the name says neither."""
    words = column.casefold().replace("-", "_").replace(" ", "_").split("_")
    if ABOUT & set(words):
        return None
    starts = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return next((KNOWN[start] for start in starts if start in KNOWN), None)


def directions(columns: Sequence[str], said: Mapping[str, str]) -> dict[str, str]:
    """The direction of each column; `said` comes first. Raises ConfigError where a column has none."""
    wrong = next(((column, word) for column, word in said.items() if word not in (LOWER, HIGHER)), None)
    if wrong:
        raise ConfigError(f"--direction takes COLUMN=lower or COLUMN=higher, not {wrong[0]}={wrong[1]}.")
    found = {column: said.get(column) or known_direction(column) for column in columns}
    unknown = [column for column, word in found.items() if word is None]
    if unknown:
        asked = " ".join(f"--direction {column}=higher" for column in unknown)
        raise ConfigError(
            f"Is a lower or a higher {' and '.join(unknown)} better? The name does not say: add {asked} (or =lower)."
        )
    return {column: word for column, word in found.items() if word is not None}


def sign(direction: str) -> int:
    """+1 where higher is better, -1 where lower is: what a column is multiplied with to point up."""
    return 1 if direction == HIGHER else -1
