"""Models that are not independent of each other: families, and variants of one tokenizer."""

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

#: What a variant adds to the name of the tokenizer that it is a variant of.
VARIANT = (
    re.compile(r"\s*\+.*$"),  # "DINOv2-B + REG": trained with an auxiliary loss
    re.compile(r"\s*\(.*\)$"),  # "MeanFlow (NFE=2)": one network, sampled otherwise
    re.compile(r"^E2E-"),  # "E2E-FLUX.1-VAE": FLUX.1-VAE tuned on
    re.compile(r"-(EMA|MSE)$"),  # SD-VAE: two decoders tuned on one latent space
    re.compile(r"^(Lang|Spatial)(?=PE-)"),  # the Perception Encoder, aligned to language or to space
)


@frozen(kw_only=True)
class Grouping:
    """Which group each model is in. `groups` are in order of appearance."""

    name: str
    groups: tuple[str, ...]
    index: tuple[int, ...]  # model -> its group

    @property
    def members(self) -> NDArray[np.float64]:
        """[groups, models]: 1 where the model is in the group."""
        table = np.zeros((len(self.groups), len(self.index)))
        table[self.index, range(len(self.index))] = 1
        return table


def plural(name: str) -> str:
    return name if name == MODELS else re.sub(r"y$", "ie", name) + "s"


def number_of(count: int, name: str) -> str:
    """`"11 tokenizers"`, `"1 family"`."""
    return f"{count} {name.removesuffix('s') if count == 1 else plural(name)}"


def grouping(name: str, labels: Sequence[str]) -> Grouping:
    groups = tuple(dict.fromkeys(labels))
    place = {group: index for index, group in enumerate(groups)}
    return Grouping(name=name, groups=groups, index=tuple(place[label] for label in labels))


def base_tokenizer(model: str) -> str:
    """`"E2E-FLUX.1-VAE"` and `"FLUX.1-VAE + REG"` are both `"FLUX.1-VAE"`."""
    for pattern in VARIANT:
        model = pattern.sub("", model)
    return model


def labels(name: str, table: Table) -> dict[str, str]:
    """Model -> group, from the column of that name; `tokenizer` is read from the models' names where no column is.

    A model whose cell is empty is a group of its own.
    """
    if name in table.columns:
        return {model: row[name] or model for model, row in _by_model(table)}
    if name == TOKENIZER:
        return {model: base_tokenizer(model) for model, _ in _by_model(table)}
    known = (TOKENIZER, *table.columns)
    raise DataError(f"--cluster {name}: {table.source} has no such column.{near_miss(name, known)}")


def defaults(table: Table) -> tuple[str, ...]:
    """What is grouped by when nothing is said: tokenizers and families, where that makes groups at all."""
    there = [name for name in DEFAULT if name == TOKENIZER or name in table.columns]
    return tuple(name for name in there if 1 < len(set(labels(name, table).values())) < len(table.rows))


def _by_model(table: Table) -> list[tuple[str, Row]]:
    return list(zip(table.models, table.rows, strict=True))
