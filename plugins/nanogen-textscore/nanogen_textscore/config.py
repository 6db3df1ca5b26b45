"""Options of this plugin's components. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from nanogen_core.errors import shown
from nanogen_core.validators import at_least, not_below, pixels, unit

Precision = Literal["float32", "bfloat16", "float16"]
Frozen = Any  # a name, or a mapping with `name` and options: another plugin's networks have options of their own

CLIP = "openai/clip-vit-large-patch14"

_per_prompt = at_least(1, 10_000)


def _named(instance: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, str | Mapping):
        raise TypeError(f"expected a name, or a mapping with `name` and its options, got {shown(value)}")


@frozen(kw_only=True)
class GenEvalConfig:
    """`metadata`: a file like the official `evaluation_metadata.jsonl`; without it, the official prompts themselves.
    `detector`: an encoder that provides `detector`. `clip`: a folder or a name on the hub.

    The rest are the published thresholds; `max_overlap` = 1 keeps objects that lie upon each other.
    """

    metadata: str | None = None
    images_per_prompt: int = field(default=4, validator=_per_prompt)
    detector: Frozen = field(default="mask2former", validator=_named)
    clip: str = CLIP
    threshold: float = field(default=0.3, validator=unit)
    counting_threshold: float = field(default=0.9, validator=unit)
    max_objects: int = field(default=16, validator=at_least(1, 10_000))
    max_overlap: float = field(default=1.0, validator=unit)
    position_threshold: float = field(default=0.1, validator=unit)


@frozen(kw_only=True)
class Mask2FormerConfig:
    """`path`: a folder or a name on the hub. A picture's shortest side is brought to `shortest` pixels, unless its
    longest would then pass `longest`."""

    path: str = "facebook/mask2former-swin-small-coco-instance"
    shortest: int = field(default=800, validator=pixels)
    longest: int = field(default=1333, validator=[pixels, not_below("shortest")])


@frozen(kw_only=True)
class DPGConfig:
    """`questions`: the official `dpg_bench.csv`; `prompts`: the folder of `<id>.txt`, or an `id2prompt.json`. Without
    them, `dpgbench/dpg_bench.csv` and `dpgbench/prompts` under NANOGEN_DATA.

    `first_row`: `"read"`, or `"skipped"` as both published loaders do, which loses one question. `vqa`: an encoder that
    provides `vqa`.
    """

    questions: str | None = None
    prompts: str | None = None
    images_per_prompt: int = field(default=4, validator=_per_prompt)
    first_row: Literal["read", "skipped"] = "read"
    vqa: Frozen = field(default="blip-vqa", validator=_named)


@frozen(kw_only=True)
class BlipVQAConfig:
    """`path`: a folder or a name on the hub. `max_tokens`: of an answer."""

    path: str = "Salesforce/blip-vqa-base"
    max_tokens: int = field(default=10, validator=at_least(1, 10_000))


@frozen(kw_only=True)
class RecordedAnswersConfig:
    """`file`: the `..._detail.txt` that the original tool writes; `model`: who answered, for the fingerprint."""

    file: str
    model: str


@frozen(kw_only=True)
class VQAScoreConfig:
    """`judge`: an encoder that provides `vqascore`; without it the one that DiffusionBench calls `vqascore`."""

    judge: Frozen = field(default="clip-flant5-xl", validator=_named)


@frozen(kw_only=True)
class GenAIBenchConfig(VQAScoreConfig):
    """`prompts`: the official `genai_image.json`; `skills`: `genai_skills.json`. Without them, the files of these names
    in the folder `genaibench` under NANOGEN_DATA."""

    judge: Frozen = field(default="clip-flant5-xxl", validator=_named)
    prompts: str | None = None
    skills: str | None = None
    images_per_prompt: int = field(default=1, validator=_per_prompt)


@frozen(kw_only=True)
class ClipT5Config:
    """`path`, `tokenizer`, `vision`: folders or names on the hub; without `vision`, what the model's own configuration
    names. Of the vision tower only the configuration is read where the model's files hold its weights."""

    path: str
    tokenizer: str
    vision: str | None = None
    dtype: Precision = "bfloat16"


@frozen(kw_only=True)
class ClipFlanT5XLConfig(ClipT5Config):
    """The smaller published judge."""

    path: str = "zhiqiulin/clip-flant5-xl"
    tokenizer: str = "google/flan-t5-xl"


@frozen(kw_only=True)
class ClipFlanT5XXLConfig(ClipT5Config):
    """The published judge of GenAI-Bench."""

    path: str = "zhiqiulin/clip-flant5-xxl"
    tokenizer: str = "google/flan-t5-xxl"


@frozen(kw_only=True)
class ChatVQAConfig:
    """`path`: a chat model that sees, such as Qwen-VL, as a folder or a name on the hub."""

    path: str
    dtype: Precision = "bfloat16"


@frozen(kw_only=True)
class CLIPScoreConfig:
    """`path`: a CLIP, as a folder or a name on the hub."""

    path: str = CLIP
