"""Named tuples of tensors that components pass to each other, and functions on them.

Shapes: B batch size; C, h, w latent; N image tokens; L condition tokens of width D. These are tuples, not attrs
classes, because torch.compile, torch.func and accelerate traverse tuples.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Times(NamedTuple):
    """Times of a state, 0 <= r <= t <= 1: t = 0 is data, t = 1 is noise. `Objective.network_inputs` may rescale them.

    MeanFlow averages the velocity over [r, t]. Flow matching sets r = t (instantaneous velocity). Backbones
    that provide `token-times` also accept a time for each image token, row-major: [B, N].
    """

    t: Tensor  # [B] or [B, N] end of the interval, the time of the state
    r: Tensor  # [B] or [B, N] start of the interval, the time that a sampling step reaches

    def numbers(self) -> tuple[float, float]:
        """Return t and r of the first sample. Synchronises the device, except for `SharedTimes`."""
        return float(self.t[0]), float(self.r[0])

    def map(self, function: Callable[[Tensor], Tensor]) -> Times:
        """Apply `function` to t and r. The result is no `SharedTimes`, because the values may have changed."""
        return Times(function(self.t), function(self.r))

    def instant(self) -> Times:
        """Return the times with r = t, at which the network predicts the instantaneous velocity."""
        return Times(self.t, self.t)

    def start_in(self, t_min: float, t_max: float) -> bool:
        """Return whether t_min <= t <= t_max for the first sample, in float32."""
        return _float32(t_min) <= self.numbers()[0] <= _float32(t_max)


class SharedTimes(Times):
    """Times of a sampling step: equal for all samples, and known as float32 numbers without reading a tensor."""

    shared: tuple[float, float]

    @classmethod
    def of(cls, t: Tensor, r: Tensor, shared: tuple[float, float]) -> SharedTimes:
        """Return times with the tensors `t` and `r`. The numbers `shared` are their values."""
        times = cls(t, r)
        times.shared = shared
        return times

    def numbers(self) -> tuple[float, float]:
        return getattr(self, "shared", None) or super().numbers()  # `_replace` returns times without numbers

    def instant(self) -> Times:
        return SharedTimes.of(self.t, self.t, (self.numbers()[0],) * 2)


class State(NamedTuple):
    """The diffused variable: the latent, and for methods such as REG a class token that is diffused with it.

    `state.map(lambda x, v: x - 0.1 * v, velocity)` applies arithmetic to the latents and to the class tokens.
    """

    latent: Tensor  # [B, C, h, w]
    cls_token: Tensor | None = None  # [B, LatentSpec.cls_token_width]

    def map(self, function: Callable[..., Tensor], *others: State) -> State:
        """Apply `function` to the latents of this state and `others`, and to the class tokens if this state has one."""
        latent = function(self.latent, *(other.latent for other in others))
        if self.cls_token is None:
            return State(latent)
        return State(latent, function(self.cls_token, *(other.cls_token for other in others)))


class Condition(NamedTuple):
    """Condition tokens of each sample: one token for a class label, a padded sequence for a text."""

    tokens: Tensor  # [B, L, D]
    mask: Tensor | None = None  # [B, L] bool, False for padding; all false for a null text; None: no padding
    null: Tensor | None = None  # [B] bool, True for unconditional samples; None: all samples are conditional
    extras: Mapping[str, Tensor] = {}  # [B, ...] further inputs of the backbone, set by an objective or guidance

    def map(self, function: Callable[[Tensor], Tensor]) -> Condition:
        """Apply `function` to every tensor."""
        mask, null = (None if value is None else function(value) for value in (self.mask, self.null))
        return Condition(function(self.tokens), mask, null, {n: function(v) for n, v in self.extras.items()})

    def padded(self, length: int) -> Condition:
        """Pad the tokens with masked zeros to `length`, or return this condition if it has that length already."""
        if (missing := length - self.tokens.shape[1]) < 0:
            raise ValueError(f"The condition has {self.tokens.shape[1]} tokens, which is more than {length}.")
        if not missing:
            return self
        tokens, mask = F.pad(self.tokens, (0, 0, 0, missing)), F.pad(_mask(self), (0, missing))
        return self._replace(tokens=tokens, mask=mask)


class Prediction(NamedTuple):
    """Output of a backbone."""

    value: State  # the quantity that the objective defines, such as the velocity; shaped like the input state
    features: Mapping[str, Tensor] = {}  # name -> image tokens [B, N, width], row-major, or class token [B, width]
    heads: Mapping[str, State] = {}  # further predictions of the same quantity, used by internal guidance


class ForwardPass(NamedTuple):
    """The forward pass that a loss differentiates. Auxiliary losses reuse it."""

    state: State  # the noisy state, `objective.interpolate(clean, noise, times.t)`
    times: Times
    prediction: Prediction  # velocities, with the requested intermediates
    denoised: State  # estimate of the clean state (x0 prediction)
    noise: State  # the end of the path at t = 1
    condition: Condition  # the condition that the network received


class Losses(NamedTuple):
    """Result of a loss function."""

    total: Tensor  # [] the scalar to differentiate
    parts: Mapping[str, Tensor] = {}  # detached scalars to log, by name
    forward_pass: ForwardPass | None = None  # None: auxiliary losses cannot be combined with this loss


class Batch(NamedTuple):
    """Training examples, or requests for generation (without images)."""

    indices: Tensor  # [B] int64: index of each example in its split, or of each request
    images: Tensor | None = None  # [B, 3, H, W] float32 in [-1, 1]
    labels: Tensor | None = None  # [B] int64
    captions: Sequence[str] | None = None
    latents: Tensor | None = None  # [B, C, h, w] precomputed latents
    extras: Mapping[str, Tensor] = {}  # [B, ...] tensors that auxiliary losses prepared, by their names
    condition: Condition | None = None  # precomputed condition

    def part(self, start: int, stop: int) -> Batch:
        """Return the examples `start`, ..., `stop - 1`."""
        rows = slice(start, stop)
        captions = None if self.captions is None else self.captions[rows]
        return self._map(lambda value: value[rows])._replace(indices=self.indices[rows], captions=captions)

    def to(self, device: torch.device | str) -> Batch:
        """Move the tensors to a device, except `indices`, which stay on the CPU as keys of random numbers.

        Copies from pinned memory to a GPU are asynchronous.
        """
        on_gpu = torch.device(device).type == "cuda"
        return self._map(lambda value: value.to(device, non_blocking=on_gpu))

    def _map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Apply `function` to every tensor except `indices`."""
        images, labels, latents = (None if x is None else function(x) for x in (self.images, self.labels, self.latents))
        extras = {name: function(value) for name, value in self.extras.items()}
        condition = None if self.condition is None else self.condition.map(function)
        return Batch(self.indices, images, labels, self.captions, latents, extras, condition)


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Reshape `values` [B] to [B, 1, ...], so that they broadcast against `like` [B, ...].

    `values` [B, N] of image tokens become [B, 1, h, w], each repeated over its patch of the latent `like` [B, C, h, w].
    """
    if values.ndim == 1:
        return values.reshape(-1, *([1] * (like.ndim - 1)))
    height, width = like.shape[-2:]
    patch = round((height * width / values.shape[1]) ** 0.5)
    cells = values.reshape(-1, 1, height // patch, width // patch)
    return cells.repeat_interleave(patch, 2).repeat_interleave(patch, 3)


def where_null(dropped: Tensor, condition: Condition, null: Condition) -> Condition:
    """In the rows where `dropped` [B] is true, replace `condition` by `null` (condition dropout).

    Both conditions have B rows. The shorter one is padded. The result has `dropped` as its `null`, and the `extras` of
    `condition`.
    """
    condition, null = _equally_long(condition, null)
    tokens = torch.where(per_sample(dropped, condition.tokens), null.tokens, condition.tokens)
    masks = _masks(condition, null)
    mask = None if masks is None else torch.where(dropped[:, None], masks[1], masks[0])
    return Condition(tokens, mask, dropped, condition.extras)


def join_conditions(first: Condition, second: Condition) -> Condition:
    """Concatenate to [B1 + B2, L, D]. Pads the shorter one. Raises ValueError if the names of `extras` differ."""
    if first.extras.keys() != second.extras.keys():
        raise ValueError(f"The conditions have different extras: {sorted(first.extras)} and {sorted(second.extras)}.")
    first, second = _equally_long(first, second)
    masks = _masks(first, second)
    mask = None if masks is None else torch.cat(masks)
    extras = {name: torch.cat([value, second.extras[name]]) for name, value in first.extras.items()}
    conditional = first.null is None and second.null is None
    null = None if conditional else torch.cat([_null(first), _null(second)])
    return Condition(torch.cat([first.tokens, second.tokens]), mask, null, extras)


def _equally_long(*conditions: Condition) -> tuple[Condition, ...]:
    length = max(condition.tokens.shape[1] for condition in conditions)
    return tuple(condition.padded(length) for condition in conditions)


def _float32(value: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _masks(first: Condition, second: Condition) -> tuple[Tensor, Tensor] | None:
    """Return both masks, all true for a condition without one; None if neither has a mask (attention is faster)."""
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
