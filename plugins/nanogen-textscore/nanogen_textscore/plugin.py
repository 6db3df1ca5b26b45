"""The manifest: five metrics of text-to-image models, and the networks that judge. Loads no torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1

_NEEDS = {"task": {"captions"}}


def _metric(name: str, target: str, config: str, summary: str) -> Component:
    where = f"nanogen_textscore.{target}"
    return Component(
        kind="metric",
        name=name,
        target=where,
        config=f"nanogen_textscore.config:{config}",
        summary=summary,
        needs=_NEEDS,
    )


def _judge(name: str, target: str, config: str, word: str, summary: str) -> Component:
    where = f"nanogen_textscore.{target}"
    return Component(
        kind="encoder",
        name=name,
        target=where,
        config=f"nanogen_textscore.config:{config}",
        summary=summary,
        provides=frozenset({word}),
    )


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        _metric("geneval", "geneval.metric:GenEval", "GenEvalConfig", "objects, counts, colours and places as asked"),
        _metric("dpgbench", "dpg.metric:DPGBench", "DPGConfig", "questions on dense prompts, answered by a network"),
        _metric(
            "vqascore", "vqa.metric:VQAScore", "VQAScoreConfig", "the probability that a picture shows its caption"
        ),
        _metric("genaibench", "vqa.metric:GenAIBench", "GenAIBenchConfig", "VQAScore on GenAI-Bench, by skill"),
        _metric("clipscore", "clipscore:CLIPScore", "CLIPScoreConfig", "the cosine of picture and caption in CLIP"),
        _judge("mask2former", "geneval.detector:Mask2Former", "Mask2FormerConfig", "detector", "GenEval's detector"),
        _judge("blip-vqa", "dpg.answers:BlipVQA", "BlipVQAConfig", "vqa", "BLIP as DPG-Bench's judge, not mPLUG"),
        _judge(
            "recorded-answers",
            "dpg.answers:RecordedAnswers",
            "RecordedAnswersConfig",
            "vqa",
            "DPG-Bench's answers in the original tool's file",
        ),
        _judge(
            "clip-flant5-xxl", "vqa.clip_t5:ClipT5", "ClipFlanT5XXLConfig", "vqascore", "VQAScore's published judge"
        ),
        _judge("clip-flant5-xl", "vqa.clip_t5:ClipT5", "ClipFlanT5XLConfig", "vqascore", "its smaller one"),
        _judge(
            "chat-vqa", "vqa.chat:ChatVQA", "ChatVQAConfig", "vqascore", "a chat model such as Qwen-VL as its judge"
        ),
    ]
