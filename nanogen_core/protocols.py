"""Protocols of the components of the core: the interfaces that plugins implement.

Training: dataset -> task -> tokenizer and conditioner -> objective (calls the backbone) -> loss.
Sampling: noise -> sampler (calls the backbone, guidance and objective) -> tokenizer -> images.

A component is built as `Class(config, **parts)`. Its keyword-only parameters name the parts that it receives, such as
`latent` (a LatentSpec), `condition` (a ConditionSpec), `conditioner` or `classes`; docs/plugins.md lists all of them.

Shapes: B batch size; C, h, w latent; L condition tokens of width D; N image tokens; H, W image. Images are float32 in
[-1, 1]. Times are in [0, 1]: t = 0 is data, t = 1 is noise.

Every component may define two more methods. Evaluation fingerprints cover what they return (`nanogen_data.contents`):

- `files()`: paths of files that it reads, in addition to the paths in its options.
- `weights()`: mapping of names to the frozen tensors that its output depends on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nanogen_core.specs import ConditionSpec, LatentSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from nanogen_core.randomness import KeyedRNG
    from nanogen_core.tensors import Batch, Condition, Losses, Prediction, State, Times


@runtime_checkable
class Tokenizer(Protocol):
    """Encodes images into latents of about zero mean and unit variance, and decodes latents into images.

    `latents = tokenizer.encode(images)`; `images = tokenizer.decode(latents)`. Precomputed latents cannot be used after
    the tokenizer's weights change: they store a hash of `weights()`, or of `state_dict()` if there is no `weights()`.
    A module with the attribute `trainable = True` is trained with the backbone, by the gradient through `encode`.
    """

    def latent(self, image_size: int) -> LatentSpec:
        """Return the latent's shape for images of `image_size` x `image_size` pixels.

        Raises:
            NanoGenError: The tokenizer does not support this size.
        """

    def encode(self, images: Tensor) -> Tensor:
        """Encode images [B, 3, H, W] in [-1, 1] into latents [B, C, h, w]. Deterministic. No gradient if frozen."""

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Decode latents [B, C, h, w] into images [B, 3, H, W], approximately in [-1, 1].

        Stochastic decoders draw their random numbers from `rng`; others ignore it.
        """


class TextEncoder(Protocol):
    """A frozen text model, for conditioners. `width` and `max_length` are known before its weights are read."""

    @property
    def width(self) -> int:
        """D, the width of one token state."""

    @property
    def max_length(self) -> int:
        """Largest number of tokens that `encode` returns for a text."""

    def encode(self, texts: Sequence[str], length: int) -> Condition:
        """Encode texts, truncated to `length` tokens, as float32 states [B, L, D] and a mask [B, L].

        L is the number of tokens of the longest text, at least 1. The mask is true for a text's tokens, which come
        first. Padding states are zero.
        """

    def to(self, device: torch.device | str) -> object:
        """Run later calls of `encode` on this device."""


@runtime_checkable
class Conditioner(Protocol):
    """Encodes the labels or captions of a batch into condition tokens. `spec` states their width and maximum count."""

    spec: ConditionSpec

    def encode(self, batch: Batch) -> Condition:
        """Encode `batch.labels` or `batch.captions`.

        Returns:
            A condition with tokens [B, L, D], where D = `spec.width` and 1 <= L <= `spec.length`. L may differ between
            batches. `mask` is set exactly if `spec.padded`.

        Raises:
            NanoGenError: The batch lacks the labels or captions that this conditioner encodes.
        """

    def null(self, count: int) -> Condition:
        """Return the unconditional (null) condition, repeated `count` times. Its mask, if any, is all false."""


@runtime_checkable
class Backbone(Protocol):
    """The trained network. `Component.provides` lists its optional features, called capabilities:

    - `two-time`: the output depends on `times.r` as well as on `times.t`.
    - `features`: returns intermediate block outputs (`intermediates`).
    - `cls-token`: takes and predicts `State.cls_token`.
    - `internal-head`: returns a second prediction in `Prediction.heads`.
    - `jvp`: supports `torch.func.jvp`. `token-times`: accepts times [B, N].

    Plugins may define further capabilities, for example for an entry of `Condition.extras`.
    """

    def __call__(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """Run one forward pass: `net(State(latent), Times(t, t), condition, intermediates=["block.8"])`.

        Args:
            state: Noisy latent [B, C, h, w].
            times: t and r, [B] each, or [B, N] with `token-times`.
            condition: Tokens [B, L, D]. Positions where the mask is false do not affect the output.
            intermediates: Block outputs to return in `Prediction.features`: `"block.8"` for the image tokens after the
                eighth block, `"block.8.cls_token"` for its class token.
        """


class Network(Protocol):
    """Type of the networks that an objective receives: a backbone, or a callable that wraps one."""

    def __call__(self, state: State, times: Times, condition: Condition, /) -> Prediction: ...


class VelocityFn(Protocol):
    """Returns velocities, guided or not. Samplers call it; `sampling.velocity_field` makes an unguided one."""

    def __call__(self, state: State, times: Times, condition: Condition) -> Prediction: ...


@runtime_checkable
class Objective(Protocol):
    """Defines the path, the training loss and how the network's prediction is integrated from noise to data.

    All times are in [0, 1]. An objective with another time variable computes it from t, such as sigma = t sigma_max.
    An objective applies its own preconditioning: to outputs in `velocity`, to inputs in the optional method
    `network_inputs(state, times)`, which returns the state and times for the network.
    """

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Compute the loss of `nets["student"]`: `objective.loss({"student": net}, State(latents), cond, null, rng)`.

        Args:
            nets: Networks by name. "student" is trained; a method may define further names.
            clean: Clean state, with latents [B, C, h, w].
            condition: Condition tokens, B rows. Rows whose condition was dropped equal the rows of `null`;
                `condition.null` [B] marks them.
            null: Null condition, B rows, for objectives that also evaluate the network without a condition.
            rng: Random numbers of these B samples at this step.

        Returns:
            The scalar loss, its parts for the log, and the differentiated forward pass, which auxiliary losses reuse.
        """

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        """Return the state at times `t` ([B], or [B, N] per image token) on the path from data to noise.

        The path x_t = a(t) clean + s(t) noise is linear in both states; a(0) = 1, s(0) = 0. Sampling begins at t = 1.
        """

    def path_velocity(self, clean: State, noise: State, t: Tensor) -> State:
        """Return dx/dt of `interpolate`. Flow matching: noise - clean."""

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """Convert the prediction and its heads to velocities dx/dt at `times.t` (MeanFlow: their mean over [r, t])."""

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """Integrate from `times.t` to `times.r` and return the state there.

        Flow matching takes an Euler step; MeanFlow jumps by its average velocity.
        """

    def grid(self, steps: int) -> Tensor:
        """Return the sampling times, float64 [steps + 1], strictly decreasing from 1 to 0."""


@runtime_checkable
class Task(Protocol):
    """Produces training batches and evaluation requests, such as class labels or captions.

    A task whose latents can be precomputed also defines `reading(split) -> nanogen_data.Reading`: the examples of the
    split and their image transform.
    """

    image_size: int

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
    ) -> Iterator[Batch]:
        """Iterate over shuffled batches endlessly, one epoch after another.

        Args:
            split: "train" or "val".
            batch_size: Size of the global batch. With several processes, each process yields its share.
            seed: Determines the order of the examples.
            start: Number of batches to skip, to resume a run.
            num_workers: Number of loader processes; 0 loads in this process.
        """

    def iter_once(self, split: str, batch_size: int, *, num_workers: int = 0) -> Iterator[Batch]:
        """Iterate over every example of the split once, in dataset order. The last batch may be smaller."""

    def make_batch(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """Turn a user's requests into a batch without images: `make_batch(["apple", 3])` or `make_batch(["two cats"])`.

        Raises:
            NanoGenError: A request is not a class name, class number or caption of this task.
        """

    def eval_batch(self, count: int, *, seed: int = 0) -> Batch:
        """Return `count` requests for evaluation: labels balanced over the classes, or held-out captions."""

    def metrics(self) -> Mapping[str, Any]:
        """Return the configured metrics by name. Each is built on first access."""

    def captions(self, batch: Batch) -> Sequence[str]:
        """Return a short text for each example or request, to show with its image."""


class Dataset(Protocol):
    """A source of examples. `classes` are the label names in label order; empty without labels.

    An optional static method `recognises(source) -> bool` states whether the dataset's option `root` accepts this
    folder or pattern; `nanogen data prepare SOURCE` calls it.
    """

    classes: Sequence[str]

    def open(self, split: str, image_size: int, view: str) -> Examples:
        """Open one split.

        Args:
            split: "train" or "val".
            image_size: Side of the images in pixels. Datasets that store images of any size ignore it.
            view: What the task reads: "labels" or "captions".
        """


class Examples(Protocol):
    """A map-style dataset. If it defines `__getitems__(indices) -> list[Example]`, it is read in batches.

    `__getitem__` raises `nanogen_data.corrupt.CorruptSampleError` for a corrupt example; the loader then takes the next
    one. Optional attribute `max_corrupt`: allowed fraction of corrupt examples (default 0.01). Optional method
    `files()`: the files that it reads. Their hash identifies precomputed latents.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class Example(Protocol):
    """One example with its label or caption."""

    @property
    def image(self) -> Any:
        """A PIL image of any size, or a float tensor [3, S, S] in [-1, 1] at the final size."""

    @property
    def label(self) -> int | None: ...

    @property
    def caption(self) -> str | Sequence[str] | None:
        """One caption, or several; each epoch uses one of them."""


class Guidance(Protocol):
    """Changes the velocity function during sampling. An example is classifier-free guidance.

    Guidances compose in the order of `level`. Level 0 (innermost), such as internal guidance, changes the velocity for
    one condition. Level 1, such as classifier-free guidance, may combine the velocities for several conditions.
    """

    level: int

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """Return the guided velocity function. `null` is the null condition, one row per sample."""


class Sampler(Protocol):
    """Integrates the velocity function from noise to data. `steps` is the default number of steps."""

    steps: int

    def sample(
        self,
        objective: Objective,
        velocity_fn: VelocityFn,
        noise: State,
        condition: Condition,
        steps: int,
        rng: KeyedRNG,
    ) -> State:
        """Return the state at t = 0.

        Args:
            objective: Provides the grid of times, the path and, for first-order samplers, the step.
            velocity_fn: The velocity, with guidance applied.
            noise: State at t = 1, such as standard normal numbers.
            condition: Condition tokens, one row per sample.
            steps: Number of steps.
            rng: Random numbers of stochastic samplers, keyed by sample, on the CPU:
                `rng.normal("sde.3", (C, h, w)).to(device)` for step 3.
        """
