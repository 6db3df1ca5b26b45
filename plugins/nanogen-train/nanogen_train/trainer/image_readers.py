"""Check that no part needs images if a run uses precomputed latents."""

from __future__ import annotations

from nanogen_core.errors import TrainingError, listing
from nanogen_core.pipeline import Pipeline
from nanogen_train.protocols import Auxiliary


def refuse_image_readers(pipeline: Pipeline) -> None:
    """Raise TrainingError for auxiliaries and objectives that read images.

    Conditioners that read images are allowed: their conditions are stored with the precomputed latents.
    """
    auxiliaries = pipeline.parts["auxiliaries"].items()
    names = [name for name, auxiliary in auxiliaries if _reads_images(auxiliary)]
    if getattr(pipeline.objective, "needs_images", False):
        names.append(pipeline.config.slots["objective"].name)
    if names:
        raise TrainingError(
            f"`train.precomputed_latents` contains no images, but these parts need them: {listing(names)}. Remove the"
            " parts or `train.precomputed_latents`."
        )


def _reads_images(auxiliary: Auxiliary) -> bool:
    """Return whether an auxiliary reads images: in its loss, or in a `prepare` of its own."""
    return auxiliary.needs_images or getattr(type(auxiliary), "prepare", None) is not Auxiliary.prepare
