"""The groups of models that a page shows side by side: those that were chosen, and all."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from nanogen_bench.correlation.results import Difference, Pair, Power, Statement, Study


@frozen
class Group:
    """The studies of one set of models, one for each first score. `style` is its class in page.css."""

    studies: Sequence[Study]
    style: str  # "main" or "other"

    @property
    def what(self) -> str:
        """`"21 models (family ≠ pixel, family ≠ meanflow)"`."""
        study = self.studies[0]
        chosen = f" ({', '.join(map(_condition, study.row_filters))})" if study.row_filters else ""
        return f"{'' if chosen else 'all '}{study.n} models{chosen}"

    @property
    def short(self) -> str:
        """`"the 21 chosen models"`, where `what` stands near."""
        study = self.studies[0]
        return f"the {study.n} chosen models" if study.row_filters else f"all {study.n} models"

    @property
    def pairs(self) -> list[Pair]:
        return [pair for study in self.studies for pair in study.pairs]

    @property
    def summaries(self) -> list[str]:
        """A sentence for each of the pairs."""
        return [sentence for study in self.studies for sentence in study.summary]

    @property
    def statements(self) -> list[Statement]:
        return [statement for study in self.studies for statement in study.statements]

    @property
    def cautions(self) -> list[str]:
        return list(dict.fromkeys(caution for study in self.studies for caution in study.cautions))

    @property
    def differences(self) -> list[Difference]:
        return [difference for study in self.studies for difference in study.differences]

    @property
    def power(self) -> Sequence[Power]:
        """It depends on the number of models alone, which the first scores share."""
        return self.studies[0].power

    def pair(self, x: str, y: str) -> Pair:
        return next(pair for pair in self.pairs if (pair.x, pair.y) == (x, y))


def _condition(text: str) -> str:
    """As it is read, not as it is typed."""
    return text.replace("!=", " ≠ ").replace("<=", " ≤ ").replace(">=", " ≥ ")
