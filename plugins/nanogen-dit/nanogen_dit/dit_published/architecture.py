"""Infers the architecture of a DiT or SiT from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from attrs import field, frozen

from nanogen_core.errors import DataError
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.description import network_part
from nanogen_dit.dit_config import DIT_SIZES
from nanogen_dit.dit_published.layout import POSITIONS
from nanogen_dit.shapes import Shapes, size


@frozen
class SiTArchitecture:
    """Architecture of a DiT or SiT checkpoint.

    Args:
        settings: Options of the backbone `dit`. `heads` is missing if `open_heads`.
        latent: Shape of the state.
        condition: Shape of the condition: one-hot labels with the null class.
        sigma: Whether the last map also predicts a variance.
        open_heads: Whether the number of heads is unknown: no shape determines it, the description does not give it,
            and no size in `DIT_SIZES` has this width and depth.
    """

    settings: Mapping[str, Any]
    latent: LatentSpec
    condition: ConditionSpec
    sigma: bool
    open_heads: bool = field(default=False)


def infer(shapes: Shapes, described: Mapping[str, Any] | None = None) -> SiTArchitecture:
    """Infer the architecture of a DiT or SiT from tensor shapes.

    Args:
        shapes: Shape of each tensor, by published name.
        described: JSON description. Only `num_heads` is read.

    Raises:
        DataError: The tensors are not those of a DiT or SiT for square images, or the description is not a mapping.
    """
    try:
        return _infer(shapes, network_part(described))
    except KeyError as error:
        raise DataError(
            f"The checkpoint does not have the layout of SiT: {error.args[0]} is missing."
            " Use a published SiT checkpoint."
        ) from error


def _infer(shapes: Shapes, described: Mapping[str, Any]) -> SiTArchitecture:
    hidden, channels, patch = (size(shapes, "x_embedder.proj.weight", axis) for axis in range(3))
    depth = len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})
    outputs = size(shapes, "final_layer.linear.weight", 0) / patch**2
    if outputs not in (channels, 2 * channels):
        raise DataError(
            f"The checkpoint does not have the layout of SiT: it predicts {outputs:g} channels per cell, expected"
            f" {channels} or {2 * channels}. Use a published SiT checkpoint."
        )
    tokens = size(shapes, POSITIONS, 1)
    side = isqrt(tokens)
    if side**2 != tokens:
        raise DataError(
            f"The checkpoint has {tokens} positions, not a square number. Use a checkpoint for square images."
        )
    settings: dict[str, Any] = {
        "hidden": hidden,
        "depth": depth,
        "patch_size": patch,
        "mlp_ratio": _ratio(size(shapes, "blocks.0.mlp.fc1.weight", 0), hidden),
        "time_factor": 1.0,
        "reverse_time": True,
    }
    heads = described.get("num_heads") or _usual_heads(hidden, depth)
    return SiTArchitecture(
        settings if heads is None else {**settings, "heads": heads},
        LatentSpec(channels, side * patch, side * patch),
        ConditionSpec(width=size(shapes, "y_embedder.embedding_table.weight", 0), length=1, learned=1),
        sigma=outputs != channels,
        open_heads=heads is None,
    )


def _ratio(inner: int, hidden: int) -> float:
    """Return a ratio with `int(ratio * hidden) == inner`."""
    ratio = inner / hidden
    return ratio if int(ratio * hidden) == inner else (inner + 0.5) / hidden


def _usual_heads(hidden: int, depth: int) -> int | None:
    """Return the heads of the published size with this width and depth. None: not a published size."""
    return next((trunk.heads for trunk in DIT_SIZES.values() if (trunk.hidden, trunk.depth) == (hidden, depth)), None)
