"""Frozen published vision encoders. Their tokens are the latents of RAEs (Zheng et al., arXiv 2510.11690)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen_core.errors import ConfigError, DataError, Incompatible
from nanogen_rae.config import EncoderConfig
from nanogen_rae.families import DINOV2_PLAIN, Family, Norm
from nanogen_rae.intermediates import intermediates_of
from nanogen_rae.pixels import prepared
from nanogen_rae.presets import ENCODERS, Encoder
from nanogen_rae.protocol import Encoded
from nanogen_rae.source import Source

STRIDE = 16  # image pixels per token side, for networks of any patch size: 256 px have 16 x 16 tokens


class PublishedEncoder:
    """A frozen encoder of the table `ENCODERS`. Its weights are loaded when they are first needed.

    Args:
        name: Name of the encoder.
        config: Options.

    Raises:
        ConfigError: `config` sets an option that this encoder does not support.
    """

    def __init__(self, name: str, config: EncoderConfig):
        self.name = name
        self._config = config
        self._preset = ENCODERS[name]
        self._family = _family(name, self._preset, config)
        self._source = Source(name, _path(self._preset, config), self._family)
        self._device = torch.device("cpu")
        self._loaded: tuple[int, Any] | None = None  # (input side, model)

    # -- known without weights ---------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Width of a token. It is read from a local folder's config.json, or else from the table `ENCODERS`.

        Raises DataError for an invalid config.json.
        """
        names = ("hidden_sizes", "hidden_size", "embed_dim", "num_features")
        return self._source.number(names, place=-1) or self._preset.width

    @property
    def has_class_token(self) -> bool:
        return self._preset.has_class_token

    @property
    def mean(self) -> tuple[float, float, float]:
        return self._family.input.statistics[0]

    @property
    def std(self) -> tuple[float, float, float]:
        return self._family.input.statistics[1]

    def grid(self, image_size: int) -> int:
        """Return the number of tokens along one side.

        Unless the option `side` is set, a token covers 16 x 16 image pixels. For convnextv2, 7 tokens cover 256 pixels.

        Raises:
            Incompatible: The number of tokens is not whole.
        """
        return self._side(image_size) // self._patch

    @property
    def _patch(self) -> int:
        if self._preset.scale:
            return self._preset.patch
        return self._source.number(("patch_size",), place=0) or self._preset.patch

    def _side(self, image_size: int) -> int:
        """Side of the network's input in pixels. Raises Incompatible if it is not a whole number of patches."""
        density = Fraction(*self._preset.scale or (self._patch, STRIDE)) / self._patch  # tokens per image pixel
        side = self._config.side
        patches = image_size * density if side is None else Fraction(side, self._patch)
        if image_size <= 0 or patches.denominator > 1:
            size = "" if side else f"`image_size` to a multiple of {density.denominator} such as 256, or "
            raise Incompatible(
                f"The encoder {self.name!r} has no whole number of tokens for {_input(image_size, side)}. Set {size}"
                f"the encoder's option `side` to a multiple of {self._patch}."
            )
        return int(patches) * self._patch

    # -- encoding ----------------------------------------------------------------------------------------------------

    def to(self, device: torch.device | str) -> PublishedEncoder:
        """Move the network to a device. Returns the encoder itself."""
        self._device = torch.device(device)
        return self

    def weights(self, image_size: int) -> Mapping[str, Tensor]:
        """Return the tensors of the network for images of this size. Raises DataError if the weights are missing."""
        return dict(self.network(image_size).state_dict())

    def files(self) -> Sequence[Path]:
        """Return the files that the encoder reads from a local folder. The list is empty for a name on the hub."""
        return self._source.files()

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        """Map images [B, 3, H, H] in [-1, 1] to tokens [B, N, D] and class token [B, D] if there is one, float32.

        Computes no gradient.
        """
        return self.forward_features(images)

    def forward_features(self, images: Tensor) -> Encoded:
        """Compute the outputs of `encode` with a gradient to the images. Raises DataError if weights are missing."""
        count = self.grid(images.shape[-1]) ** 2
        model = self.network(images.shape[-1])
        states = self._states(model, self.prepared(images))
        normalised = [_normalised(state, _part(model, self._norm_path), self._norm) for state in states]
        return self._encoded([state.float() for state in normalised], count)

    def prepared(self, images: Tensor) -> Tensor:
        """Resize and normalise images [B, 3, H, H] in [-1, 1] for the network."""
        return prepared(images, self._side(images.shape[-1]), self._family.input)

    def network(self, image_size: int) -> Any:
        """Return the network for images of this size. Raises DataError if the weights are missing."""
        side, known = self._side(image_size), self._loaded
        if known is None or (known[0] != side and self._family.layout.library == "timm"):
            known = (side, self._source.load(side, getattr(torch, self._config.dtype)))
            self._loaded = known
        return known[1].to(self._device)

    def _states(self, model: Any, pixels: Tensor) -> list[Tensor]:
        """Return the outputs of the chosen blocks [B, T, D], before the final norm."""
        blocks = _part(model, self._family.layout.blocks)
        chosen = [blocks[number] for number in _block_numbers(len(blocks), self._config.levels, self.name)]
        with intermediates_of(chosen) as states:
            self._run(model, pixels.to(getattr(torch, self._config.dtype)))
        return [state.flatten(2).mT if state.ndim == 4 else state for state in states]

    def _run(self, model: Any, pixels: Tensor) -> None:
        if self._family.layout.library == "timm":
            model.forward_features(pixels)
            return
        order = {"noise": _rising_noise(pixels, self._patch)} if self._family.ordered else {}
        model(pixels, **self._family.call, **order)

    @property
    def _norm(self) -> Norm:
        return self._config.norm or self._family.norm

    @property
    def _norm_path(self) -> str:
        return self._family.layout.norm

    def _encoded(self, states: Sequence[Tensor], count: int) -> Encoded:
        """The patch tokens are the last `count` tokens of each state, after class and register tokens."""
        if states[-1].shape[2] != self.width:
            raise DataError(
                f"The tokens of {self._source.path!r} have width {states[-1].shape[2]}, but those of the encoder "
                f"{self.name!r} have width {self.width}. Set the option `path` to files of this encoder."
            )
        tokens = _combined([state[:, -count:] for state in states], self._family)  # [B, N, D]
        return Encoded(tokens, states[-1][:, 0] if self.has_class_token else None)


def _input(image_size: int, side: int | None) -> str:
    return f"images of {image_size} pixels" if side is None else f"`side: {side}`"


def _family(name: str, preset: Encoder, config: EncoderConfig) -> Family:
    """Return the family with the changes of the options.

    Raises ConfigError for an option that the encoder does not have.
    """
    family = preset.reading
    if config.levels != 1 and family.levels == "none":
        raise ConfigError(f"The stages of the encoder {name!r} have different widths. Set its `levels` to 1.")
    if config.registers:
        return family
    if preset.registerless is None:
        raise ConfigError(f"The encoder {name!r} has no version without registers. Remove the option `registers`.")
    return family._replace(layout=DINOV2_PLAIN)


def _path(preset: Encoder, config: EncoderConfig) -> str:
    plain = None if config.registers else preset.registerless
    return config.path or plain or preset.path


def _block_numbers(depth: int, levels: int | Sequence[int], name: str) -> Sequence[int]:
    """Return the listed blocks, or `levels` blocks at equal distances up to the last one: 2, 5, 8, 11 for 4 of 12."""
    if not isinstance(levels, int):
        if levels[-1] >= depth:
            raise ConfigError(
                f"The block numbers in `levels` of the encoder {name!r} must be at most {depth - 1}, got {levels[-1]}."
            )
        return levels
    if depth % levels:
        raise ConfigError(
            f"`levels` is {levels}, but the encoder {name!r} has {depth} blocks. Set its `levels` to a divisor of"
            f" {depth}, or to a list of block numbers."
        )
    distance = depth // levels
    return range(distance - 1, depth, distance)


def _part(model: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), model)


def _rising_noise(pixels: Tensor, patch: int) -> Tensor:
    """Rising numbers [B, N] in place of MAE's masking noise, so that all tokens keep their order."""
    count = (pixels.shape[-1] // patch) ** 2
    return torch.arange(count, device=pixels.device, dtype=torch.float32).expand(len(pixels), -1)


def _normalised(state: Tensor, norm: nn.Module, how: Norm) -> Tensor:
    if how == "none":
        return state
    if how == "affine" or not isinstance(norm, nn.LayerNorm):
        normalised: Tensor = norm(state)
        return normalised
    return F.layer_norm(state, norm.normalized_shape, eps=norm.eps)


def _combined(tokens: Sequence[Tensor], family: Family) -> Tensor:
    """Combine the tokens [B, N, D] of all levels to one [B, N, D]."""
    if len(tokens) == 1:
        return tokens[0]
    total = torch.stack(list(tokens)).sum(dim=0)
    if family.levels == "sum":
        return total
    mean = total / len(tokens)
    if family.levels == "mean-and-token":
        return mean + tokens[-1].mean(dim=1, keepdim=True)
    return mean
