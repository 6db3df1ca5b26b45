"""Publish pipelines on the Hugging Face hub with a model card, and export them for diffusers."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_hub.card import model_card
    from nanogen_hub.diffusers_folder import to_diffusers
    from nanogen_hub.push import push_to_hub, write_repository

__all__ = ["model_card", "push_to_hub", "to_diffusers", "write_repository"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "model_card": "card",
        "push_to_hub": "push",
        "to_diffusers": "diffusers_folder",
        "write_repository": "push",
    },
)
