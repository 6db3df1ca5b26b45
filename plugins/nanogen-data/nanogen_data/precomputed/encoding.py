"""From examples to the members of a shard: images and captions through the frozen networks, on one thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice

import torch
from torch import Tensor

from nanogen_core.assembly import Assembly
from nanogen_core.errors import DataError
from nanogen_core.tensors import Batch
from nanogen_data.captions import texts_of
from nanogen_data.corrupt import CorruptSample, CorruptSampleError
from nanogen_data.labels import checked
from nanogen_data.loader import Example, Reading
from nanogen_data.precomputed.members import pack

Member = tuple[int, bytes | CorruptSample]


class Encoding:
    """Turns examples by their numbers into members. A batch's latents depend on the batch and on nothing else."""

    def __init__(self, parts: Assembly, reading: Reading, *, variants: int, dtype: str, batch_size: int):
        self._examples, self._transform = reading
        self._tokenizer, self._conditioner = parts["tokenizer"], parts["conditioner"]
        self._variants, self._batch_size = variants, batch_size
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._device = device()
        for part in (self._tokenizer, self._conditioner):
            if callable(getattr(part, "to", None)):
                part.to(self._device)

    def members(self, numbers: range) -> Iterator[Member]:
        """The members of these examples, in order."""
        for first in range(numbers.start, numbers.stop, self._batch_size):
            with one_thread():
                members = self._batch(range(first, min(first + self._batch_size, numbers.stop)))
            yield from members

    def _batch(self, numbers: range) -> list[Member]:
        found = self._read(numbers)
        members: dict[int, bytes | CorruptSample] = {
            number: bad for number, bad in found.items() if isinstance(bad, CorruptSample)
        }
        good = {number: example for number, example in found.items() if not isinstance(example, CorruptSample)}
        if good:
            members.update(self._encoded(list(good), list(good.values())))
        return sorted(members.items())

    def _read(self, numbers: range) -> dict[int, Example | CorruptSample]:
        many = getattr(self._examples, "__getitems__", None)
        if many is not None:
            with suppress(CorruptSampleError):
                return dict(zip(numbers, many(list(numbers)), strict=True))
        return {number: self._one(number) for number in numbers}

    def _one(self, number: int) -> Example | CorruptSample:
        try:
            return self._examples[number]  # type: ignore[return-value]
        except CorruptSampleError as error:
            return CorruptSample(number, error.reason, str(error))

    @torch.no_grad()
    def _encoded(self, numbers: Sequence[int], examples: Sequence[Example]) -> Iterator[Member]:
        latents = torch.stack([self._latents(images) for images in self._images(examples)], dim=1)  # [B, V, C, h, w]
        states = self._states(examples)
        for row, (number, example) in enumerate(zip(numbers, examples, strict=True)):
            label = None if example.label is None else checked(example.label, None, f"example {number}")
            self._refuse_nonfinite(number, latents[row], states[row])
            yield number, pack(latents[row], states[row], label, example.caption)

    def _refuse_nonfinite(self, number: int, latents: Tensor, states: Sequence[Tensor]) -> None:
        """Raises DataError for an example with a NaN or an infinity: a training on it would learn nothing."""
        bad = [name for name, tensors in (("latents", [latents]), ("token states", states)) if not _finite(tensors)]
        if bad:
            large = f", or they are too large for {str(self._dtype).removeprefix('torch.')} (--dtype)"
            raise DataError(
                f"The {bad[0]} of example {number} hold numbers that are not finite. Likely causes: the network that"
                " encodes computes in float16 (set `tokenizer.dtype` or `encoder.dtype` to float32 or bfloat16)"
                f"{'' if self._dtype == torch.float32 else large}."
            )

    def _images(self, examples: Sequence[Example]) -> Iterator[Tensor]:
        """The images [B, 3, S, S] of each variant; those that come ready have one."""
        if isinstance(examples[0].image, Tensor):
            yield torch.stack([example.image for example in examples])  # type: ignore[misc]
            return
        for variant in range(self._variants):
            yield torch.stack([self._transform(example.image, variant) for example in examples])  # type: ignore[arg-type]

    def _latents(self, images: Tensor) -> Tensor:
        latents: Tensor = self._tokenizer.encode(images.to(self._device))
        return latents.to(self._dtype).cpu()

    def _states(self, examples: Sequence[Example]) -> Sequence[Sequence[Tensor]]:
        """The token states [n, D] of each caption of each example without their padding; none where a condition is
        cheap to make."""
        if not self._conditioner.spec.padded:
            return [()] * len(examples)
        captions = [texts_of(example.caption or "") for example in examples]
        flat = [text for texts in captions for text in texts]
        condition = self._conditioner.encode(Batch(torch.arange(len(flat)), captions=flat))
        tokens = condition.tokens.to(self._dtype).cpu()
        rows = iter([row[mask] for row, mask in zip(tokens, condition.mask.cpu(), strict=True)])
        return [list(islice(rows, len(texts))) for texts in captions]


def _finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums on several threads have another order, and latents must not depend on how many processes there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
