"""Groups of dependent models, such as families, or variants of a tokenizer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from nanogen_bench.correlation.table import Row, Table
from nanogen_core.errors import DataError, near_miss

MODELS = "models"
TOKENIZER = "tokenizer"
DEFAULT = (TOKENIZER, "family")

#: Parts of a model's name that distinguish variants of a tokenizer.
VARIANT = (
    re.compile(r"\s*\+.*$"),  # "DINOv2-B + REG": with an auxiliary loss
    re.compile(r"\s*\(.*\)$"),  # "MeanFlow (NFE=2)": other sampling steps
    re.compile(r"^E2E-"),  # "E2E-FLUX.1-VAE": FLUX.1-VAE, fine-tuned
    re.compile(r"-(EMA|MSE)$"),  # SD-VAE: two decoders of one latent space
    re.compile(r"^(Lang|Spatial)(?=PE-)"),  # Perception Encoder, aligned to language or space
)


@frozen(kw_only=True)
class Grouping:
    """Assignment of models to groups."""

    name: str  # such as "tokenizer"; "models" if each model is a group
    groups: tuple[str, ...]  # in order of appearance
    index: tuple[int, ...]  # group index of each model

    @property
    def members(self) -> NDArray[np.float64]:
        """Membership matrix [groups, models]: 1 if the model is in the group."""
        table = np.zeros((len(self.groups), len(self.index)))
        table[self.index, range(len(self.index))] = 1
        return table


def plural(name: str) -> str:
    """Return the plural of a grouping's name: `"families"` for `"family"`."""
    return name if name == MODELS else re.sub(r"y$", "ie", name) + "s"


def number_of(count: int, name: str) -> str:
    """Return `"11 tokenizers"` or `"1 family"`."""
    return f"{count} {name.removesuffix('s') if count == 1 else plural(name)}"


def grouping(name: str, labels: Sequence[str]) -> Grouping:
    """Group models by label."""
    groups = tuple(dict.fromkeys(labels))
    place = {group: index for index, group in enumerate(groups)}
    return Grouping(name=name, groups=groups, index=tuple(place[label] for label in labels))


def base_tokenizer(model: str) -> str:
    """Derive the tokenizer from a model's name: `"FLUX.1-VAE"` for `"E2E-FLUX.1-VAE"` and `"FLUX.1-VAE + REG"`."""
    for pattern in VARIANT:
        model = pattern.sub("", model)
    return model


def labels(name: str, table: Table) -> dict[str, str]:
    """Return the group of each model.

    Args:
        name: Column of the table, or `"tokenizer"`. Without a column `tokenizer`, model names determine the tokenizers.

    Returns:
        Model -> group. A model with an empty cell is its own group.

    Raises:
        DataError: The table has no such column.
    """
    if name in table.columns:
        return {model: row[name] or model for model, row in _by_model(table)}
    if name == TOKENIZER:
        return {model: base_tokenizer(model) for model, _ in _by_model(table)}
    known = (TOKENIZER, *table.columns)
    raise DataError(
        f"--cluster {name}: {table.source} has no such column.{near_miss(name, known)} Give one of its columns, or"
        " `tokenizer`."
    )


def defaults(table: Table) -> tuple[str, ...]:
    """Return the names in `DEFAULT` that give at least two groups, and fewer groups than models."""
    available = [name for name in DEFAULT if name == TOKENIZER or name in table.columns]
    return tuple(name for name in available if 1 < len(set(labels(name, table).values())) < len(table.rows))


def _by_model(table: Table) -> list[tuple[str, Row]]:
    return list(zip(table.models, table.rows, strict=True))
