"""Checks that a pipeline has the latents, the condition and the capabilities with which a checkpoint was trained."""

from __future__ import annotations

from nanogen_core import capabilities
from nanogen_core.errors import ConfigError, listing
from nanogen_core.pipeline import Pipeline
from nanogen_core.specs import ConditionSpec
from nanogen_import.checkpoint import Checkpoint


def check(pipeline: Pipeline, found: Checkpoint) -> None:
    """Raise ConfigError if the pipeline's latents, condition or needed capabilities do not match the checkpoint."""
    here, expected = pipeline.latent.shape, found.latent.shape
    if here != expected:
        raise ConfigError(
            f"The checkpoint was trained on latents {expected} (channels, height, width), but this tokenizer has"
            f" latents {here} at {pipeline.config.image_size} px: choose the tokenizer of the training by --config,"
            " --recipe, or --set tokenizer.name=... --set tokenizer.preset=... --set image_size=..."
        )
    _check_words(capabilities.wanted(pipeline.config.parts(), "backbone") & found.structural, found.wanted)
    if pipeline.latent.cls_token_width != found.latent.cls_token_width:
        raise ConfigError(
            f"The class token of the checkpoint has width {found.latent.cls_token_width}, but the chosen"
            f" auxiliary loss gives it {pipeline.latent.cls_token_width}. Choose the checkpoint's teacher by --recipe,"
            " --config or --set."
        )
    wants, gets = found.condition, pipeline.conditioner.spec
    if (wants.width, wants.padded) != (gets.width, gets.padded):
        raise ConfigError(
            f"The checkpoint was trained on a condition of {_described(wants)}, but the condition of task"
            f" {pipeline.config.task!r} has {_described(gets)}: choose the task, data and encoder of the training by"
            " --config or --set."
        )


def _described(condition: ConditionSpec) -> str:
    return f"width {condition.width} and {'variable' if condition.padded else 'fixed'} length"


def _check_words(needed: frozenset[str], built: frozenset[str]) -> None:
    """Raise ConfigError if the chosen parts need other capabilities than the checkpoint has."""
    if built - needed:
        raise ConfigError(
            f"The backbone of the checkpoint has {listing(built - needed)}, which no chosen part uses: choose the"
            " method and auxiliary loss of the training (--recipe, --config or --set method=...). If `nanogen plugins`"
            " does not list them, install their plugin."
        )
    if needed - built:
        raise ConfigError(
            f"The chosen parts need {listing(needed - built)}, which the backbone of the checkpoint lacks: choose the"
            " method of the training (--recipe, --config or --set method=...)."
        )
