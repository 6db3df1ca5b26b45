"""Options of this plugin's components. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from nanogen_core.errors import shown
from nanogen_core.validators import at_least, not_below, pixels, unit

Precision = Literal["float32", "bfloat16", "float16"]
NamedComponent = Any  # the name of a component, or a mapping with `name` and its options

CLIP = "openai/clip-vit-large-patch14"

_per_prompt = at_least(1, 10_000)


def _named(instance: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, str | Mapping):
        raise TypeError(f"expected a name, or a mapping with `name` and its options, got {shown(value)}")


@frozen(kw_only=True)
class GenEvalConfig:
    """Options of the metric `geneval`. The defaults of the thresholds are the published ones.

    Args:
        metadata: A file in the format of the official `evaluation_metadata.jsonl`. None: the official prompts.
        images_per_prompt: Images per prompt.
        detector: The name of a component of the kind `detector`, or a mapping of `name` and its options.
        clip: The CLIP that classifies colours: a folder, or a name on the Hugging Face hub.
        threshold: The score above which a detection counts.
        counting_threshold: Replaces `threshold` for prompts of the tag `counting`.
        max_objects: The maximum number of detections per class and image. Those with the highest scores count.
        max_overlap: Drop a detection if its IoU with a kept, higher-scoring detection of its class is at least this.
            1 keeps all.
        position_threshold: A fraction of the summed sizes of two objects along an axis. Offsets between their
            centres up to this length are ignored.
    """

    metadata: str | None = None
    images_per_prompt: int = field(default=4, validator=_per_prompt)
    detector: NamedComponent = field(default="mask2former", validator=_named)
    clip: str = CLIP
    threshold: float = field(default=0.3, validator=unit)
    counting_threshold: float = field(default=0.9, validator=unit)
    max_objects: int = field(default=16, validator=at_least(1, 10_000))
    max_overlap: float = field(default=1.0, validator=unit)
    position_threshold: float = field(default=0.1, validator=unit)


@frozen(kw_only=True)
class Mask2FormerConfig:
    """Options of the detector `mask2former`.

    Args:
        path: The model: a folder, or a name on the Hugging Face hub.
        shortest: The length of the shorter side of the resized image, in pixels.
        longest: The maximum length of the longer side, in pixels. It takes precedence over `shortest`.
    """

    path: str = "facebook/mask2former-swin-small-coco-instance"
    shortest: int = field(default=800, validator=pixels)
    longest: int = field(default=1333, validator=[pixels, not_below("shortest")])


@frozen(kw_only=True)
class DPGConfig:
    """Options of the metric `dpgbench`.

    Args:
        questions: The official `dpg_bench.csv`. None: `dpgbench/dpg_bench.csv` under NANOGEN_DATA.
        prompts: The folder of `<id>.txt` files, or an `id2prompt.json`. None: `dpgbench/prompts` under NANOGEN_DATA.
        images_per_prompt: Images per prompt.
        first_row: Whether the first question of the file is "read" or "skipped". The loaders of ELLA and DiffusionBench
            skip it. Scores are comparable with published ones only with "skipped" and answers of mPLUG.
        vqa: The name of a component of the kind `vqa_model`, or a mapping of `name` and its options.
    """

    questions: str | None = None
    prompts: str | None = None
    images_per_prompt: int = field(default=4, validator=_per_prompt)
    first_row: Literal["read", "skipped"] = "read"
    vqa: NamedComponent = field(default="blip-vqa", validator=_named)


@frozen(kw_only=True)
class BlipVQAConfig:
    """Options of the VQA model `blip-vqa`.

    Args:
        path: The model: a folder, or a name on the Hugging Face hub.
        max_tokens: The maximum length of an answer, in tokens.
    """

    path: str = "Salesforce/blip-vqa-base"
    max_tokens: int = field(default=10, validator=at_least(1, 10_000))


@frozen(kw_only=True)
class RecordedAnswersConfig:
    """Options of the VQA model `recorded-answers`.

    Args:
        file: The `..._detail.txt` file that DPG-Bench's original tool writes.
        model: The name of the model that gave the answers. The score's settings record it.
    """

    file: str
    model: str


@frozen(kw_only=True)
class VQAScoreConfig:
    """Options of the metric `vqascore`.

    Args:
        model: The name of a component of the kind `vqascore_model`, or a mapping of `name` and its options. The default
            is DiffusionBench's model for `vqascore`.
    """

    model: NamedComponent = field(default="clip-flant5-xl", validator=_named)


@frozen(kw_only=True)
class GenAIBenchConfig(VQAScoreConfig):
    """Options of the metric `genaibench`.

    Args:
        model: The name of a component of the kind `vqascore_model`, or a mapping of `name` and its options.
        prompts: The official `genai_image.json`. None: `genaibench/genai_image.json` under NANOGEN_DATA.
        skills: The official `genai_skills.json`. None: `genaibench/genai_skills.json` under NANOGEN_DATA.
        images_per_prompt: Images per prompt.
    """

    model: NamedComponent = field(default="clip-flant5-xxl", validator=_named)
    prompts: str | None = None
    skills: str | None = None
    images_per_prompt: int = field(default=1, validator=_per_prompt)


@frozen(kw_only=True)
class ClipT5Config:
    """Options of the VQAScore models `clip-flant5-*`.

    `path`, `tokenizer` and `vision` are each a folder, or a name on the Hugging Face hub.

    Args:
        path: The CLIP-FlanT5 checkpoint.
        tokenizer: The tokenizer of its T5.
        vision: The CLIP vision tower. None: the one that the checkpoint's configuration names. If the checkpoint
            contains weights of the tower, they replace the weights of this model.
        dtype: The precision of the network.
    """

    path: str
    tokenizer: str
    vision: str | None = None
    dtype: Precision = "bfloat16"


@frozen(kw_only=True)
class ClipFlanT5XLConfig(ClipT5Config):
    """Options of the VQAScore model `clip-flant5-xl`."""

    path: str = "zhiqiulin/clip-flant5-xl"
    tokenizer: str = "google/flan-t5-xl"


@frozen(kw_only=True)
class ClipFlanT5XXLConfig(ClipT5Config):
    """Options of the VQAScore model `clip-flant5-xxl`, the model of the published GenAI-Bench scores."""

    path: str = "zhiqiulin/clip-flant5-xxl"
    tokenizer: str = "google/flan-t5-xxl"


@frozen(kw_only=True)
class ChatVQAConfig:
    """Options of the VQAScore model `chat-vqa`.

    Args:
        path: A vision-language chat model such as Qwen-VL: a folder, or a name on the Hugging Face hub.
        dtype: The precision of the network.
    """

    path: str
    dtype: Precision = "bfloat16"


@frozen(kw_only=True)
class CLIPScoreConfig:
    """Options of the metric `clipscore`.

    Args:
        path: The CLIP model: a folder, or a name on the Hugging Face hub.
    """

    path: str = CLIP
