"""Whether the other parts of a pipeline give a backbone what its checkpoint was trained on."""

from __future__ import annotations

from nanogen_core import capabilities
from nanogen_core.errors import ConfigError, listing
from nanogen_core.pipeline import Pipeline
from nanogen_import.checkpoint import Checkpoint


def check(pipeline: Pipeline, found: Checkpoint) -> None:
    """Raises ConfigError where another part gives the backbone something else than it was trained on."""
    here, expected = pipeline.latent.shape, found.latent.shape
    if here != expected:
        raise ConfigError(
            f"The checkpoint's latents are {expected} (channels, height, width), those of this tokenizer at"
            f" {pipeline.config.image_size} px are {here}: choose the tokenizer it was trained with, by --config,"
            " --recipe or --set tokenizer.name=... --set tokenizer.preset=... --set image_size=..."
        )
    _check_words(capabilities.wanted(pipeline.config.parts(), "backbone") & found.structural, found.wanted)
    if pipeline.latent.cls_token_width != found.latent.cls_token_width:
        raise ConfigError(
            f"The checkpoint's token is {found.latent.cls_token_width} wide, that of the chosen auxiliary"
            f" {pipeline.latent.cls_token_width}: choose the teacher it was trained with."
        )
    wants, gets = found.condition, pipeline.conditioner.spec
    if (wants.width, wants.padded) != (gets.width, gets.padded):
        raise ConfigError(
            f"The checkpoint's condition is {wants.width} wide, that of task {pipeline.config.task!r} is {gets.width}:"
            " choose the task, data and encoder that it was trained with, by --config or --set."
        )


def _check_words(asked: frozenset[str], built: frozenset[str]) -> None:
    """Raises ConfigError where the chosen parts ask for other abilities than the network was built with."""
    if built - asked:
        raise ConfigError(
            f"The checkpoint's backbone has {listing(built - asked)}, which no chosen part asks for: choose the method"
            " and the auxiliary loss that it was trained with (--recipe, --config or --set method=...), and install the"
            " plugin that brings it if it is not listed by `nanogen plugins`."
        )
    if asked - built:
        raise ConfigError(
            f"The chosen parts ask the backbone for {listing(asked - built)}, which the checkpoint was trained without:"
            " choose the method that it was trained with (--recipe, --config or --set method=...)."
        )
