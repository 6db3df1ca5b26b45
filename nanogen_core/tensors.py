"""What flows between the parts: named tuples that carry tensors. B batch, C h w latent, N image tokens, L D condition.

They are tuples and not attrs classes because torch.compile, torch.func and accelerate walk through tuples as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Times(NamedTuple):
    """The interval that the network is asked about: t = 1 is noise, t = 0 is data, and 0 <= r <= t <= 1.

    `r == t` asks for the instantaneous velocity, as every flow-matching method does.
    """

    t: Tensor  # [B]
    r: Tensor  # [B]


class State(NamedTuple):
    """What is diffused: the latent, and for REG-like methods one more token that is noised and denoised along."""

    latent: Tensor  # [B, C, h, w]
    cls_token: Tensor | None = None  # [B, D]

    def map(self, function: Callable[..., Tensor], *others: State) -> State:
        """`function` applied to the latents, and to the tokens where there is one: all arithmetic on states."""
        latent = function(self.latent, *(other.latent for other in others))
        if self.cls_token is None:
            return State(latent)
        return State(latent, function(self.cls_token, *(other.cls_token for other in others)))


class Condition(NamedTuple):
    """What the sample is conditioned on. Class labels and texts alike are a row of tokens."""

    tokens: Tensor  # [B, L, D]
    mask: Tensor | None = None  # [B, L] bool, True where a token is seen; all false in a null text; None: all are
    null: Tensor | None = None  # [B] bool, True where the sample is unconditional; None: nowhere
    extras: Mapping[str, Tensor] = {}  # further inputs of the backbone, set by an objective or a guidance: [B, ...]

    def map(self, function: Callable[[Tensor], Tensor]) -> Condition:
        """`function` applied to every tensor."""
        mask, null = (None if value is None else function(value) for value in (self.mask, self.null))
        return Condition(function(self.tokens), mask, null, {n: function(v) for n, v in self.extras.items()})

    def padded(self, length: int) -> Condition:
        """The same with padding after the tokens, up to `length`; itself where it is as long."""
        missing = length - self.tokens.shape[1]
        if not missing:
            return self
        tokens, mask = F.pad(self.tokens, (0, 0, 0, missing)), F.pad(_mask(self), (0, missing))
        return self._replace(tokens=tokens, mask=mask)


class Prediction(NamedTuple):
    """What a backbone answers. `heads` are further predictions of the same meaning as `value` (internal guidance)."""

    value: State
    features: Mapping[str, Tensor] = {}  # name of the tap -> [B, N, width]: image tokens, row-major
    heads: Mapping[str, State] = {}


class ForwardPass(NamedTuple):
    """The forward pass that a loss differentiates, for the auxiliary losses that look at it too."""

    state: State  # what the network was given
    times: Times
    prediction: Prediction  # as velocities, with the features that were tapped
    denoised: State  # the clean state that the prediction points to


class Losses(NamedTuple):
    """A loss to differentiate, the detached scalars that it was made of, by name, to log, and what it looked at."""

    total: Tensor  # []
    parts: Mapping[str, Tensor] = {}
    forward_pass: ForwardPass | None = None


class Batch(NamedTuple):
    """Examples of a task, or the questions that a user asks of it (then without images)."""

    indices: Tensor  # [B] int64: the place of each example in its split, or of each sample in a request
    images: Tensor | None = None  # [B, 3, H, W] float32 in [-1, 1]
    labels: Tensor | None = None  # [B] int64
    captions: Sequence[str] | None = None
    latents: Tensor | None = None  # [B, C, h, w], where they were computed before
    extras: Mapping[str, Tensor] = {}  # what auxiliaries prepared of the images, by their names: [B, ...]
    condition: Condition | None = None  # of the captions, where it was computed before; perhaps shorter than `null`'s

    def part(self, start: int, stop: int) -> Batch:
        """The examples from `start` to before `stop`."""
        rows = slice(start, stop)
        return Batch(
            self.indices[rows],
            None if self.images is None else self.images[rows],
            None if self.labels is None else self.labels[rows],
            None if self.captions is None else self.captions[rows],
            None if self.latents is None else self.latents[rows],
            {name: value[rows] for name, value in self.extras.items()},
            None if self.condition is None else self.condition.map(lambda value: value[rows]),
        )

    def to(self, device: torch.device | str) -> Batch:
        """The batch with its tensors on a device; the indices stay where they are, they key random numbers."""
        fields = self._asdict()
        moved = {name: fields[name].to(device) for name in ("images", "labels", "latents") if fields[name] is not None}
        extras = {name: value.to(device) for name, value in self.extras.items()}
        condition = None if self.condition is None else self.condition.map(lambda value: value.to(device))
        return Batch(**{**fields, **moved, "extras": extras, "condition": condition})


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """A `[B]` tensor as `[B, 1, ...]`, to multiply `like` `[B, ...]` with."""
    return values.reshape(-1, *([1] * (like.ndim - 1)))


def where_null(dropped: Tensor, condition: Condition, null: Condition) -> Condition:
    """`condition` with the rows where `dropped` [B] bool is true replaced by those of `null`. `extras` stay."""
    tokens = torch.where(per_sample(dropped, condition.tokens), null.tokens, condition.tokens)
    masks = _masks(condition, null)
    mask = None if masks is None else torch.where(dropped[:, None], masks[1], masks[0])
    return Condition(tokens, mask, dropped, condition.extras)


def join_conditions(first: Condition, second: Condition) -> Condition:
    """Concatenate two conditions of equal length: `[B1 + B2, L, D]`. Raises ValueError for other `extras`."""
    if first.extras.keys() != second.extras.keys():
        raise ValueError(f"One condition has the extras {sorted(first.extras)}, the other {sorted(second.extras)}.")
    masks = _masks(first, second)
    mask = None if masks is None else torch.cat(masks)
    extras = {name: torch.cat([value, second.extras[name]]) for name, value in first.extras.items()}
    conditional = first.null is None and second.null is None
    null = None if conditional else torch.cat([_null(first), _null(second)])
    return Condition(torch.cat([first.tokens, second.tokens]), mask, null, extras)


def trimmed(*conditions: Condition) -> tuple[Condition, ...]:
    """The same conditions without the trailing columns in which no row of any has a real token, and without a mask
    where nothing is padded then. Masked tokens are not seen, so a network's output is unchanged.

    One column stays where no row has a token: a network need not take conditions of length zero.
    """
    if all(condition.mask is None for condition in conditions):
        return conditions
    masks = [_mask(condition) for condition in conditions]
    real = torch.stack([mask.any(dim=0) for mask in masks]).any(dim=0).nonzero()  # [L', 1]
    length = int(real.max()) + 1 if len(real) else 1
    return tuple(
        condition._replace(tokens=condition.tokens[:, :length], mask=None if mask.all() else mask)
        for condition, mask in zip(conditions, (mask[:, :length] for mask in masks), strict=True)
    )


def _masks(first: Condition, second: Condition) -> tuple[Tensor, Tensor] | None:
    """The masks of both, all true where one has none; None where neither has, so that no kernel gets a useless mask."""
    if first.mask is None and second.mask is None:
        return None
    return _mask(first), _mask(second)


def _null(condition: Condition) -> Tensor:
    if condition.null is not None:
        return condition.null
    return torch.zeros(len(condition.tokens), dtype=torch.bool, device=condition.tokens.device)


def _mask(condition: Condition) -> Tensor:
    if condition.mask is not None:
        return condition.mask
    return torch.ones(condition.tokens.shape[:2], dtype=torch.bool, device=condition.tokens.device)
