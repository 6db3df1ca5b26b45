"""What one image costs in training: counted on one step of the real objective, on tensors that have no memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from nanogen_core.assembly import Assembly
from nanogen_core.config import Resolved
from nanogen_core.errors import DataError
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State
from nanogen_train.distributed.blocks import blocks_of
from nanogen_train.logging.flops import FlopCount

FEW, MORE = (
    2,
    3,
)  # images in the steps that are followed: what differs is an image's (a batch of one is laid out otherwise)
CHOICES = (0.125, 0.375, 0.625, 0.875)  # stand for a step's shared draw: they see a choice by quarters exactly


@frozen(kw_only=True)
class Cost:
    """Of one model. FLOPs: a multiplication and an addition are two, forward and backward, an image's share of a step,
    the mean over the kinds of step that the objective chooses from; bytes are those of the costliest kind, of an image
    and, `copies`, of a step of any size (autocast's bf16 weights)."""

    latent: LatentSpec
    parameters: int  # trained, of the backbone
    state_bytes: float  # of the optimiser, for each parameter
    flops: float
    activations: int  # bytes of bf16 autocast that the backward pass waits for
    checkpointed: int  # the same where blocks are computed again
    copies: int
    block_parameters: int  # of the largest block

    @property
    def tokens(self) -> int:
        """Image tokens of one image."""
        patch = self.latent.patch_size
        return (self.latent.height // patch) * (self.latent.width // patch)


def cost_of(resolved: Resolved, *, classes: int) -> Cost:
    """The cost of a configuration. `classes` counts where the dataset is not here to say it.

    Auxiliary losses and frozen networks (tokenizer, text encoder, teachers) are left out.
    """
    parts = _parts(resolved, classes)
    latent: LatentSpec = parts["latent"]
    condition: ConditionSpec = parts["condition"]
    with FakeTensorMode():
        backbone, objective = parts["backbone"], parts["objective"]
        steps = list(_steps(backbone, objective, latent, condition))
    blocks = [sum(p.numel() for p in block.parameters()) for block in blocks_of(backbone)]
    return Cost(
        latent=latent,
        parameters=sum(p.numel() for p in backbone.parameters()),
        state_bytes=_state_bytes(parts["optimizer"], backbone),
        flops=fmean(step.flops for step in steps),
        activations=max(step.activations for step in steps),
        checkpointed=max(step.checkpointed for step in steps),
        copies=max(step.copies for step in steps),
        block_parameters=max(blocks, default=0),
    )


def _parts(resolved: Resolved, classes: int) -> Assembly:
    """The parts, with as many class names as the dataset has, or as are said."""
    parts = Assembly(resolved)
    try:
        names = parts["classes"]
    except DataError:
        names = tuple(f"class {number}" for number in range(classes))
    return Assembly(resolved, {"classes": names})


@frozen
class _Step:
    flops: float
    activations: int
    checkpointed: int
    copies: int = 0


def _steps(net: nn.Module, objective: Any, latent: LatentSpec, spec: ConditionSpec) -> Iterator[_Step]:
    """Of each choice; of one alone where the objective makes no choice."""
    for choice in CHOICES:
        rng = _Chosen(choice, FEW)
        few, more = (_step(net, objective, latent, spec, r) for r in (rng, _Chosen(choice, MORE)))
        each = (more.activations - few.activations) // (MORE - FEW)
        again = (more.checkpointed - few.checkpointed) // (MORE - FEW)
        yield _Step(few.flops / FEW, each, again, few.activations - FEW * each)
        if not rng.asked:
            return


def _step(net: nn.Module, objective: Any, latent: LatentSpec, spec: ConditionSpec, rng: _Chosen) -> _Step:
    """One whole step with the images of `rng`."""
    images = len(rng.slots)
    condition = _condition(spec, images)
    token = torch.zeros(images, latent.cls_token_width) if latent.cls_token_width else None
    clean = State(torch.zeros(images, *latent.shape), token)
    with FlopCount() as flops, torch.autocast("cpu", torch.bfloat16):
        with _Kept(net).listening() as kept:
            losses = objective.loss({"student": net}, clean, condition, condition, rng)
        losses.total.backward()
    for parameter in net.parameters():
        parameter.grad = None
    return _Step(flops.with_gradient + flops.without_gradient, kept.total, kept.checkpointed)


class _Chosen(KeyedRNG):
    """Draws whose shared number, by which a whole step decides what kind it is, is given."""

    def __init__(self, choice: float, images: int):
        super().__init__(0, range(images))
        self._choice, self.asked = choice, False

    def shared_uniform(self, purpose: str) -> float:
        self.asked = True
        return self._choice


def _condition(spec: ConditionSpec, images: int) -> Condition:
    mask = torch.ones(images, spec.length, dtype=torch.bool) if spec.padded else None
    return Condition(torch.zeros(images, spec.length, spec.width), mask, torch.zeros(images, dtype=torch.bool))


class _Kept:
    """The bytes that autograd keeps for the backward pass, each storage once, parameters left out."""

    def __init__(self, net: nn.Module):
        self._net = net
        self._seen: dict[int, Any] = {p.untyped_storage()._cdata: p.untyped_storage() for p in net.parameters()}
        self.total = self._in_blocks = self._into_blocks = self._largest_block = 0
        self._starts: list[int] = []

    @property
    def checkpointed(self) -> int:
        """What is kept outside blocks, what goes into them, and the inside of one, which is computed again."""
        return self.total - self._in_blocks + self._into_blocks + self._largest_block

    @contextmanager
    def listening(self) -> Iterator[_Kept]:
        hooks = [
            handle
            for block in blocks_of(self._net)
            for handle in (block.register_forward_pre_hook(self._enter), block.register_forward_hook(self._leave))
        ]
        try:
            with saved_tensors_hooks(self._keep, lambda tensor: tensor):
                yield self
        finally:
            for handle in hooks:
                handle.remove()

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen[storage._cdata] = storage  # held, so that its number is not given to another one
            self.total += storage.nbytes()
        return tensor

    def _enter(self, block: nn.Module, given: Sequence[Any]) -> None:
        self._starts.append(self.total)
        self._into_blocks += sum(value.nbytes for value in given if isinstance(value, Tensor))

    def _leave(self, block: nn.Module, given: Sequence[Any], answer: Any) -> None:
        inside = self.total - self._starts.pop()
        self._in_blocks += inside
        self._largest_block = max(self._largest_block, inside)


def _state_bytes(factory: Any, net: nn.Module) -> float:
    """Bytes of optimiser state for each parameter: of a step on a net of the same names, whose tensors are tiny."""
    sizes: Mapping[str, nn.Parameter] = dict(net.named_parameters())
    small = {name: nn.Parameter(torch.zeros([2] * p.ndim)) for name, p in sizes.items()}
    optimizer = factory.build(list(small.items()))
    for tensor in small.values():
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    states = optimizer.state_dict()["state"]
    total = 0.0
    for place, (name, tensor) in enumerate(small.items()):
        kept = sum(value.nbytes for value in states.get(place, {}).values() if value.shape == tensor.shape)
        total += kept / tensor.numel() * sizes[name].numel()
    return total / sum(p.numel() for p in sizes.values())
