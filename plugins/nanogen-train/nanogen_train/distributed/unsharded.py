"""Unsharded copies of the parts of a pipeline that FSDP shards, for evaluation while training."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_core.eval_mode import modules_of
from nanogen_core.pipeline import Pipeline
from nanogen_train.distributed import dtensor
from nanogen_train.protocols import Averaged, Stage

PARTS = ("conditioner", "tokenizer", "backbone", "objective")  # the parts of a pipeline that can have weights


class Unsharded:
    """The EMA pipeline of a stage, with unsharded weights.

    FSDP modules cannot be copied, so this class copies the parts before sharding. The copies have no values (device
    "meta"). `averaged` copies them again and fills in the current weights.

    Args:
        stage: The stage, before sharding.
    """

    def __init__(self, stage: Stage):
        self._empty: dict[str, Any] = {}
        if isinstance(stage, Averaged):
            pipeline, own = stage.averaged(), {id(parameter) for parameter in stage.nets.parameters()}
            held = {name: _parameters(getattr(pipeline, name)) for name in PARTS}
            memo = {id(p): _empty(p) if id(p) in own else p for parameters in held.values() for p in parameters}
            self._empty = {
                name: deepcopy(getattr(pipeline, name), dict(memo))
                for name, parameters in held.items()
                if any(id(parameter) in own for parameter in parameters)
            }

    def averaged(self, stage: Averaged) -> Pipeline:
        """Return the EMA pipeline with the current weights, unsharded. A collective call."""
        pipeline = stage.averaged()
        return pipeline.with_parts(
            **{name: _filled(part, getattr(pipeline, name)) for name, part in self._empty.items()}
        )


def _parameters(part: Any) -> list[nn.Parameter]:
    return [parameter for module in modules_of(part) for parameter in module.parameters()]


def _empty(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)


@torch.no_grad()
def _filled(empty: Any, source: Any) -> Any:
    """Return a copy of `empty` with the weights and buffers of `source`. Both have the same modules."""
    part = deepcopy(empty)
    for module, other in zip(modules_of(part), modules_of(source), strict=True):
        module.load_state_dict(_full(other.state_dict()), assign=True)
        for buffer, current in zip(module.buffers(), other.buffers(), strict=True):  # not all are in the state dict
            buffer.copy_(current)
    return part


def _full(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: dtensor.full(tensor.detach()) for name, tensor in tensors.items()}
