"""The published vision encoders, frozen; their tokens are the latent of a RAE (Zheng et al., arXiv 2510.11690)."""

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

STRIDE = 16  # image pixels for a token, whatever the network's own patch: 256 px have 16 x 16 tokens


class PublishedEncoder:
    """One encoder of the table. Weights are read when the first image comes."""

    def __init__(self, name: str, config: EncoderConfig):
        self.name = name
        self._config = config
        self._preset = ENCODERS[name]
        self._family = _family(name, self._preset, config)
        self._source = Source(name, _path(self._preset, config), self._family)
        self._device = torch.device("cpu")
        self._loaded: tuple[int, Any] | None = None  # the input side it was loaded for, the model

    # -- known without weights ---------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Of a token: from the table, or from the config.json of a local folder. Raises DataError for what is no whole
        number there."""
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
        """Tokens along a side: one for 16 image pixels (7 for 256 px where convnextv2 is as published).

        Raises Incompatible for a size that leaves no whole number of tokens.
        """
        return self._side(image_size) // self._patch

    @property
    def _patch(self) -> int:
        if self._preset.scale:
            return self._preset.patch
        return self._source.number(("patch_size",), place=0) or self._preset.patch

    def _side(self, image_size: int) -> int:
        """Pixels along a side of the network's input. Raises Incompatible where no whole number of patches is in it."""
        scale = self._preset.scale or Fraction(self._patch, STRIDE)
        patches = Fraction(self._config.side or image_size * scale) / self._patch
        if image_size <= 0 or patches.denominator > 1:
            raise Incompatible(
                f"The encoder {self.name!r} takes image sizes that are multiples of {STRIDE}, and {image_size} is not; "
                f"or set its option `side` to a multiple of {self._patch}."
            )
        return int(patches) * self._patch

    # -- encoding ----------------------------------------------------------------------------------------------------

    def to(self, device: torch.device | str) -> PublishedEncoder:
        """Where images are encoded from now on; returns the encoder itself."""
        self._device = torch.device(device)
        return self

    def weights(self, image_size: int) -> Mapping[str, Tensor]:
        """The tensors of the model for images of this size. Raises DataError where the weights are missing."""
        return dict(self.network(image_size).state_dict())

    def files(self) -> Sequence[Path]:
        """What is read of a local folder."""
        return self._source.files()

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        """Images [B, 3, H, H] in [-1, 1] -> tokens [B, N, D] and class token [B, D], float32."""
        return self.forward_features(images)

    def forward_features(self, images: Tensor) -> Encoded:
        """The same with the gradient of the images. Raises DataError where the weights are missing."""
        count = self.grid(images.shape[-1]) ** 2
        model = self.network(images.shape[-1])
        states = self._states(model, self.prepared(images))
        normalised = [_normalised(state, _part(model, self._norm_path), self._norm) for state in states]
        return self._encoded([state.float() for state in normalised], count)

    def prepared(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, H] in [-1, 1] -> what the network sees of them, resized and normalised."""
        return prepared(images, self._side(images.shape[-1]), self._family.input)

    def network(self, image_size: int) -> Any:
        """The network for images of this size. Raises DataError where the weights are missing."""
        side, known = self._side(image_size), self._loaded
        if known is None or (known[0] != side and self._family.layout.library == "timm"):
            known = (side, self._source.load(side, getattr(torch, self._config.dtype)))
            self._loaded = known
        return known[1].to(self._device)

    def _states(self, model: Any, pixels: Tensor) -> list[Tensor]:
        """The outputs of the chosen blocks [B, T, D], before the final norm."""
        blocks = _part(model, self._family.layout.blocks)
        chosen = [blocks[place] for place in _places(len(blocks), self._config.levels, self.name)]
        with intermediates_of(chosen) as states:
            self._run(model, pixels.to(getattr(torch, self._config.dtype)))
        return [state.flatten(2).mT if state.ndim == 4 else state for state in states]

    def _run(self, model: Any, pixels: Tensor) -> None:
        if self._family.layout.library == "timm":
            model.forward_features(pixels)
            return
        order = {"noise": _rising(pixels, self._patch)} if self._family.ordered else {}
        model(pixels, **self._family.call, **order)

    @property
    def _norm(self) -> Norm:
        return self._config.norm or self._family.norm

    @property
    def _norm_path(self) -> str:
        return self._family.layout.norm

    def _encoded(self, states: Sequence[Tensor], count: int) -> Encoded:
        """The patch tokens are the last `count` ones of each state; class and register tokens stand before them."""
        if states[-1].shape[2] != self.width:
            raise DataError(
                f"{self._source.path!r} gives tokens of {states[-1].shape[2]} numbers, where the encoder {self.name!r} "
                f"has {self.width}: set the option `path` to its own files."
            )
        tokens = _combined([state[:, -count:] for state in states], self._family)  # [B, N, D]
        return Encoded(tokens, states[-1][:, 0] if self.has_class_token else None)


def _family(name: str, preset: Encoder, config: EncoderConfig) -> Family:
    """The family, with what the options change of it. Raises ConfigError for an option that the encoder has not."""
    family = preset.reading
    if config.levels != 1 and family.levels == "none":
        raise ConfigError(f"The encoder {name!r} has stages of other widths: set its `levels` to 1.")
    if config.registers:
        return family
    if preset.registerless is None:
        raise ConfigError(f"The encoder {name!r} comes in one kind only: leave `registers` out.")
    return family._replace(layout=DINOV2_PLAIN)


def _path(preset: Encoder, config: EncoderConfig) -> str:
    plain = None if config.registers else preset.registerless
    return config.path or plain or preset.path


def _places(depth: int, levels: int | Sequence[int], name: str) -> Sequence[int]:
    """The blocks themselves, or as many at equal distances, the last one among them: 2, 5, 8, 11 for 4 of 12."""
    if not isinstance(levels, int):
        if levels[-1] >= depth:
            raise ConfigError(f"The encoder {name!r} has the blocks 0 to {depth - 1}, and `levels` names {levels[-1]}.")
        return levels
    if depth % levels:
        raise ConfigError(
            f"The encoder {name!r} has {depth} blocks: set its `levels` to a divisor of that, or to a list of the"
            f" blocks' numbers."
        )
    distance = depth // levels
    return range(distance - 1, depth, distance)


def _part(model: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), model)


def _rising(pixels: Tensor, patch: int) -> Tensor:
    """[B, N] rising numbers, by which MAE orders its tokens."""
    count = (pixels.shape[-1] // patch) ** 2
    return torch.arange(count, device=pixels.device, dtype=torch.float32).expand(len(pixels), -1)


def _normalised(state: Tensor, norm: nn.Module, how: Norm) -> Tensor:
    if how == "none":
        return state
    if how == "own" or not isinstance(norm, nn.LayerNorm):
        normalised: Tensor = norm(state)
        return normalised
    return F.layer_norm(state, norm.normalized_shape, eps=norm.eps)


def _combined(tokens: Sequence[Tensor], family: Family) -> Tensor:
    """One [B, N, D] from those of every level."""
    if len(tokens) == 1:
        return tokens[0]
    total = torch.stack(list(tokens)).sum(dim=0)
    if family.levels == "sum":
        return total
    mean = total / len(tokens)
    if family.levels == "mean-and-token":
        return mean + tokens[-1].mean(dim=1, keepdim=True)
    return mean
