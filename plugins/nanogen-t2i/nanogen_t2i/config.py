"""Options of this plugin's components. Loads no torch."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen, validators

from nanogen_core.validators import at_least, count_or_none, unit

Precision = Literal["float32", "bfloat16", "float16"]

_tokens = at_least(1, 100_000)


@frozen(kw_only=True)
class WebDatasetConfig:
    """`root`: the training tars: a folder (with `train` in it, or the tars themselves), a glob, or a brace pattern such
    as `/data/{00000..00099}.tar`; without it, the folder `t2i` under NANOGEN_DATA.

    `validation`: the held-out tars, in the same three ways; without it, the folder `val` under the root.

    `image`, `caption`: the keys of a sample's files, which are their names after the first dot. Without `image`, the
    only file with an image's suffix. `json:FIELD` is a field of the file `json`: a text, or a list of texts.

    `caption_lines`: every line of a caption's file is a caption of its own, of which each epoch takes one; without it,
    the whole file is one caption.

    `max_corrupt`: share of corrupt examples that are skipped, in [0, 1]. A run with more of them stops.
    """

    root: str | None = None
    validation: str | None = None
    image: str | None = None
    caption: str = field(default="txt", validator=validators.matches_re(r"[^\s/:]+(:.+)?"))
    caption_lines: bool = False
    max_corrupt: float = field(default=0.01, validator=unit)


@frozen(kw_only=True)
class TextConfig:
    """`length`: tokens of a condition; without it, as many as the encoder gives.

    `remember`: captions whose encoding is kept in memory, the least recently used one going first; 0: none.
    """

    length: int | None = field(default=None, validator=validators.optional(_tokens))
    remember: int = field(default=0, validator=count_or_none)


@frozen(kw_only=True)
class HFTextConfig:
    """`path`: a local folder, or a model's name on the Hugging Face hub.

    `max_length`: tokens of a caption, the rest is cut off. `dtype`: what the encoder computes in.
    """

    path: str
    max_length: int = field(default=256, validator=_tokens)
    dtype: Precision = "float32"


@frozen(kw_only=True)
class QwenConfig(HFTextConfig):
    """The published text encoder; `path` may name a local copy of it."""

    path: str = "Qwen/Qwen3-0.6B"


@frozen(kw_only=True)
class MiniLMConfig:
    """`max_length`: tokens of a caption, at most 512. `dtype`: what the encoder computes in."""

    max_length: int = field(default=256, validator=at_least(1, 512))
    dtype: Precision = "float32"
