"""Options of the encoders and of the tokenizer `rae`. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen, validators

from nanogen_align.naming import KIND
from nanogen_core.errors import ConfigError, near_miss, shown
from nanogen_core.registry import registry
from nanogen_core.validators import at_least, pixels
from nanogen_rae.families import Norm
from nanogen_rae.sizes import CONV_SIZES, SIZES


def _blocks(config: Any, attribute: Any, value: int | tuple[int, ...]) -> None:
    if not isinstance(value, (tuple, list)):
        at_least(1, 1000)(config, attribute, value)
        return
    whole = all(type(number) is int and 0 <= number < 1000 for number in value)
    if not (value and whole) or list(value) != sorted(set(value)):
        raise ConfigError(f"levels: {shown(list(value))} are no numbers of blocks, which count from 0 and rise")


@frozen(kw_only=True)
class EncoderConfig:
    """`path`: a local folder, or another name on the Hugging Face hub; by default the published one.

    `levels`: how many blocks are combined, at equal distances up to the last one (1 is the output alone), or a list of
    their numbers, from 0. The released configurations of RAEv2 have 11, 13, 15, 17, 19, 21, 23, or 1 to 23, of the 24
    blocks of DINOv3-L.
    `norm`: the final norm `plain` (without its affine part), as its `own` weights have it, or `none`; by default as
    published. `registers`: dinov2 comes without them too. `side`: the network's input in pixels, where it is not the
    published one. `dtype`: what the network computes in; tokens are float32 always.
    """

    path: str | None = None
    levels: int | tuple[int, ...] = field(default=1, validator=_blocks)
    norm: Norm | None = None
    registers: bool = True
    side: int | None = field(default=None, validator=validators.optional(pixels))
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


def _one_of_the_sizes(config: Any, attribute: Any, size: str) -> None:
    known = (*CONV_SIZES, *SIZES)  # from small to large
    if size not in known:
        raise ConfigError(f"decoder size {shown(size)} is none of {', '.join(known)}.{near_miss(size, known)}")


@frozen(kw_only=True)
class DecoderConfig:
    """`size`: that of a ViT, or `tiny`, a small convolutional network for laptops.

    `path`: the weights: `decoder.safetensors` of a stage 1 run, a published RAE's file, its diffusers folder, or a
    training checkpoint of stage 1 with the weights of the `model` and of its average (`ema`): `weights` chooses.

    `output`: whether the head writes `pixels` in [0, 1], or pixels `normalised` by the encoder's mean and deviation (as
    the decoders of the original RAE repository do). By default what the file at `path` tells, or `pixels` for a new
    decoder; files of the original repository and of DiffusionBench do not tell. `dtype`: what the decoder computes in;
    images are float32 always.
    """

    size: str = field(default="XL", validator=_one_of_the_sizes)
    path: str | None = None
    weights: Literal["ema", "model"] = "ema"
    output: Literal["pixels", "normalised"] | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


def _a_vision_encoder(config: Any, attribute: Any, name: str) -> None:
    """Raise UnknownName or AmbiguousName unless `name` is a vision encoder."""
    registry().component(KIND, name)


@frozen(kw_only=True)
class RAEConfig:
    """`encoder` is the name of a vision encoder, `encoder_options` are its own options.

    `statistics`: the file with the mean and variance of the latents, which `nanogen data stats` writes.
    """

    encoder: str = field(default="dinov2-vit-b", validator=_a_vision_encoder)
    encoder_options: Mapping[str, Any] = field(factory=dict)
    decoder: DecoderConfig = field(factory=DecoderConfig)
    statistics: str | None = None
