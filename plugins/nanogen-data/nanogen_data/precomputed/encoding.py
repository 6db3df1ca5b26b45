"""Encode images and captions with the frozen networks, on one thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice

import torch
from torch import Tensor

from nanogen_core.assembly import Assembly
from nanogen_core.errors import DataError
from nanogen_core.tensors import Batch
from nanogen_data.captions import MissingCaptions, missing_of, texts_of
from nanogen_data.corrupt import CorruptSample, CorruptSampleError
from nanogen_data.labels import checked
from nanogen_data.loader import Example, Reading
from nanogen_data.precomputed.members import pack

Member = tuple[int, bytes | CorruptSample]


class Encoder:
    """Encodes examples to the members of a shard (`members`). The latents of a batch depend only on that batch.

    Args:
        parts: The assembled pipeline components.
        reading: Examples and transform of the split.
        variants: Number of variants of an image, such as 2 with horizontal flips.
        dtype: Name of the dtype to store.
        batch_size: Images per encoding batch.
        worker: Index of the worker process, which selects its GPU.
    """

    def __init__(
        self, parts: Assembly, reading: Reading, *, variants: int, dtype: str, batch_size: int, worker: int = 0
    ):
        self._examples, self._transform = reading
        self._tokenizer, self._conditioner = parts["tokenizer"], parts["conditioner"]
        self._variants, self._batch_size = variants, batch_size
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._missing = MissingCaptions()
        self._device = device(worker)
        for part in (self._tokenizer, self._conditioner):
            if callable(getattr(part, "to", None)):
                part.to(self._device)

    def members(self, numbers: range) -> Iterator[Member]:
        """Yield a pair for each example number, in order: (number, serialised example or CorruptSample)."""
        for first in range(numbers.start, numbers.stop, self._batch_size):
            with one_thread():
                members = self._batch(range(first, min(first + self._batch_size, numbers.stop)))
            yield from members

    def _batch(self, numbers: range) -> list[Member]:
        examples_by_number = self._read(numbers)
        members: dict[int, bytes | CorruptSample] = {
            number: corrupt for number, corrupt in examples_by_number.items() if isinstance(corrupt, CorruptSample)
        }
        good = {
            number: example for number, example in examples_by_number.items() if not isinstance(example, CorruptSample)
        }
        if good:
            members.update(self._encoded(list(good), list(good.values())))
        return sorted(members.items())

    def _read(self, numbers: range) -> dict[int, Example | CorruptSample]:
        get_many = getattr(self._examples, "__getitems__", None)
        if get_many is not None:
            with suppress(CorruptSampleError):
                return dict(zip(numbers, get_many(list(numbers)), strict=True))
        return {number: self._read_one(number) for number in numbers}

    def _read_one(self, number: int) -> Example | CorruptSample:
        try:
            return self._examples[number]  # type: ignore[return-value]
        except CorruptSampleError as error:
            return CorruptSample(number, error.reason, str(error))

    @torch.no_grad()
    def _encoded(self, numbers: Sequence[int], examples: Sequence[Example]) -> Iterator[Member]:
        self._missing.add(missing_of(getattr(example, "caption", None)) for example in examples)
        variants = list(self._images(examples))
        latents = torch.stack([self._latents(images) for images in variants], dim=1)  # [B, V, C, h, w]
        states = self._states(examples, variants)
        for row, (number, example) in enumerate(zip(numbers, examples, strict=True)):
            label = None if example.label is None else checked(example.label, None, f"example {number}")
            self._refuse_nonfinite(number, latents[row], states[row])
            yield number, pack(latents[row], states[row], label, example.caption)

    def _refuse_nonfinite(self, number: int, latents: Tensor, states: Sequence[Tensor]) -> None:
        """Raise DataError if the latents or token states of an example contain NaN or infinity."""
        tensors = {"latents": [latents], "token states": states}
        wrong = next((name for name, values in tensors.items() if not _finite(values)), None)
        if wrong is not None:
            large = f", or values are too large for {str(self._dtype).removeprefix('torch.')} (change --dtype)"
            raise DataError(
                f"The {wrong} of example {number} contain NaN or infinite values. Likely, the encoding network runs in"
                " float16 (set `tokenizer.dtype` or `encoder.dtype` to float32 or bfloat16)"
                f"{'' if self._dtype == torch.float32 else large}."
            )

    def _images(self, examples: Sequence[Example]) -> Iterator[Tensor]:
        """Yield the images [B, 3, S, S] of each variant. Images that are tensors already have one variant."""
        if isinstance(examples[0].image, Tensor):
            yield torch.stack([example.image for example in examples])  # type: ignore[misc]
            return
        for variant in range(self._variants):
            yield torch.stack([self._transform(example.image, variant) for example in examples])  # type: ignore[arg-type]

    def _latents(self, images: Tensor) -> Tensor:
        latents: Tensor = self._tokenizer.encode(images.to(self._device))
        return latents.to(self._dtype).cpu()

    def _states(self, examples: Sequence[Example], variants: Sequence[Tensor]) -> Sequence[Sequence[Tensor]]:
        """Return the unpadded token states [n, D] of each caption of each example; empty if conditions are cheap.

        Conditions made of images are computed for each variant [B, 3, S, S].
        """
        if getattr(self._conditioner, "needs_images", False):
            of_variants = [self._states_of(examples, images.to(self._device)) for images in variants]
            return [[rows for states in of_example for rows in states] for of_example in zip(*of_variants, strict=True)]
        return self._states_of(examples, None) if self._conditioner.spec.padded else [()] * len(examples)

    def _states_of(self, examples: Sequence[Example], images: Tensor | None) -> list[list[Tensor]]:
        captions = [texts_of(example.caption or "") for example in examples]
        owner = [row for row, texts in enumerate(captions) for _ in texts]  # the example of each caption
        labels = [0 if example.label is None else int(example.label) for example in examples]
        condition = self._conditioner.encode(
            Batch(
                torch.arange(len(owner)),
                images=None if images is None else images[owner],
                labels=torch.tensor(labels)[owner],
                captions=[text for texts in captions for text in texts],
            )
        )
        tokens = condition.tokens.to(self._dtype).cpu()
        masks = [slice(None)] * len(owner) if condition.mask is None else condition.mask.cpu()
        rows = iter([row[mask] for row, mask in zip(tokens, masks, strict=True)])
        return [list(islice(rows, len(texts))) for texts in captions]


def _finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def device(worker: int) -> torch.device:
    """Return the device of a worker: the GPUs in turn, or the CPU without GPUs."""
    gpus = torch.cuda.device_count()
    return torch.device(f"cuda:{worker % gpus}" if gpus else "cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit PyTorch to one thread, so that sums have a fixed order and latents do not depend on the process count."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
