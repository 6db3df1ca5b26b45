"""Evaluation while training: scores of the EMA weights at some steps (`train.evaluate`)."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from nanogen_core.errors import ConfigError, TrainingError
from nanogen_core.named_components import build_named
from nanogen_core.pipeline import Pipeline
from nanogen_core.registry import registry
from nanogen_files import storage
from nanogen_train.distributed import processes
from nanogen_train.logging import metrics_log
from nanogen_train.protocols import Averaged
from nanogen_train.trainer import outputs

if TYPE_CHECKING:
    from nanogen_train.settings import EvaluateConfig
    from nanogen_train.trainer.loop import Run

KIND, NAME = "evaluator", "samples"
PREFIX = "score."  # of the scores in the log
BEST, SELECTION = "best", "selection.json"


class Result(Protocol):
    """A score: its name, value and direction."""

    metric: str
    value: float
    higher_is_better: bool


class Evaluator(Protocol):
    """The method of an `evaluator` component that training calls. nanogen-eval provides such a component."""

    def scores(self, pipeline: Pipeline, folder: Path, step: int) -> Sequence[Result]: ...


class Evaluations:
    """The evaluations of a run.

    Args:
        run: The run.
        config: When and what to evaluate.

    Raises:
        ConfigError: nanogen-eval is not installed, or the stage has no EMA pipeline.
    """

    def __init__(self, run: Run, config: EvaluateConfig):
        self.run, self.config = run, config
        if not isinstance(run.stage, Averaged):
            raise ConfigError("train.evaluate: this stage trains no pipeline that can be sampled. Remove this section.")
        if NAME not in registry().components.get(KIND, {}):
            raise ConfigError("train.evaluate needs nanogen-eval: run `pip install nanogen-eval`.")
        options = {"name": NAME, "metrics": list(config.metrics), "count": config.count}
        self.evaluator: Evaluator = build_named(KIND, options, path="train.evaluate", pipeline=run.pipeline)

    def due(self) -> bool:
        """Return whether an evaluation is due after this step."""
        step, every = self.run.step, self.config.every
        return bool(every and step % every == 0) or (self.config.at_end and step == self.run.settings.steps)

    def missing(self) -> bool:
        """Return whether an evaluation is due at this step, but the log contains no scores of this step."""
        entries = processes.broadcast_from_main(lambda: metrics_log.read(self.run.folder))
        return self.due() and not any(entry["step"] == self.run.step and _scores(entry) for entry in entries)

    def evaluate(self) -> None:
        """Score the EMA weights, log the scores, and save the pipeline in `best` if it is the best so far."""
        assert isinstance(self.run.stage, Averaged)
        averaged = self.run.engine.strategy.averaged(self.run.stage)
        results = self.evaluator.scores(averaged, self.run.folder, self.run.step)
        weights = outputs.full_weights(self.run.stage) if self.config.best is not None else {}
        if self.run.engine.is_main:
            scalars = {f"{PREFIX}{result.metric}": float(result.value) for result in results}
            metrics_log.append(self.run.folder, {"step": self.run.step, "seconds": self.run.metrics.seconds, **scalars})
            self.run.engine.trackers.log(self.run.step, scalars)
            if self.config.best is not None:
                self._keep_best(results, weights)

    def _keep_best(self, results: Sequence[Result], weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Save the EMA pipeline in `best` if its score is better than that of every earlier evaluation.

        `selection.json` in `best` counts all evaluations up to this step, the candidates.

        Args:
            results: The scores of this evaluation.
            weights: The EMA weights: part -> state dict.
        """
        name = self.config.best
        found = next((result for result in results if result.metric == name), None)
        if found is None:
            raise TrainingError(
                f"train.evaluate.best: no metric computes {name!r}. Set it to one of the scores:"
                f" {', '.join(r.metric for r in results)}."
            )
        key, better = f"{PREFIX}{name}", operator.gt if found.higher_is_better else operator.lt
        entries = [entry for entry in metrics_log.read(self.run.folder) if key in entry]
        earlier = [entry[key] for entry in entries if entry["step"] < self.run.step]
        folder = self.run.folder / BEST
        if all(better(found.value, value) for value in earlier):
            self.run.pipeline.save(folder, weights=weights)
            fact: dict[str, Any] = {"score": name, "value": found.value, "step": self.run.step}
        else:
            fact = dict(storage.read_json(folder / SELECTION))
        storage.write_json(folder / SELECTION, {**fact, "candidates": len(earlier) + 1})


def _scores(entry: Mapping[str, object]) -> list[str]:
    return [name for name in entry if name.startswith(PREFIX)]
