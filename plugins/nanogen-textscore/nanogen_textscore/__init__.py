"""Text-image alignment metrics for NanoGen: GenEval, DPG-Bench, VQAScore, GenAI-Bench and CLIPScore."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_textscore.clipscore import CLIPScore
    from nanogen_textscore.config import (
        BlipVQAConfig,
        ChatVQAConfig,
        ClipFlanT5XLConfig,
        ClipFlanT5XXLConfig,
        CLIPScoreConfig,
        DPGConfig,
        GenAIBenchConfig,
        GenEvalConfig,
        Mask2FormerConfig,
        RecordedAnswersConfig,
        VQAScoreConfig,
    )
    from nanogen_textscore.dpg.answers import BlipVQA, RecordedAnswers
    from nanogen_textscore.dpg.metric import DPGBench
    from nanogen_textscore.geneval.detector import Mask2Former
    from nanogen_textscore.geneval.metric import GenEval
    from nanogen_textscore.vqa.chat import ChatVQA
    from nanogen_textscore.vqa.clip_t5 import ClipT5
    from nanogen_textscore.vqa.metric import GenAIBench, VQAScore

__all__ = [
    "BlipVQA",
    "BlipVQAConfig",
    "CLIPScore",
    "CLIPScoreConfig",
    "ChatVQA",
    "ChatVQAConfig",
    "ClipFlanT5XLConfig",
    "ClipFlanT5XXLConfig",
    "ClipT5",
    "DPGBench",
    "DPGConfig",
    "GenAIBench",
    "GenAIBenchConfig",
    "GenEval",
    "GenEvalConfig",
    "Mask2Former",
    "Mask2FormerConfig",
    "RecordedAnswers",
    "RecordedAnswersConfig",
    "VQAScore",
    "VQAScoreConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BlipVQA": "dpg.answers",
        "BlipVQAConfig": "config",
        "CLIPScore": "clipscore",
        "CLIPScoreConfig": "config",
        "ChatVQA": "vqa.chat",
        "ChatVQAConfig": "config",
        "ClipFlanT5XLConfig": "config",
        "ClipFlanT5XXLConfig": "config",
        "ClipT5": "vqa.clip_t5",
        "DPGBench": "dpg.metric",
        "DPGConfig": "config",
        "GenAIBench": "vqa.metric",
        "GenAIBenchConfig": "config",
        "GenEval": "geneval.metric",
        "GenEvalConfig": "config",
        "Mask2Former": "geneval.detector",
        "Mask2FormerConfig": "config",
        "RecordedAnswers": "dpg.answers",
        "RecordedAnswersConfig": "config",
        "VQAScore": "vqa.metric",
        "VQAScoreConfig": "config",
    },
)
