"""Training cost per image, counted on one step of the objective with fake tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from statistics import fmean
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from nanogen_core.assembly import Assembly
from nanogen_core.config import Resolved
from nanogen_core.errors import ConfigError, DataError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_train.distributed.blocks import blocks_of
from nanogen_train.logging.flops import FlopCount
from nanogen_train.planning.caption_lengths import CaptionLengths

FEW, MORE = (
    2,
    3,
)  # images in the traced steps; their difference is the cost of one image (a batch of one has other strides)
CHOICES = (0.125, 0.375, 0.625, 0.875)  # values of a step's shared random number; exact for choices in quarters


@frozen(kw_only=True)
class Cost:
    """Training cost of a model. FLOPs and activations are per image.

    FLOPs count a multiply-add as two and include the backward pass. They are averaged over the kinds of step that the
    objective chooses from. Bytes are for the most expensive kind of step. `copies` are the bytes of autocast's bf16
    copies of the weights. They do not depend on the batch size.
    """

    latent: LatentSpec
    tokens: int  # of an image, in the first block of the backbone
    parameters: int  # of the backbone
    state_bytes: float  # of the optimizer, per parameter
    flops: float  # with captions padded to the longest possible
    flops_by_length: Mapping[int, float]  # with captions padded to other lengths, for interpolation
    activations: int  # bytes saved for the backward pass under bf16 autocast, per image
    checkpointed: int  # the same with activation checkpointing
    copies: int
    block_parameters: int  # of the largest block

    @property
    def longest(self) -> int:
        """Largest number of condition tokens in `flops_by_length`."""
        return max(self.flops_by_length)

    def mean_flops(self, lengths: CaptionLengths, captions: int) -> float:
        """Return the mean FLOPs per image in batches of `captions` captions. Padding is as in training."""
        return sum(share * self.flops_at(n) for n, share in lengths.of_batch(captions, self.longest).items())

    def flops_at(self, length: int) -> float:
        """Return the FLOPs per image with captions padded to `length`, interpolated by a polynomial of degree 2."""
        points = self.flops_by_length
        return sum(
            flops * prod((length - other) / (at - other) for other in points if other != at)
            for at, flops in points.items()
        )


def cost_of(resolved: Resolved, *, classes: int, by_length: bool = False) -> Cost:
    """Return the cost of a configuration. Excludes auxiliary losses, the tokenizer and the conditioner.

    Args:
        resolved: The configuration.
        classes: Number of classes to assume if the dataset is not present.
        by_length: Also count the FLOPs with shorter captions (`Cost.flops_at`).

    Raises:
        ConfigError: `by_length` is set, and the conditions are not padded.
    """
    parts = _parts(resolved, classes)
    latent: LatentSpec = parts["latent"]
    condition: ConditionSpec = parts["condition"]
    with FakeTensorMode():
        backbone, objective = parts["backbone"], parts["objective"]
        tokens = _tokens(resolved, backbone, latent, condition)
        steps = list(_steps(backbone, objective, latent, condition))
        shorter = _flops_by_length(backbone, objective, latent, condition) if by_length else {}
    blocks = [sum(p.numel() for p in block.parameters()) for block in blocks_of(backbone)]
    return Cost(
        latent=latent,
        tokens=tokens,
        parameters=sum(p.numel() for p in backbone.parameters()),
        state_bytes=_state_bytes(parts["optimizer"], backbone),
        flops=fmean(step.flops for step in steps),
        flops_by_length=shorter,
        activations=max(step.activations for step in steps),
        checkpointed=max(step.checkpointed for step in steps),
        copies=max(step.copies for step in steps),
        block_parameters=max(blocks, default=0),
    )


def flops_of(resolved: Resolved, *, classes: int) -> float:
    """Return `Cost.flops` of a configuration in less than half the time, because no memory is counted.

    Args:
        resolved: The configuration.
        classes: Number of classes to assume if the dataset is not present.
    """
    parts = _parts(resolved, classes)
    latent, condition = parts["latent"], parts["condition"]
    with FakeTensorMode():
        return _flops(parts["backbone"], parts["objective"], latent, condition)


def _parts(resolved: Resolved, classes: int) -> Assembly:
    """Assemble the components, with placeholder class names if the dataset is not present."""
    parts = Assembly(resolved)
    try:
        names = parts["classes"]
    except DataError:
        names = tuple(f"class {number}" for number in range(classes))
    return Assembly(resolved, {"classes": names})


def _tokens(resolved: Resolved, net: nn.Module, latent: LatentSpec, spec: ConditionSpec) -> int:
    """Return the number of image tokens of the first block; with the default patches if the backbone hides blocks."""
    if "features" not in resolved.slots["backbone"].chosen.component.provides:
        return (latent.height // latent.patch_size) * (latent.width // latent.patch_size)
    now = torch.ones(FEW)
    with torch.no_grad():
        prediction = net(_clean(latent, FEW), Times(now, now), _condition(spec, FEW), intermediates=("block.1",))
    return int(prediction.features["block.1"].shape[1])


@frozen
class _Step:
    flops: float
    activations: int
    checkpointed: int
    copies: int = 0


def _flops(net: nn.Module, objective: Any, latent: LatentSpec, spec: ConditionSpec) -> float:
    """Return the FLOPs per image, averaged over the kinds of step."""
    return fmean(step.flops for step in _traced(net, objective, latent, spec, FEW)) / FEW


def _flops_by_length(net: nn.Module, objective: Any, latent: LatentSpec, spec: ConditionSpec) -> dict[int, float]:
    """Return the FLOPs per image at three lengths of the condition, or fewer if it has less than three."""
    if not spec.padded:
        raise ConfigError("--caption-lengths needs captions, but this configuration has none. Remove the option.")
    lengths = sorted({1, (1 + spec.length) // 2, spec.length})
    return {n: _flops(net, objective, latent, evolve(spec, length=n)) for n in lengths}


def _steps(net: nn.Module, objective: Any, latent: LatentSpec, spec: ConditionSpec) -> Iterator[_Step]:
    """Yield the cost per image of each kind of step."""
    traced = (_traced(net, objective, latent, spec, images) for images in (FEW, MORE))
    for few, more in zip(*traced, strict=True):
        each = (more.activations - few.activations) // (MORE - FEW)
        checkpointed = (more.checkpointed - few.checkpointed) // (MORE - FEW)
        yield _Step(few.flops / FEW, each, checkpointed, few.activations - FEW * each)


def _traced(net: nn.Module, objective: Any, latent: LatentSpec, spec: ConditionSpec, images: int) -> Iterator[_Step]:
    """Yield a traced step of each kind; one step if the objective makes no choice."""
    for choice in CHOICES:
        rng = _FixedChoice(choice, images)
        yield _step(net, objective, latent, spec, rng)
        if not rng.used:
            return


def _step(net: nn.Module, objective: Any, latent: LatentSpec, spec: ConditionSpec, rng: _FixedChoice) -> _Step:
    """Trace one step with the images of `rng`."""
    images = len(rng.slots)
    condition = _condition(spec, images)
    clean = _clean(latent, images)
    with FlopCount() as flops, torch.autocast("cpu", torch.bfloat16):
        with _SavedTensors(net).tracking() as saved:
            losses = objective.loss({"student": net}, clean, condition, _condition(spec, images, null=True), rng)
        losses.total.backward()
    for parameter in net.parameters():
        parameter.grad = None
    return _Step(flops.with_gradient + flops.without_gradient, saved.total, saved.checkpointed)


def _clean(latent: LatentSpec, images: int) -> State:
    token = torch.zeros(images, latent.cls_token_width) if latent.cls_token_width else None
    return State(torch.zeros(images, *latent.shape), token)


class _FixedChoice(KeyedRNG):
    """Random numbers whose shared number, which selects the kind of step, is fixed."""

    def __init__(self, choice: float, images: int):
        super().__init__(0, range(images))
        self._choice, self.used = choice, False

    def shared_uniform(self, purpose: str) -> float:
        self.used = True
        return self._choice


def _condition(spec: ConditionSpec, images: int, *, null: bool = False) -> Condition:
    length = 1 if null and spec.padded else spec.length  # the null text is one masked token
    mask = torch.ones(images, length, dtype=torch.bool) if spec.padded else None
    return Condition(torch.zeros(images, length, spec.width), mask, torch.zeros(images, dtype=torch.bool))


class _SavedTensors:
    """Bytes that autograd saves for the backward pass. Counts each storage once and excludes parameters."""

    def __init__(self, net: nn.Module):
        self._net = net
        self._storages: dict[int, Any] = {p.untyped_storage()._cdata: p.untyped_storage() for p in net.parameters()}
        self.total = self._inside_blocks = self._block_inputs = self._largest_block = 0
        self._starts: list[int] = []

    @property
    def checkpointed(self) -> int:
        """Bytes with activation checkpointing: tensors outside blocks, block inputs, and the inside of the largest
        block.
        """
        return self.total - self._inside_blocks + self._block_inputs + self._largest_block

    @contextmanager
    def tracking(self) -> Iterator[_SavedTensors]:
        hooks = [
            handle
            for block in blocks_of(self._net)
            for handle in (block.register_forward_pre_hook(self._enter), block.register_forward_hook(self._leave))
        ]
        try:
            with saved_tensors_hooks(self._save, lambda tensor: tensor):
                yield self
        finally:
            for handle in hooks:
                handle.remove()

    def _save(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._storages:
            self._storages[storage._cdata] = storage  # kept alive, so that its address is not reused
            self.total += storage.nbytes()
        return tensor

    def _enter(self, block: nn.Module, inputs: Sequence[Any]) -> None:
        self._starts.append(self.total)
        self._block_inputs += sum(value.nbytes for value in inputs if isinstance(value, Tensor))

    def _leave(self, block: nn.Module, inputs: Sequence[Any], output: Any) -> None:
        inside = self.total - self._starts.pop()
        self._inside_blocks += inside
        self._largest_block = max(self._largest_block, inside)


def _state_bytes(factory: Any, net: nn.Module) -> float:
    """Return the bytes of optimizer state per parameter, measured on tiny tensors with the network's names."""
    sizes: Mapping[str, nn.Parameter] = dict(net.named_parameters())
    tiny = {name: nn.Parameter(torch.zeros([2] * p.ndim)) for name, p in sizes.items()}
    optimizer = factory.build(list(tiny.items()))
    for tensor in tiny.values():
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    states = optimizer.state_dict()["state"]
    total = 0.0
    for index, (name, tensor) in enumerate(tiny.items()):
        saved = sum(value.nbytes for value in states.get(index, {}).values() if value.shape == tensor.shape)
        total += saved / tensor.numel() * sizes[name].numel()
    return total / sum(p.numel() for p in sizes.values())
