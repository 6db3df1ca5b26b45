"""Data that the sections of a report page render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from nanogen_bench.audit.lines import Audit
from nanogen_bench.correlation.results import Study
from nanogen_bench.correlation.table import Row, Table
from nanogen_bench.report.columns import Column
from nanogen_bench.report.groups import Group
from nanogen_bench.report.progress import Scores

FAMILY, NOTE = "family", "note"


@frozen
class Picture:
    """Image file with a contact sheet of samples."""

    task: str
    name: str
    file: Path
    description: str  # for the caption


@define(frozen=True, kw_only=True, slots=False)
class PageData:
    """Table of scores, its studies, and the files of its experiment folder.

    Attributes:
        title: Heading of the page.
        about: Paragraphs below the heading.
        columns: Score columns of the table.
        chosen: Studies over the chosen models, one per x score. If none is possible, studies over all models.
        everyone: Studies over all models; empty if `chosen` has them.
        omitted: Error message for each pair that cannot be studied.
        left_out: Error message for each damaged file, and for each damaged or unfinished run.
        audits: Method -> audits of its pairs of runs.
        pictures: Contact sheets of samples.
        perturbations: Content of `perturbations.json`; empty without perturbations.
        progress: Scores during training, by run.
        selected: A sentence for each checkpoint that was selected by a score.
    """

    title: str
    about: Sequence[str]
    table: Table
    columns: Sequence[Column]
    chosen: Sequence[Study] = ()
    everyone: Sequence[Study] = ()
    omitted: Sequence[str] = ()
    left_out: Sequence[str] = ()
    audits: Mapping[str, Sequence[Audit]] = field(factory=dict)
    pictures: Sequence[Picture] = ()
    perturbations: Mapping[str, Any] = field(factory=dict)
    progress: Scores = field(factory=dict)
    selected: Sequence[str] = ()

    @property
    def groups(self) -> list[Group]:
        """Groups of models: the chosen ones first, then all."""
        return [
            Group(studies, style) for studies, style in ((self.chosen, "main"), (self.everyone, "other")) if studies
        ]

    @property
    def compared(self) -> list[Column]:
        """Columns of the studies; without studies, all columns of known direction."""
        named = {name for group in self.groups for pair in group.pairs for name in (pair.x, pair.y)}
        return [column for column in self.columns if (column.name in named if named else column.direction)]

    def model(self, row: Row) -> str:
        """Return the name of a row's model."""
        return row[self.table.name_column]

    def family(self, model: str) -> str:
        """Return a model's family, or an empty string if the table has no families."""
        return self._family_of.get(model, "")

    @property
    def families(self) -> list[str]:
        """All families in order of appearance; empty if the table has no such column."""
        return list(dict.fromkeys(self._family_of.values()))

    @cached_property
    def _family_of(self) -> dict[str, str]:
        rows = self.table.rows if FAMILY in self.table.columns else ()
        return {self.model(row): row[FAMILY] for row in rows}
