"""Representation autoencoders (RAE): the tokens of a frozen vision encoder are the latent; a ViT decodes them."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_rae.config import EncoderConfig, RAEConfig
    from nanogen_rae.openmoji import OpenMojiEncoder
    from nanogen_rae.stage import DecoderTraining
    from nanogen_rae.stage_config import DecoderStageConfig
    from nanogen_rae.tokenizer import RAE

__all__ = [
    "RAE",
    "DecoderStageConfig",
    "DecoderTraining",
    "EncoderConfig",
    "OpenMojiEncoder",
    "RAEConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "DecoderStageConfig": "stage_config",
        "DecoderTraining": "stage",
        "EncoderConfig": "config",
        "OpenMojiEncoder": "openmoji",
        "RAE": "tokenizer",
        "RAEConfig": "config",
    },
)
