"""Published configurations: compares each row with the corresponding recipe, field by field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nanogen_core.errors import NanoGenError
from tests.fidelity.measurement import Measurement
from tests.fidelity.recipes.names import NoRecipe, recipe_of
from tests.fidelity.recipes.ours import as_row
from tests.fidelity.recorded import read_facts

NEVER = float("inf")
SHIFT = 1e-5  # shifts are recorded to six digits; everything else is exact
SHIFTS = ("training_shift", "sampling_shift")

#: Fields that no recipe determines. All others are compared.
NOT_COMPARED = {
    "recipe": "the name of the published recipe, by which the recipe is found",
    "file": "where the row comes from",
    "kind": "rows of both kinds are compared with the same recipe",
    "data.target": "determined by the task; the user sets `dataset.root`",
    "data.storage": "`dataset` reads class folders, parquet, arrow and tars alike: no number depends on it",
    "data.split": "training reads the split `train`; the three folders of captions are one pattern of tars",
}


def measure(path: Path) -> Iterator[Measurement]:
    """Measure every field of every row. Unknown fields and rows without a recipe never hold."""
    content = read_facts(path)
    for row in content["rows"]:
        yield from compared(row)


def notes(path: Path) -> Iterator[str]:
    """Yield the fields that are not compared, with the reasons."""
    yield from (f"not compared: {name}: {reason}" for name, reason in NOT_COMPARED.items())


def leaves(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"model": {"depth": [28, 2]}}` as `{"model.depth": [28, 2]}`."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        inner = leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {prefix + name: value}
        found.update(inner)
    return found


def published(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the compared fields of a published row, with NanoGen's values."""
    fields = {name: value for name, value in leaves(row).items() if name not in NOT_COMPARED}
    return {name: CONVERTED.get(name, _identity)(value) for name, value in fields.items()}


def compared(row: Mapping[str, Any]) -> Iterator[Measurement]:
    """Compare every field of one row.

    Published recipes have configurations with and without guidance; the recipe is resolved accordingly.
    MeanFlow has one configuration.
    """
    try:
        applied, of_meanflow = row["guidance"]["applied"], row["meanflow"] is not None
        ours = leaves(as_row(recipe_of(row), row["task"], guided=applied or of_meanflow))
        theirs = published(row)
    except (NoRecipe, NanoGenError, KeyError, TypeError, AttributeError) as error:
        yield Measurement(f"{row.get('file', row)}: {type(error).__name__}: {error}", NEVER, 0)
        return
    for name in sorted(ours.keys() | theirs.keys()):
        yield _of_field(f"{row['file']}: {name}", name, ours, theirs)


def _of_field(label: str, name: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Measurement:
    if name not in ours:
        return Measurement(f"{label}: a field that this check does not know ({theirs[name]!r})", NEVER, 0)
    if name not in theirs:
        return Measurement(f"{label}: the row lacks the field (ours: {ours[name]!r})", NEVER, 0)
    found, wanted = ours[name], theirs[name]
    label = f"{label}: ours {found!r}, published {wanted!r}"
    if name in SHIFTS and isinstance(wanted, float):
        return Measurement(label, abs(found - wanted), SHIFT)
    return Measurement(label, 0.0 if _same(found, wanted) else NEVER, 0)


def _same(found: Any, wanted: Any) -> bool:
    """Equality that distinguishes numbers and booleans."""
    return bool(found == wanted) and isinstance(found, bool) is isinstance(wanted, bool)


def _identity(value: Any) -> Any:
    return value


def _tokenizer(name: str) -> str:
    """All published VAE classes are the tokenizer `vae`."""
    known = {"RAE": "rae", "PixelEncoder": "pixel"}
    return "vae" if name.endswith("VAE") else known.get(name, name)


def _distribution(name: str) -> str:
    """`logit-normal_0_1` -> `logit-normal_0.0_1.0`."""
    return re.sub(r"(?<=_)-?[\d.]+", lambda number: str(float(number[0])), name)


#: Conversions of published values.
CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    "tokenizer.cls": _tokenizer,
    "model.cls": lambda name: {"DiTwDDTHead": "ddt", "LightningDiT": "lightning-dit"}.get(name, name),
    "time_distribution": _distribution,
}
