"""Contract classes for the components of a plugin. pytest imports this module, so that a failed assert shows values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import pytest
import torch

from nanogen_core.errors import NanoGenError
from nanogen_core.pipeline import build_pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch
from nanogen_core.testing import (
    BackboneContract,
    ConditionerContract,
    GuidanceContract,
    ObjectiveContract,
    PluginContract,
    SamplerContract,
    TaskContract,
    TokenizerContract,
)
from nanogen_data.testing.fakes import TinyDataset
from nanogen_eval.pixels import on_grid
from nanogen_eval.testing import MetricContract
from nanogen_scaffold.checks.report import Check
from nanogen_scaffold.checks.tested import Tested, explained
from nanogen_train.stages.build import stage_of
from nanogen_train.testing import AuxiliaryContract, StageContract

CAPTIONS = ("a red square", "two green squares", "something blue")
IMAGE_SIZES = (32, 33)


def cases(manifests: Iterable[str], tested: Iterable[Tested]) -> tuple[list[Check], dict[str, type]]:
    """Build each component for its tasks. Return a check for each build, and the contract classes by title."""
    checks: list[Check] = []
    found = {f"manifest {name}": _case(PluginContract, manifest=partial(str, name)) for name in manifests}
    for each in tested:
        for task in each.tasks:
            title = f"{each.title}, {task}" if each.kind in PER_TASK else each.title
            try:
                made = _cases(each, task)
            except Exception as error:
                checks.append(Check(title, f"builds for {task}", *explained(error)))
                continue
            checks.append(Check(title, f"builds for {task}"))
            found |= {title + suffix: case for suffix, case in made.items() if title + suffix not in found}
    return checks, found


def _cases(tested: Tested, task: str) -> dict[str, type]:
    """Return the contract classes of a component by a suffix of their title. Raises if it cannot be built."""
    resolved = tested.resolved(task)
    if tested.kind == "method":
        build_pipeline(resolved)
        return {}
    if tested.kind not in ("stage", "auxiliary"):  # these are built with a pipeline
        tested.part(resolved)
    if tested.kind not in CASES:
        return {}
    made = CASES[tested.kind](tested, task)
    return made if isinstance(made, dict) else {"": made}


# -- a case for each kind ----------------------------------------------------------------------------------------------


def _tokenizer(tested: Tested, task: str) -> dict[str, type]:
    tokenizer, size = tested.part(tested.resolved(task)), tested.resolved(task).image_size
    sizes = [size] if size != IMAGE_SIZES[0] or _refuses(tokenizer, IMAGE_SIZES[1]) else [*IMAGE_SIZES]
    wrong = IMAGE_SIZES[1] if _refuses(tokenizer, IMAGE_SIZES[1]) else None
    return {
        "" if side == sizes[0] else f", {side} px": _case(
            TokenizerContract, {"image_size": side, "wrong_size": wrong}, tokenizer=lambda: tokenizer
        )
        for side in sizes
    }


def _refuses(tokenizer: Any, size: int) -> bool:
    try:
        tokenizer.latent(size)
    except NanoGenError:
        return True
    except Exception:
        return True  # the contract reports that it is no NanoGenError
    return False


def _backbone(tested: Tested, task: str) -> type:
    resolved = tested.resolved(task)

    def build(**known: Any) -> Any:
        return tested.part(resolved, **known)

    return _case(BackboneContract, {"provides": tested.provides}, build=lambda: build)


def _objective(tested: Tested, task: str) -> type:
    objective = tested.part(tested.resolved(task), **ObjectiveContract.parts())
    return _case(_AnyPrediction, {"predicts": _prediction_of(objective)}, objective=lambda: objective)


class _AnyPrediction(ObjectiveContract):
    """The contract with the networks of the diffusion stage."""

    def nets(self, student: Any) -> Mapping[str, Any]:
        return {"student": student, "ema": student}


def _prediction_of(objective: Any) -> str:
    """Return what the network predicts: "velocity" or "data" if that gives the velocity of the path, else "solved"."""
    for predicts in ("velocity", "data"):
        contract = type("Contract", (ObjectiveContract,), {"predicts": predicts})()
        try:
            contract.test_velocity_is_that_of_the_path(objective)
        except Exception:  # the contract with "solved" runs the same test again, and reports its error
            continue
        return predicts
    return "solved"


def _conditioner(tested: Tested, task: str) -> type:
    pipeline = tested.pipeline(task)
    requests = list(range(3)) if len(pipeline.parts["classes"]) >= 3 and task == "imagenet" else list(CAPTIONS)
    return _case(
        ConditionerContract, conditioner=lambda: pipeline.conditioner, batch=lambda: pipeline.task.make_batch(requests)
    )


def _task(tested: Tested, task: str) -> type:
    pipeline = tested.pipeline(task)
    requests: list[str | int] = [0, 1] if "labels" in tested.provides else [*CAPTIONS[:2]]
    return _case(
        TaskContract, task=lambda: pipeline.task, conditioner=lambda: pipeline.conditioner, requests=lambda: requests
    )


def _guidance(tested: Tested, task: str) -> type:
    guidance = tested.part(tested.resolved(task))
    scaled = guidance.with_scale(3.0) if callable(getattr(guidance, "with_scale", None)) else guidance
    return _case(GuidanceContract, guidance=lambda: scaled)


def _sampler(tested: Tested, task: str) -> type:
    sampler = tested.part(tested.resolved(task))
    contract = SamplerContract()
    first, other = (contract.run(sampler, 5, seed=seed).latent for seed in (0, 1))
    return _case(SamplerContract, {"order": int(torch.equal(first, other))}, sampler=lambda: sampler)


def _auxiliary(tested: Tested, task: str) -> type:
    tested.pipeline(task).parts["auxiliaries"][tested.name]
    return _case(AuxiliaryContract, {"name": tested.name}, pipeline=lambda: tested.pipeline(task))


def _stage(tested: Tested, task: str) -> type:
    stage_of(tested.pipeline(task))
    return _case(StageContract, pipeline=lambda: tested.pipeline(task))


def _metric(tested: Tested, task: str) -> type:
    resolved = tested.resolved(task)

    def build() -> Any:
        return tested.part(resolved)

    return _case(MetricContract, build=lambda: build, examples=_examples)


def _examples() -> Batch:
    """Return eight noisy squares with labels and captions, on the 8-bit grid."""
    examples = TinyDataset().open("train", 32, "labels")
    rows = [examples[index] for index in range(8)]
    noise = KeyedRNG(0, range(8)).uniform("noise", (3, 32, 32)) * 0.2 - 0.1
    images = (torch.stack([row.image for row in rows]) + noise).clamp(-1, 1)
    labels = torch.tensor([row.label for row in rows])
    return Batch(torch.arange(8), images=on_grid(images), labels=labels, captions=[str(row.caption) for row in rows])


CASES: Mapping[str, Callable[[Tested, str], Any]] = {
    "tokenizer": _tokenizer,
    "backbone": _backbone,
    "objective": _objective,
    "conditioner": _conditioner,
    "task": _task,
    "guidance": _guidance,
    "sampler": _sampler,
    "auxiliary": _auxiliary,
    "stage": _stage,
    "metric": _metric,
}
PER_TASK = ("conditioner",)  # its contract runs once for each task; those of other kinds once


def _case(contract: type, attributes: Mapping[str, Any] | None = None, **fixtures: Callable[[], Any]) -> type:
    """Return a subclass of a contract with attributes and fixtures."""
    return type(
        "Test", (contract,), {**(attributes or {}), **{name: _fixture(make) for name, make in fixtures.items()}}
    )


def _fixture(make: Callable[[], Any]) -> Any:
    @pytest.fixture
    def value(self: Any) -> Any:
        return make()

    return value
