"""What network a state dict of DiT or SiT is of, by its shapes."""

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

Shapes = Mapping[str, tuple[int, ...]]


@frozen
class SiTArchitecture:
    """`settings` are the options of the backbone. `heads` are not among them where no shape and no preset tells."""

    settings: Mapping[str, Any]
    latent: LatentSpec
    condition: ConditionSpec
    sigma: bool
    open_heads: bool = field(default=False)


def infer(shapes: Shapes, described: Mapping[str, Any] | None = None) -> SiTArchitecture:
    """Read the architecture off the shapes; `described` may give `num_heads`. Raises DataError where it cannot."""
    try:
        return _infer(shapes, network_part(described))
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(f"The checkpoint is not of the layout of SiT: {error.args[0]} is missing or odd.") from error


def _infer(shapes: Shapes, described: Mapping[str, Any]) -> SiTArchitecture:
    hidden, channels, patch, _ = shapes["x_embedder.proj.weight"]
    depth = len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})
    outputs = shapes["final_layer.linear.weight"][0] / patch**2
    if outputs not in (channels, 2 * channels):
        raise DataError(
            f"The checkpoint is not of the layout of SiT: it writes {outputs:g} channels of a latent of {channels}."
        )
    tokens = shapes[POSITIONS][1]
    side = isqrt(tokens)
    if side**2 != tokens:
        raise DataError(f"The checkpoint's {tokens} positions are no square: only square images are read.")
    settings: dict[str, Any] = {
        "hidden": hidden,
        "depth": depth,
        "patch_size": patch,
        "mlp_ratio": _ratio(shapes["blocks.0.mlp.fc1.weight"][0], hidden),
        "time_factor": 1.0,
        "reverse_time": True,
    }
    heads = described.get("num_heads") or _usual_heads(hidden, depth)
    return SiTArchitecture(
        settings if heads is None else {**settings, "heads": heads},
        LatentSpec(channels, side * patch, side * patch),
        ConditionSpec(width=shapes["y_embedder.embedding_table.weight"][0], length=1, learned=1),
        sigma=outputs != channels,
        open_heads=heads is None,
    )


def _ratio(inner: int, hidden: int) -> float:
    """The ratio of which `int(ratio * hidden)` is the inner width."""
    ratio = inner / hidden
    return ratio if int(ratio * hidden) == inner else (inner + 0.5) / hidden


def _usual_heads(hidden: int, depth: int) -> int | None:
    """The heads of the published size with this width and depth; no shape tells them."""
    return next((trunk.heads for trunk in DIT_SIZES.values() if (trunk.hidden, trunk.depth) == (hidden, depth)), None)
