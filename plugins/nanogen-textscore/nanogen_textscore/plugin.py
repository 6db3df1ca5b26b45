"""The manifest of nanogen-textscore. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Kind

NANOGEN_API = 1

METRICS = {
    "geneval": ("geneval.metric:GenEval", "GenEvalConfig", "GenEval: objects, counts, colours and positions"),
    "dpgbench": ("dpg.metric:DPGBench", "DPGConfig", "DPG-Bench: yes/no questions about dense prompts"),
    "vqascore": ("vqa.metric:VQAScore", "VQAScoreConfig", "VQAScore: the probability that an image shows its caption"),
    "genaibench": ("vqa.metric:GenAIBench", "GenAIBenchConfig", "VQAScore on the prompts of GenAI-Bench, by skill"),
    "clipscore": ("clipscore:CLIPScore", "CLIPScoreConfig", "CLIPScore: cosine of image and caption embeddings"),
}
DETECTORS = {
    "mask2former": ("geneval.detector:Mask2Former", "Mask2FormerConfig", "Mask2Former, DiffusionBench's detector"),
}
VQA_MODELS = {
    "blip-vqa": ("dpg.answers:BlipVQA", "BlipVQAConfig", "BLIP, in place of DPG-Bench's mPLUG"),
    "recorded-answers": ("dpg.answers:RecordedAnswers", "RecordedAnswersConfig", "answers in DPG-Bench's result file"),
}
VQASCORE_MODELS = {
    "clip-flant5-xxl": ("vqa.clip_t5:ClipT5", "ClipFlanT5XXLConfig", "CLIP-FlanT5-XXL, the published VQAScore model"),
    "clip-flant5-xl": ("vqa.clip_t5:ClipT5", "ClipFlanT5XLConfig", "CLIP-FlanT5-XL, the smaller published model"),
    "chat-vqa": ("vqa.chat:ChatVQA", "ChatVQAConfig", "a vision-language chat model such as Qwen-VL"),
}


@hookimpl
def nanogen_kinds() -> list[Kind]:
    protocols = {"detector": "Detector", "vqa_model": "VQAModel", "vqascore_model": "VQAScoreModel"}
    return [
        Kind(name=name, place="named", protocol=f"nanogen_textscore.protocols:{protocol}")
        for name, protocol in protocols.items()
    ]


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        *(_component("metric", name, *parts, needs={"task": {"captions"}}) for name, parts in METRICS.items()),
        *(_component("detector", name, *parts) for name, parts in DETECTORS.items()),
        *(_component("vqa_model", name, *parts) for name, parts in VQA_MODELS.items()),
        *(_component("vqascore_model", name, *parts) for name, parts in VQASCORE_MODELS.items()),
    ]


def _component(
    kind: str, name: str, target: str, config: str, summary: str, needs: dict[str, set[str]] | None = None
) -> Component:
    return Component(
        kind=kind,
        name=name,
        target=f"nanogen_textscore.{target}",
        config=f"nanogen_textscore.config:{config}",
        summary=summary,
        needs=needs or {},
    )
