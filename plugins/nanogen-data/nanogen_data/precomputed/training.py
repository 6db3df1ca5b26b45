"""Training batches from precomputed latents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from torch import Tensor

from nanogen_core.assembly import AbsentDataset, Assembly
from nanogen_core.errors import DataError, TrainingError
from nanogen_core.eval_mode import modules_of
from nanogen_core.tensors import Batch
from nanogen_data.loader import loader
from nanogen_data.mixture import Mixing
from nanogen_data.precomputed import identity, manifest
from nanogen_data.precomputed.latents import Latents
from nanogen_data.precomputed.manifest import ROOTS, Manifest
from nanogen_data.precomputed.prepare import reading_of
from nanogen_files.errors import counted


def batches(
    folder: Path, parts: Assembly, batch_size: int, *, seed: int = 0, start: int = 0, num_workers: int = 0
) -> Iterator[Batch]:
    """Yield the batches of `task.batches("train", ...)` with precomputed latents in place of images.

    If the folder has token states, the batches also have precomputed conditions.

    Args:
        folder: Folder that `nanogen data prepare` wrote.
        parts: The assembled pipeline components.
        batch_size: Size of the global batch.
        seed: Seed of the order and augmentation.
        start: Index of the first global batch.
        num_workers: Number of worker processes that read data.

    Raises:
        DataError: The latents are incomplete, or do not match the configuration or the data.
        TrainingError: As in `open_latents`, or the processes cannot share the batch equally.
    """
    examples = open_latents(folder, parts)
    return loader(examples, batch_size, transform=_no_images, seed=seed, start=start, num_workers=num_workers)


def open_latents(folder: Path, parts: Assembly) -> Latents:
    """Open precomputed latents. Checks that they are complete and match the configuration and, if present, the data.

    Args:
        folder: Folder that `nanogen data prepare` wrote.
        parts: The assembled pipeline components.

    Raises:
        DataError: The latents are incomplete or do not match.
        TrainingError: The conditioner has trainable weights, but its encodings are precomputed.
    """
    folder = folder.expanduser()
    stored = manifest.read(folder)
    if not stored.complete:
        raise DataError(f"The latents in {folder} are incomplete: run `nanogen data prepare` again to complete them.")
    _refuse_learning_conditioner(stored, parts)
    manifest.refuse_mismatch(folder, stored.identity, identity.identity_of(parts))
    _refuse_other_source(folder, stored, parts)
    return Latents(folder, stored, _mixing(folder, stored, parts))


def _mixing(folder: Path, stored: Manifest, parts: Assembly) -> Mixing | None:
    """Return the sizes of the roots of the latents, with the weights of the configuration.

    Raises DataError if the configuration has another number of roots. (The data themselves may be absent.)
    """
    sizes = tuple(stored.source.get(ROOTS) or ())
    roots = tuple(getattr(parts.resolved.slots["dataset"].config, "roots", ()))
    if len(sizes) != len(roots):
        source = counted(len(sizes), "root") if sizes else "a single root"
        raise DataError(
            f"The latents in {folder} were prepared from {source}, but `dataset.roots` has"
            f" {len(roots)}. Restore the roots, or prepare the data again into another folder."
        )
    return Mixing(tuple(each.path for each in roots), sizes, tuple(each.weight for each in roots)) if roots else None


def _refuse_learning_conditioner(stored: Manifest, parts: Assembly) -> None:
    """Raise TrainingError for a trained conditioner, because the stored encodings are from its initial weights."""
    modules = modules_of(parts["conditioner"])
    if stored.identity.get("text") and any(p.requires_grad for module in modules for p in module.parameters()):
        raise TrainingError(
            "The conditioner has trainable weights, but `train.precomputed_latents` contains conditions encoded by its"
            " initial weights. Train on images: remove this option."
        )


def _refuse_other_source(folder: Path, stored: Manifest, parts: Assembly) -> None:
    """Raise DataError if the data on this machine differ from those that were encoded. They may be absent."""
    if isinstance(parts["dataset"], AbsentDataset):
        return
    try:
        reading = reading_of(parts)
    except DataError:
        return
    current = {"source": identity.source_identity(parts, reading)}
    manifest.refuse_mismatch(folder, {"source": stored.source}, current, identity.common_folder(reading))


def _no_images(image: Image.Image, number: int) -> Tensor:
    raise AssertionError("precomputed examples have no images")
