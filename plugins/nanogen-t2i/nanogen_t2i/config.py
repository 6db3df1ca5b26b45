"""Options of this plugin's components. Does not import torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen, validators

from nanogen_core.validators import at_least, between, count_or_none, unit
from nanogen_data.roots import Root, check_captions, check_roots

Precision = Literal["float32", "bfloat16", "float16"]

_tokens = at_least(1, 100_000)
CAPTION = "txt"  # the usual key of captions
_KEY = r"[^\s/:]+(:.+)?"


def _check_captions(instance: Any, attribute: Any, value: Mapping[str, float]) -> None:
    check_captions(instance, attribute, value)
    if value and instance.caption != CAPTION:
        raise ValueError(f"captions: set either caption or captions, not both (caption is {instance.caption!r})")
    odd = next((name for name in value if not re.fullmatch(_KEY, name)), None)
    if odd is not None:
        raise ValueError(f"captions: {odd!r} is neither a file's key, such as txt, nor a field, such as json:prompt")


@frozen(kw_only=True)
class WebDatasetConfig:
    """Options of the dataset `webdataset`. A key is the part of a file's name after the first dot.

    Args:
        root: The training tars: a tar, a folder of tars, a folder with the subfolder `train`, a glob, a brace pattern
            such as `/data/{00000..00099}.tar`, or a URL or brace pattern of URLs (`https://`, `s3://`). A
            relative path starts at the current folder. None: the folder `t2i` under NANOGEN_DATA.
        roots: Several roots with weights, in place of `root`: `[{path: a, weight: 2}, {path: b, weight: 1}]`.
        validation: The held-out tars: a tar, a folder of tars, a pattern or a URL. None: the folder `val` under `root`,
            or under each of `roots`.
        image: The key of images. None: each sample's only file that has an image suffix.
        caption: The key of captions. `json:FIELD` is a field of the file with the key `json`: a text,
            or a list of texts.
        captions: Several keys of captions with probabilities, in place of `caption`: `{txt: 0.8, "json:alt": 0.2}`.
            `txt#2` is the second caption of the key `txt`.
        caption_lines: Whether each line of a caption file is one caption. If so, each epoch uses one of the lines.
        patience: Seconds that a read of a remote tar may take, including retries.
        max_corrupt: The accepted share of corrupt examples, which are skipped. A run with more of them stops.
    """

    root: str | None = field(default=None, metadata={"path": True})
    roots: tuple[Root, ...] = field(default=(), validator=check_roots)
    validation: str | None = field(default=None, metadata={"path": True})
    image: str | None = None
    caption: str = field(default=CAPTION, validator=validators.matches_re(_KEY))
    captions: Mapping[str, float] = field(factory=dict, validator=_check_captions)
    caption_lines: bool = False
    patience: float = field(default=120.0, validator=between(0, 86_400, above=True))
    max_corrupt: float = field(default=0.01, validator=unit)


@frozen(kw_only=True)
class TextConfig:
    """Options of the conditioner `text`.

    Args:
        length: The maximum length of a condition in tokens. Longer captions are truncated. None: the encoder's
            `max_length`.
        cache_size: The number of captions whose encodings are cached in memory (LRU). 0: none.
    """

    length: int | None = field(default=None, validator=validators.optional(_tokens))
    cache_size: int = field(default=0, validator=count_or_none)


@frozen(kw_only=True)
class HFTextConfig:
    """Options of the encoder `hf-text`.

    Args:
        path: The model: a folder, or a name on the Hugging Face hub.
        max_length: The maximum length of a caption in tokens. Longer captions are truncated.
        dtype: The precision of the encoder.
    """

    path: str
    max_length: int = field(default=256, validator=_tokens)
    dtype: Precision = "float32"


@frozen(kw_only=True)
class QwenConfig(HFTextConfig):
    """Options of the encoder `qwen3-0.6b`, the published text encoder. `path` may name a local copy."""

    path: str = "Qwen/Qwen3-0.6B"


@frozen(kw_only=True)
class MiniLMConfig:
    """Options of the encoder `minilm`.

    Args:
        max_length: The maximum length of a caption in tokens, at most 512. Longer captions are truncated.
        dtype: The precision of the encoder.
    """

    max_length: int = field(default=256, validator=at_least(1, 512))
    dtype: Precision = "float32"
