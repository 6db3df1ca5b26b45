"""Small working components that run in milliseconds, to test other components with.

`nanogen_data.testing.fakes_plugin` is a manifest that offers them as `tiny-backbone`, `tiny-task` and so on.
"""

from nanogen_data.testing.fakes.backbone import TinyBackbone, TinyBackboneConfig
from nanogen_data.testing.fakes.conditioner import TinyLabels, TinyTexts, TinyTextsConfig
from nanogen_data.testing.fakes.dataset import TinyDataset
from nanogen_data.testing.fakes.objective import TinyFlow, TinyFlowConfig
from nanogen_data.testing.fakes.task import TinyTask
from nanogen_data.testing.fakes.tokenizer import TinyTokenizer, TinyTokenizerConfig

__all__ = [
    "TinyBackbone",
    "TinyBackboneConfig",
    "TinyDataset",
    "TinyFlow",
    "TinyFlowConfig",
    "TinyLabels",
    "TinyTask",
    "TinyTexts",
    "TinyTextsConfig",
    "TinyTokenizer",
    "TinyTokenizerConfig",
]
