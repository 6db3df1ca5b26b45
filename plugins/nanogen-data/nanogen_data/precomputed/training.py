"""Batches of prepared latents for a pipeline that is to be trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from torch import Tensor

from nanogen_core.assembly import AbsentDataset, Assembly
from nanogen_core.errors import DataError, TrainingError, listing
from nanogen_core.eval_mode import modules_of
from nanogen_core.tensors import Batch
from nanogen_data.loader import loader
from nanogen_data.precomputed import identity, manifest
from nanogen_data.precomputed.latents import Latents
from nanogen_data.precomputed.manifest import Manifest
from nanogen_data.precomputed.prepare import reading_of


def batches(
    folder: Path, parts: Assembly, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
) -> Iterator[Batch]:
    """The batches that the task's own `batches("train", ...)` would give, with latents in place of images, and with
    the captions' encodings where they have one. Raises DataError where the latents are not those of the parts."""
    examples = opened(folder, parts)
    return loader(examples, batch_size, transform=_never, seed=seed, start=start, num_workers=num_workers)


def opened(folder: Path, parts: Assembly) -> Latents:
    """The latents in `folder`, which are those of this configuration, of this data where they are at hand, and whole.

    Raises DataError or TrainingError.
    """
    folder = folder.expanduser()
    found = manifest.read(folder)
    if not found.complete:
        raise DataError(f"The latents in {folder} are not all there yet: call `nanogen data prepare` again to go on.")
    _refuse_auxiliaries(parts)
    _refuse_learning_conditioner(found, parts)
    manifest.refuse_others(folder, found.wanted, identity.wanted(parts))
    _refuse_other_source(folder, found, parts)
    return Latents(folder, found)


def _refuse_auxiliaries(parts: Assembly) -> None:
    """They look at images."""
    names = parts.resolved.groups.get("auxiliary", {})
    if names:
        raise TrainingError(
            f"The auxiliary loss {listing(names)} needs images, and `train.precomputed_latents` has none. Leave it out,"
            " or train on images."
        )


def _refuse_learning_conditioner(found: Manifest, parts: Assembly) -> None:
    """Encoded captions would be those of its weights before training."""
    modules = modules_of(parts["conditioner"])
    if found.wanted.get("text") and any(p.requires_grad for module in modules for p in module.parameters()):
        raise TrainingError(
            "The conditioner is trained, and `train.precomputed_latents` holds captions encoded by its initial weights."
            " Train on images."
        )


def _refuse_other_source(folder: Path, found: Manifest, parts: Assembly) -> None:
    """Where the data are on this machine they must be those that were prepared. They need not be."""
    if isinstance(parts["dataset"], AbsentDataset):
        return
    try:
        reading = reading_of(parts)
    except DataError:
        return
    here = {"source": identity.source(parts, reading)}
    manifest.refuse_others(folder, {"source": found.source}, here, identity.place(reading))


def _never(image: Image.Image, number: int) -> Tensor:
    raise AssertionError("prepared examples have no images")
