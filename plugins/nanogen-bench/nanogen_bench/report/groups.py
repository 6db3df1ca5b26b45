"""Groups of models on the page: the chosen models, and all models."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from nanogen_bench.correlation.results import Difference, Pair, Power, Statement, Study


@frozen
class Group:
    """Studies of one set of models. Each x score has its own study. `style` is the set's CSS class in page.css."""

    studies: Sequence[Study]
    style: str  # "main" or "other"

    @property
    def what(self) -> str:
        """Description, such as `"21 models (family ≠ pixel, family ≠ meanflow)"` or `"all 26 models"`."""
        study = self.studies[0]
        chosen = f" ({', '.join(map(_condition, study.row_filters))})" if study.row_filters else ""
        return f"{'' if chosen else 'all '}{study.n} models{chosen}"

    @property
    def short(self) -> str:
        """Short description, such as `"the 21 chosen models"` or `"all 26 models"`."""
        study = self.studies[0]
        return f"the {study.n} chosen models" if study.row_filters else f"all {study.n} models"

    @property
    def pairs(self) -> list[Pair]:
        """Analyses of all pairs of scores (x, y)."""
        return [pair for study in self.studies for pair in study.pairs]

    @property
    def summaries(self) -> list[str]:
        """One text about each pair of scores."""
        return [sentence for study in self.studies for sentence in study.summary]

    @property
    def statements(self) -> list[Statement]:
        """Statements with verdicts, of all studies."""
        return [statement for study in self.studies for statement in study.statements]

    @property
    def cautions(self) -> list[str]:
        """Notes on the limits of the studies, each once."""
        return list(dict.fromkeys(caution for study in self.studies for caution in study.cautions))

    @property
    def differences(self) -> list[Difference]:
        """Tests of all studies: does x agree more with one score than with another?"""
        return [difference for study in self.studies for difference in study.differences]

    @property
    def power(self) -> Sequence[Power]:
        """Statistical power for each number of units. Studies have different numbers if some models lack a score."""
        return list({(one.n, one.over): one for study in self.studies for one in study.power}.values())

    def pair(self, x: str, y: str) -> Pair:
        """Return the pair of two columns."""
        return next(pair for pair in self.pairs if (pair.x, pair.y) == (x, y))


def _condition(text: str) -> str:
    """Condition with typographic operators."""
    return text.replace("!=", " ≠ ").replace("<=", " ≤ ").replace(">=", " ≥ ")
