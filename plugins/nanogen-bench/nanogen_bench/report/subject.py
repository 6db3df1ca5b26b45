"""What a page is about: everything that its sections read, and nothing that they work out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from attrs import define, field, frozen

from nanogen_bench.audit.lines import Audit
from nanogen_bench.correlation.results import Study
from nanogen_bench.correlation.table import Row, Table
from nanogen_bench.report.columns import Column
from nanogen_bench.report.groups import Group

FAMILY, NOTE = "family", "note"


@frozen
class Picture:
    """A sheet of samples in a picture file."""

    task: str
    name: str
    file: Path
    description: str  # what its rows and columns are


@define(frozen=True, kw_only=True, slots=False)
class Subject:
    """A table of scores with what was found in it, and what was seen beside it.

    `chosen` and `everyone` are studies of the same pairs, one for each first score: over the chosen models, and over
    all of the table where these are more. `omitted` has a sentence for each pair that could not be studied, `left_out`
    one for each run and file that is damaged.
    """

    title: str
    about: Sequence[str]
    table: Table
    columns: Sequence[Column]
    chosen: Sequence[Study] = ()
    everyone: Sequence[Study] = ()
    omitted: Sequence[str] = ()
    left_out: Sequence[str] = ()
    audits: Mapping[str, Sequence[Audit]] = field(factory=dict)  # by method: its runs of both tasks, seed by seed
    pictures: Sequence[Picture] = ()

    @property
    def groups(self) -> list[Group]:
        """The chosen models first."""
        return [
            Group(studies, style) for studies, style in ((self.chosen, "main"), (self.everyone, "other")) if studies
        ]

    @property
    def compared(self) -> list[Column]:
        """The columns of the studies; where there are none, all whose direction is known."""
        named = {name for group in self.groups for pair in group.pairs for name in (pair.x, pair.y)}
        return [column for column in self.columns if (column.name in named if named else column.direction)]

    def model(self, row: Row) -> str:
        return row[self.table.name_column]

    def family(self, model: str) -> str:
        """The model's family, or the empty text where the table has none."""
        return self._family_of.get(model, "")

    @property
    def families(self) -> list[str]:
        """Every family, in the table's order; none where the table has no such column."""
        return list(dict.fromkeys(self._family_of.values()))

    @cached_property
    def _family_of(self) -> dict[str, str]:
        rows = self.table.rows if FAMILY in self.table.columns else ()
        return {self.model(row): row[FAMILY] for row in rows}
