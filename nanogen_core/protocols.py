"""The five protocols, and the smaller ones beside them: the page that a plugin author reads first.

Data flows one way: dataset -> task -> tokenizer -> objective(backbone) -> sampler -> metric. A component is called as
`Class(config, **parts)`; it names the parts it wants as keyword parameters: `image_size`, `dataset`, `task`,
`encoder`, `conditioner`, `condition` (its ConditionSpec), `tokenizer`, `latent` (its LatentSpec), `backbone`,
`objective`, `auxiliaries`, `wanted` (the capability words that the other parts need of it).

Any part may say what it reads, so that a score knows when it changes (`nanogen_data.contents`): `files()`, the files
beside those that its options name, and `weights()`, the frozen tensors that it depends on.

Shapes: B batch, C h w latent, L D condition tokens, N image tokens. Images are float32 in [-1, 1] above the tokenizer.
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
    """Turns images into latents of about zero mean and unit variance, and back.

    `weights()`, or else `state_dict()`, names the tensors that `encode` depends on: prepared latents keep their hash.
    """

    def latent(self, image_size: int) -> LatentSpec:
        """The latent of an `image_size` x `image_size` image. Raises NanoGenError for a size that it cannot take."""

    def encode(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] -> latents [B, C, h, w], without gradient and without chance."""

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Latents [B, C, h, w] -> images [B, 3, H, W], about [-1, 1]. A decoder that samples draws from `rng`."""


class TextEncoder(Protocol):
    """A frozen text model, for conditioners. `width` and `max_length` are known before its weights are read."""

    @property
    def width(self) -> int:
        """D, the width of one token state."""

    @property
    def max_length(self) -> int:
        """The longest sequence that `encode` returns, in tokens."""

    def encode(self, texts: Sequence[str], length: int) -> Condition:
        """Encode texts as states [B, length, D] float32 with a mask [B, length].

        The mask is true for a text's tokens, which come first. Padding states are zero.
        """

    def to(self, device: torch.device | str) -> object:
        """Move later computation to a device."""


@runtime_checkable
class Conditioner(Protocol):
    """Turns the labels or captions of a batch into a row of tokens."""

    spec: ConditionSpec

    def encode(self, batch: Batch) -> Condition:
        """One condition for each example: tokens [B, L, D] with L <= spec.length, as long as `null`'s."""

    def null(self, count: int) -> Condition:
        """The condition of an unconditional sample, `count` times. A padded one has an all-false mask."""


@runtime_checkable
class Backbone(Protocol):
    """The network. What it can do beyond the call is said by the capability words of its Component.

    `two-time`: it tells apart times with the same t and another r. `features`: block outputs can be tapped.
    `cls-token`: it takes and predicts `State.cls_token`. `internal-head`: it has a second head, in `Prediction.heads`.
    Plugins may add words, for example for a name in `Condition.extras` that the backbone reads.
    """

    def __call__(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """One forward pass. `intermediates` names block outputs (`"block.8"`, from 1; `"block.8.cls_token"` for that of
        `State.cls_token`) to return in `Prediction.features`."""


class Network(Protocol):
    """A backbone, or something that calls one: what an objective trains."""

    def __call__(self, state: State, times: Times, condition: Condition, /) -> Prediction: ...


class VelocityFn(Protocol):
    """A network seen by the sampler: its prediction is a velocity, guided or not."""

    def __call__(self, state: State, times: Times, condition: Condition) -> Prediction: ...


@runtime_checkable
class Objective(Protocol):
    """What the network learns, and how its answer is followed from noise to data."""

    def loss(
        self,
        nets: Mapping[str, Network],
        clean: State,
        condition: Condition,
        null: Condition,
        rng: KeyedRNG,
    ) -> Losses:
        """The loss of `nets["student"]` on clean states; rows of `condition` may be null (`condition.null`).

        `forward_pass` in the answer is the forward pass that is differentiated: auxiliary losses look at it.
        """

    def velocity(self, prediction: Prediction, state: State, times: Times) -> Prediction:
        """The prediction, and those of its heads, as velocities: guidance and samplers see nothing else."""

    def step(self, velocity_fn: VelocityFn, state: State, times: Times, condition: Condition) -> State:
        """The state at `times.r` from the one at `times.t`: Euler for flow matching, one jump for MeanFlow."""

    def grid(self, steps: int) -> Tensor:
        """The times of a sampling run, float64 [steps + 1], falling from 1 to 0."""


@runtime_checkable
class Task(Protocol):
    """What is to be drawn, and for whom: it reads a dataset its own way and says how the result is judged.

    One whose latents can be prepared has `reading(split) -> data.Reading` as well: its examples and their transform.
    """

    image_size: int

    def batches(
        self, split: str, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
    ) -> Iterator[Batch]:
        """Batches of the split without end, epoch after epoch, in an order keyed by the seed, from batch `start` on.

        Where several processes run, each gets its own part of the global batch.
        """

    def iter_once(self, split: str, batch_size: int, *, num_workers: int = 0) -> Iterator[Batch]:
        """Every example of the split once, in the dataset's order; the last batch may be smaller."""

    def make_batch(self, prompts_or_labels: Sequence[str | int]) -> Batch:
        """A request as a batch without images: label names or numbers for one task, captions for another."""

    def eval_batch(self, count: int, *, seed: int = 0) -> Batch:
        """`count` requests to judge a model by (balanced over classes, or held-out captions)."""

    def metrics(self) -> Mapping[str, Any]:
        """The metrics of the configuration by name, to judge its answers by; each is built when it is read."""

    def captions(self, batch: Batch) -> Sequence[str]:
        """A few words for each request or example, to stand beside its picture."""


class Dataset(Protocol):
    """What a task reads. `classes` are its label names, in order; empty where it has none.

    A static method `recognises(source)` may say whether its option `root` may be this folder or pattern.
    """

    classes: Sequence[str]

    def open(self, split: str, image_size: int, view: str) -> Examples:
        """One split as examples of the `view` that a task wants: `"labels"` or `"captions"`."""


class Examples(Protocol):
    """A map-style dataset. May also have `__getitems__(indices) -> list[Example]`, which is then preferred.

    A corrupt example raises `nanogen_data.corrupt.CorruptSampleError`, and the next good one replaces it.
    `bad_examples` is the share that may be corrupt (1% by default). `files()` lists what is read, for the identity of
    precomputed latents.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class Example(Protocol):
    """One example: a PIL image of any size, or a float tensor [3, S, S] in [-1, 1] that is ready; and its condition."""

    @property
    def image(self) -> Any: ...

    @property
    def label(self) -> int | None: ...

    @property
    def caption(self) -> str | Sequence[str] | None:
        """A text, or several of which each epoch takes one."""


class Guidance(Protocol):
    """Wraps a field in another: classifier-free guidance, internal guidance. They compose, the highest level outermost
    (0 what looks into one network call, 1 what says what is asked, perhaps several times)."""

    level: int

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn: ...


class Sampler(Protocol):
    """Walks from noise to data along a field."""

    def sample(
        self, objective: Objective, velocity_fn: VelocityFn, noise: State, condition: Condition, steps: int
    ) -> State: ...
