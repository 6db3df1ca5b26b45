"""The published configurations: each row against the recipe of ours that stands for it, field by field."""

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

#: Fields that no recipe decides. Everything else is compared.
NOT_COMPARED = {
    "recipe": "the name of the published recipe, which the recipe of ours is found by",
    "file": "where the row comes from",
    "kind": "rows of both kinds are held to the same recipe",
    "data.target": "the task says it; which files are read is the user's `dataset.root`",
    "data.storage": "`dataset` reads class folders, parquet, arrow and tars alike: no number depends on it",
    "data.split": "training reads the split `train`; the three folders of captions are one pattern of tars",
}


def measure(path: Path) -> Iterator[Measurement]:
    """Every field of every row. A field that is not known here, and a row without a recipe, never hold."""
    content = read_facts(path)
    for row in content["rows"]:
        yield from compared(row)


def notes(path: Path) -> Iterator[str]:
    """What is not compared, and why."""
    yield from (f"not compared: {name}: {reason}" for name, reason in NOT_COMPARED.items())


def leaves(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"model": {"depth": [28, 2]}}` as `{"model.depth": [28, 2]}`."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        inner = leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {prefix + name: value}
        found.update(inner)
    return found


def published(row: Mapping[str, Any]) -> dict[str, Any]:
    """The compared fields of a published row, in our words."""
    fields = {name: value for name, value in leaves(row).items() if name not in NOT_COMPARED}
    return {name: IN_OUR_WORDS.get(name, _as_it_is)(value) for name, value in fields.items()}


def compared(row: Mapping[str, Any]) -> Iterator[Measurement]:
    """Every field of one row. The published recipe has a configuration without guidance too: ours is then asked for
    its samples without guidance. MeanFlow has one configuration, which is ours as it is."""
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
    """Equal, but no number is a truth value."""
    return bool(found == wanted) and isinstance(found, bool) is isinstance(wanted, bool)


def _as_it_is(value: Any) -> Any:
    return value


def _tokenizer(name: str) -> str:
    """VAE, Flux2VAE and further classes of VAEs are one tokenizer of ours."""
    known = {"RAE": "rae", "PixelEncoder": "pixel"}
    return "vae" if name.endswith("VAE") else known.get(name, name)


def _distribution(name: str) -> str:
    """`logit-normal_0_1` -> `logit-normal_0.0_1.0`."""
    return re.sub(r"(?<=_)-?[\d.]+", lambda number: str(float(number[0])), name)


#: Published fields whose values have another name here.
IN_OUR_WORDS: Mapping[str, Callable[[Any], Any]] = {
    "tokenizer.cls": _tokenizer,
    "model.cls": lambda name: {"DiTwDDTHead": "ddt", "LightningDiT": "lightning-dit"}.get(name, name),
    "time_distribution": _distribution,
}
