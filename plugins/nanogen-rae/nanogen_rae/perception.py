"""Perception Encoder (Bolya et al., arXiv 2504.13181): a ViT with 2-D rotary positions, from timm's weight files.

timm's class scales rotary positions to the pre-training grid and resamples the position table with antialiasing. The
published class does neither, so timm's tokens differ from the published ones on other grids. This module follows the
published class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen_core.errors import DataError, shown
from nanogen_files import json_files
from nanogen_rae.vit import Block, Sizes

EPS = 1e-5  # of every LayerNorm
THETA = 10_000.0
ARCHITECTURE = "vit_pe_"  # prefix of timm's names of these networks
HEADS = {"tiny": 3, "small": 6, "base": 12, "large": 16, "gigantic": 16}  # by the size in timm's name
POOLING = ("attn_pool.", "head.")  # unused layers after the tokens


class PerceptionEncoder(nn.Module):
    """ViT of the Perception Encoder with timm's parameter names, for any grid.

    Args:
        state: Weights. They determine the sizes, and whether there are a class token, layer scales (`gamma_1`,
            `gamma_2`) and a final norm.
        heads: Number of attention heads.

    Raises:
        ValueError: The width of a head is not a multiple of 4.
    """

    def __init__(self, state: Mapping[str, Tensor], heads: int):
        super().__init__()
        width, patch, depth, hidden = Sizes.of(state)
        scaled = "blocks.0.gamma_1" in state
        if width % (4 * heads):
            raise ValueError(f"the width {width} must be a multiple of 4 times the number of heads ({heads})")
        self.head_width = width // heads
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, stride=patch, bias=False)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, width)) if "cls_token" in state else None
        self.pos_embed = nn.Parameter(torch.empty_like(state["pos_embed"]))
        self.norm_pre = nn.LayerNorm(width, eps=EPS)
        self.blocks = nn.ModuleList([Block(width, heads, hidden, eps=EPS, scaled=scaled) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=EPS) if "norm.weight" in state else nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels [B, 3, H, H] to tokens [B, T, D]: the class token, if any, then the patches."""
        x = self.patch_embed["proj"](pixels)  # [B, D, g, g]
        grid = x.shape[-1]
        x = x.flatten(2).mT
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = self.norm_pre(x + self.position_table(grid))
        angles = self.angles(grid)
        for block in self.blocks:
            x = block(x, angles)
        normalised: Tensor = self.norm(x)
        return normalised

    @property
    def _prefix(self) -> int:
        return 0 if self.cls_token is None else 1

    def position_table(self, grid: int) -> Tensor:
        """Return the learned positions [1, T, D], resampled to `grid` x `grid` (bilinear, without antialiasing)."""
        first, table = self.pos_embed[:, : self._prefix], self.pos_embed[:, self._prefix :]
        side = round(table.shape[1] ** 0.5)
        if side == grid:
            return self.pos_embed
        cells = table.float().mT.reshape(1, -1, side, side)  # [1, D, side, side]
        cells = F.interpolate(cells, size=(grid, grid), mode="bilinear", align_corners=False)
        return torch.cat([first, cells.flatten(2).mT.to(first.dtype)], dim=1)

    def angles(self, grid: int) -> Tensor:
        """Return the rotary angles [T, head width]. The first half of the width encodes the column, the second the row.

        Both features of a pair have the same angle. A class token has angle 0. Positions are 1 .. grid on both axes
        for every grid.
        """
        quarter = self.head_width // 4
        device = self.pos_embed.device
        frequencies = THETA ** -(torch.arange(quarter, device=device, dtype=torch.float32) / quarter)
        positions = torch.arange(1, grid + 1, device=device, dtype=torch.float32)
        axis = (positions[:, None] * frequencies).repeat_interleave(2, dim=1)  # [g, head width / 2]
        patches = torch.cat([axis.repeat(grid, 1), axis.repeat_interleave(grid, dim=0)], dim=1)
        return torch.cat([patches.new_zeros(self._prefix, self.head_width), patches])


def perception_encoder(state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> PerceptionEncoder:
    """Build the network with the weights of a timm file.

    Args:
        state: Tensors of the file.
        facts: Content of its config.json.

    Raises:
        DataError: The file contains no Perception Encoder.
    """
    weights = {name: tensor for name, tensor in state.items() if not name.startswith(POOLING)}
    try:
        with torch.device("meta"):  # no initialisation: all weights come from the file
            network = PerceptionEncoder(weights, heads_of(facts))
        network.load_state_dict(weights, assign=True)
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataError(
            f"model.safetensors is not a Perception Encoder of timm: {error}. Set the encoder's option `path` to one."
        ) from error
    return network


def heads_of(facts: Mapping[str, Any]) -> int:
    """Return the number of heads of a timm model.

    It comes from `model_args`, or from the size in the architecture's name such as `vit_pe_core_large_patch14_336`.

    Args:
        facts: Content of config.json.

    Raises:
        DataError: The model is not a Perception Encoder, or the number of heads is unknown.
    """
    architecture, arguments = facts.get("architecture"), facts.get("model_args") or {}
    if not isinstance(architecture, str) or not architecture.startswith(ARCHITECTURE):
        raise DataError(
            f"The architecture {shown(architecture)} in config.json is not a Perception Encoder. Set the encoder's"
            f" option `path` to a folder whose architecture begins with {ARCHITECTURE}."
        )
    if not isinstance(arguments, Mapping):
        raise DataError(f"`model_args` in config.json must be a JSON object, got {shown(arguments)}. Correct it.")
    if arguments.get("num_heads") is not None:
        return json_files.whole_number(arguments, "num_heads", "the config.json")
    size = next((word for word in architecture.split("_") if word in HEADS), None)
    if size is None:
        raise DataError(
            f"The number of heads of {architecture!r} is unknown. Add `num_heads` to `model_args` in config.json."
        )
    return HEADS[size]
