"""Small working components that run in milliseconds, to test other components with.

`nanogen_core.testing.fakes_plugin` is a manifest that offers them as `tiny-backbone`, `tiny-task` and so on.
"""

from nanogen_core.testing.fakes.backbone import TinyBackbone, TinyBackboneConfig
from nanogen_core.testing.fakes.conditioner import TinyLabels, TinyTexts, TinyTextsConfig
from nanogen_core.testing.fakes.dataset import TinyDataset
from nanogen_core.testing.fakes.objective import TinyFlow, TinyFlowConfig
from nanogen_core.testing.fakes.task import TinyTask
from nanogen_core.testing.fakes.tokenizer import TinyTokenizer, TinyTokenizerConfig

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
