"""Options of the encoders and of the tokenizer `rae`. Does not import torch."""

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
        raise ConfigError(f"levels: must be block numbers in rising order, counted from 0, got {shown(list(value))}")


@frozen(kw_only=True)
class EncoderConfig:
    """Options of the published vision encoders.

    Args:
        path: A local folder, or another name on the Hugging Face hub. Null uses the published model.
        levels: The blocks whose outputs are combined: a list of block numbers counted from 0, or a number of blocks at
            equal distances up to the last one. This number must divide the encoder's depth. 1 uses the output of the
            last block alone. The released configurations of RAEv2 use DINOv3-L, which has 24 blocks, with the list
            [11, 13, 15, 17, 19, 21, 23] or all numbers from 1 to 23.
        norm: The encoder's final norm, applied to each of these outputs: "plain" (without scale and shift), "affine"
            (with them) or "none". Null uses the published choice.
        registers: False uses the model of DINOv2 without register tokens. The other encoders accept only true.
        side: Side of the network's input in pixels. Null gives one token per 16 x 16 image pixels. For convnextv2,
            null gives 7/8 of the side of the images: 224 for 256 pixels.
        dtype: The dtype of the computation. Tokens are always float32.
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
        raise ConfigError(
            f"The decoder size {shown(size)} is unknown. Use one of {', '.join(known)}.{near_miss(size, known)}"
        )


@frozen(kw_only=True)
class DecoderConfig:
    """Options of the decoder of a RAE.

    Args:
        size: Size of the ViT: B, L or XL. "tiny" is a small convolutional network for laptops.
        path: Weights: the folder or `decoder.safetensors` of a stage 1 run, a published file, a diffusers folder, or a
            training checkpoint of stage 1. Null loads no weights.
        weights: The set to read from a training checkpoint: "ema" or "model".
        output: Output of the head: "pixels" in [0, 1], or pixels "normalised" by the encoder's mean and standard
            deviation (the original RAE repository). Null uses what the file at `path` declares, and "pixels" for a
            new decoder. Files of the original repository and of DiffusionBench declare nothing and need the option.
        dtype: The dtype of the computation. Images are always float32.
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
    """Options of the tokenizer `rae`.

    Args:
        encoder: Name of a vision encoder.
        encoder_options: Options of the encoder.
        decoder: Options of the decoder.
        statistics: File with the mean and variance that normalise tokens to latents, written by `nanogen data stats`.
    """

    encoder: str = field(default="dinov2-vit-b", validator=_a_vision_encoder)
    encoder_options: Mapping[str, Any] = field(factory=dict)
    decoder: DecoderConfig = field(factory=DecoderConfig)
    statistics: str | None = None
