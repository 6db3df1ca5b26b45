"""Distribution of weights over processes: replicated (DDP) or sharded (FSDP2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from inspect import isfunction
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.utils._pytree import tree_map_only

from nanogen_core.errors import TrainingError
from nanogen_core.pipeline import Pipeline
from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed import processes
from nanogen_train.distributed.blocks import blocks_of
from nanogen_train.distributed.unsharded import Unsharded
from nanogen_train.protocols import Averaged, Stage
from nanogen_train.settings import TrainConfig
from nanogen_train.trainer.step import TrainStep, is_trained

States = Mapping[str, Mapping[str, Tensor]]


class Strategy(Protocol):
    """Wraps networks for training and saves them. `wrap` can replace parameters, so build optimizers after it."""

    def wrap(self, step: TrainStep, stage: Stage) -> nn.Module:
        """Wrap the training step.

        Args:
            step: Module that computes the loss.
            stage: The stage, whose networks are wrapped.

        Returns:
            The wrapped step. After its backward pass, each parameter's `grad` is the gradient for the global batch.

        Raises:
            TrainingError: The strategy does not support the stage.
        """

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        """Return a context that accumulates gradients without communication, for all but the last backward pass of a
        step.
        """

    def averaged(self, stage: Averaged) -> Pipeline:
        """Return the EMA pipeline of the stage, unsharded. Called on every process, if `train.evaluate` is set."""

    def save(self, run: Path, step: int, states: States, facts: Mapping[str, Any]) -> None:
        """Write a checkpoint. Called on every process.

        Args:
            run: Folder of the run.
            step: Steps taken so far.
            states: Tensors by part and name; they may be sharded.
            facts: JSON values of the checkpoint.
        """


class DDPStrategy:
    """DDP. The first process writes checkpoints, one file per part."""

    def __init__(self, accelerator: Accelerator, settings: TrainConfig):
        self._accelerator = accelerator

    def wrap(self, step: TrainStep, stage: Stage) -> nn.Module:
        if len(stage.phase_names) > 1:  # each phase trains only some networks
            self._accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)
        model: nn.Module = self._accelerator.prepare(step)
        return model

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        context: AbstractContextManager[None] = self._accelerator.no_sync(model)
        return context

    def averaged(self, stage: Averaged) -> Pipeline:
        return stage.averaged()

    def save(self, run: Path, step: int, states: States, facts: Mapping[str, Any]) -> None:
        if processes.rank() == 0:
            checkpoint.save(run, step, states, facts)


class FSDPStrategy:
    """FSDP2 (arXiv 2304.11277): shards weights, EMA, gradients and optimizer state.

    Gathers one block at a time: in bf16 for trained networks of a bf16 run, otherwise in float32. Reduces gradients in
    float32. Weights outside blocks are gathered in float32 for the whole step. `shard_by: step` gathers all weights of
    trained networks this way, because second derivatives require it. torch.distributed.checkpoint writes checkpoints,
    with one file per part and process.

    FSDP's root module is the training step, which contains all networks of the stage, trained or not. So FSDP frees
    every gathered weight at the end of a backward pass, before an optimizer or EMA changes the shards.
    """

    def __init__(self, accelerator: Accelerator, settings: TrainConfig):
        if accelerator.mixed_precision == "fp16":
            raise TrainingError("train.strategy: fsdp does not support fp16. Set train.precision to bf16.")
        self._accelerator = accelerator
        self._by_block, self._evaluates = settings.shard_by == "block", settings.evaluate is not None
        if not dist.is_initialized():  # a single process
            dist.init_process_group(store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
        self._mesh = init_device_mesh(accelerator.device.type, (dist.get_world_size(),))
        dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else None
        self._blocks = MixedPrecisionPolicy(dtype, torch.float32, cast_forward_inputs=False)

    def wrap(self, step: TrainStep, stage: Stage) -> nn.Module:
        scalars = [name for name, parameter in stage.nets.named_parameters() if not parameter.ndim]
        if scalars:
            raise TrainingError(
                f"train.strategy: fsdp cannot shard scalars, and {scalars[0]} is a scalar parameter: give it the"
                " shape [1], or set train.strategy to ddp."
            )
        if self._evaluates:
            self._unsharded = Unsharded(stage)
        step.others = nn.ModuleDict({name: net for name, net in stage.nets.items() if not is_trained(net)})
        for net in step.others.values():  # in float32
            self._shard_blocks(net, MixedPrecisionPolicy())
            fully_shard(net, mesh=self._mesh, reshard_after_forward=False)
            _gather_in_methods(net)
        for net in step.nets.values() if self._by_block else ():
            self._shard_blocks(net, self._blocks)
        fully_shard(step, mesh=self._mesh, reshard_after_forward=False)
        _gather_outside_forward(step)
        _gather_once(step)
        model: nn.Module = self._accelerator.prepare_model(step, evaluation_mode=True)  # only for autocast
        return model

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        return _without_sync(model)

    def averaged(self, stage: Averaged) -> Pipeline:
        return self._unsharded.averaged(stage)

    def save(self, run: Path, step: int, states: States, facts: Mapping[str, Any]) -> None:
        checkpoint.save_distributed(run, step, states, facts)

    def _shard_blocks(self, net: nn.Module, policy: MixedPrecisionPolicy) -> None:
        device, dtype = self._accelerator.device.type, policy.param_dtype
        for block in blocks_of(net):
            if dtype is not None:
                block.forward = partial(_in_low_precision, block.forward, device, dtype)
            fully_shard(block, mesh=self._mesh, mp_policy=policy)


def _gather_in_methods(net: nn.Module) -> None:
    """Gather the weights in every public method of the network's own classes, not only in `forward`."""
    classes = [
        kind for kind in type(net).__mro__ if not issubclass(nn.Module, kind) and not issubclass(kind, FSDPModule)
    ]
    for name in {name for kind in classes for name, value in vars(kind).items() if isfunction(value)}:
        if not name.startswith("_") and name != "forward":
            register_fsdp_forward_method(net, name)


def _gather_outside_forward(step: Any) -> None:
    """Gather the weights of the root also in `prepare` and `samples`, and keep them to the end of `forward`.

    A loss may contain a backward pass (`torch.autograd.grad`), at whose end FSDP would free all weights.
    """
    register_fsdp_forward_method(step, "prepare")  # `forward` uses the gathered weights
    register_fsdp_forward_method(step, "samples")
    step.samples = partial(_then_reshard, step, step.samples)
    step.register_forward_pre_hook(lambda *_: step.set_reshard_after_backward(False))
    step.register_forward_hook(lambda *_: step.set_reshard_after_backward(True), always_call=True)


def _gather_once(step: nn.Module) -> None:
    """Gather and free each group of weights. Accumulation in torch 2.13 fails for a group that was never gathered."""
    for module in step.modules():
        if isinstance(module, FSDPModule):
            module.unshard()
            module.reshard()


def _then_reshard(step: Any, method: Callable[..., Any], *args: Any) -> Any:
    try:
        return method(*args)
    finally:
        step.reshard()


def _in_low_precision(forward: Callable[..., Any], device: str, dtype: torch.dtype, *args: Any, **kwargs: Any) -> Any:
    """Call a block whose weights are gathered in `dtype`. Outside autocast, the block returns float32."""
    if torch.is_autocast_enabled(device):
        return forward(*args, **kwargs)
    with torch.autocast(device, dtype):
        return tree_map_only(Tensor, Tensor.float, forward(*args, **kwargs))


@contextmanager
def _without_sync(model: Any) -> Iterator[None]:
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


STRATEGIES: Mapping[str, Any] = {"ddp": DDPStrategy, "fsdp": FSDPStrategy}
