"""Text-to-image generation for NanoGen: the task, the conditioner, frozen text encoders and webdataset tars."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_t2i.config import HFTextConfig, MiniLMConfig, QwenConfig, TextConfig, WebDatasetConfig
    from nanogen_t2i.dataset import WebDataset
    from nanogen_t2i.encoder import HFText
    from nanogen_t2i.minilm import MiniLM
    from nanogen_t2i.task import T2I
    from nanogen_t2i.text import Text

__all__ = [
    "T2I",
    "HFText",
    "HFTextConfig",
    "MiniLM",
    "MiniLMConfig",
    "QwenConfig",
    "Text",
    "TextConfig",
    "WebDataset",
    "WebDatasetConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "HFText": "encoder",
        "HFTextConfig": "config",
        "MiniLM": "minilm",
        "MiniLMConfig": "config",
        "QwenConfig": "config",
        "T2I": "task",
        "Text": "text",
        "TextConfig": "config",
        "WebDataset": "dataset",
        "WebDatasetConfig": "config",
    },
)
