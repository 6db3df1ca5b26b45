"""Runs trainings one after the other in the processes that torchrun started: `scenarios.py PLAN.json ANSWERS.json`.

The plan is a list of `{"name", "config", "folder", "resume", "killed", "stop_after", "gradients"}`; the answers are by
name.
One launch serves many tests, since starting processes takes longer than what they do.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from nanogen_core import build_pipeline
from nanogen_core.errors import TrainingError
from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed import dtensor as placement
from nanogen_train.distributed import processes as ranks
from nanogen_train.trainer.loop import Interrupted, Run

torch.set_num_threads(1)


def gradients(run: Run) -> list[torch.Tensor]:
    parameters = [tensor for pairs in run.optimization.parameters.values() for tensor in pairs.values()]
    return [placement.full(tensor.grad).clone() for tensor in parameters if tensor.grad is not None]


def spread(run: Run) -> float:
    """The largest difference between the first process's gradients and another's, of all numbers."""
    found = ranks.all_gather(gradients(run))
    pairs = [pair for other in found[1:] for pair in zip(found[0], other, strict=True)]
    return max(float((mine - theirs).abs().max()) for mine, theirs in pairs)


def watched(run: Run, answer: dict[str, Any]) -> None:
    """Notes how far the processes' gradients are apart before each move, and how far those of each alone would be."""
    move, backward, answer["spread"], answer["alone"] = run.optimization.update, run._backward, [], []

    def moving(phase: str, step: int) -> Any:
        answer["spread"].append(spread(run))
        return move(phase, step)

    def alone(*args: Any) -> Any:
        with run.engine.strategy.no_sync(run.model):
            backward(*args)
        answer["alone"].append(spread(run))
        run.optimization.optimizers["student"].zero_grad()
        return backward(*args)

    run.optimization.update, run._backward = moving, alone  # type: ignore[method-assign]


def stopping(run: Run, after: int) -> None:
    """The second process alone is asked to stop after this step, as by SIGTERM."""
    one_step = run._one_step

    def step(batch: Any) -> None:
        one_step(batch)
        if run.step == after and ranks.rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    run._one_step = step  # type: ignore[method-assign]


def dying(run: Run) -> None:
    one_step = run._one_step

    def step(batch: Any) -> None:
        if run.step == 2 and ranks.rank() == 1:
            raise ValueError("the second process met something odd")
        one_step(batch)

    run._one_step = step  # type: ignore[method-assign]


def poisoned(run: Run) -> None:
    """The second process alone has a loss that is no number, at its third step."""
    loss = run.stage.loss

    def poison(*given: Any) -> Any:
        losses = loss(*given)
        return losses._replace(total=losses.total * (torch.nan if run.step == 2 and ranks.rank() == 1 else 1))

    run.stage.loss = poison  # type: ignore[method-assign]


def killed(folder: Path, copy: Path) -> None:
    """A copy of a run without its last checkpoint."""
    shutil.copytree(folder, copy)
    shutil.rmtree(checkpoint.path_of(copy, checkpoint.steps_in(copy)[-1]))


def carried_out(scenario: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    folder = Path(scenario["folder"])
    if "killed" in scenario:
        ranks.broadcast_from_main(lambda: killed(Path(scenario["killed"]), folder))
    resume = scenario.get("resume", False) or "killed" in scenario
    run = Run(build_pipeline(scenario["config"]), folder, resume=resume)
    if scenario.get("gradients"):
        watched(run, answer)
    if scenario.get("stop_after"):
        stopping(run, scenario["stop_after"])
    if scenario.get("poisoned"):
        poisoned(run)
    if scenario.get("dies"):
        dying(run)
    try:
        run.train()
    except Interrupted as error:
        answer["stopped"] = str(error)
    except TrainingError as error:
        answer["failed"] = ranks.all_gather(str(error))
    answer["step"] = run.step
    answer["share"] = sum(tensor.numel() for tensor in placement.local_shards(run.stage.nets.parameters()))
    return answer


def main(plan: str, answers: str) -> None:
    found = {scenario["name"]: carried_out(scenario) for scenario in json.loads(Path(plan).read_text())}
    if ranks.rank() == 0:
        Path(answers).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
