"""Record outputs of the public code for the tests: `pip install efficientnet-lite-pytorch`, then run this file.

By default the public network pads for one image size. This script chooses the convolutions with TensorFlow's padding
for any size, which the package contains as well.
"""

from __future__ import annotations

from pathlib import Path

import efficientnet_lite_pytorch.model as public  # type: ignore[import-not-found]
import torch
from efficientnet_lite_pytorch.utils import Conv2dDynamicSamePadding  # type: ignore[import-not-found]
from safetensors.torch import save_file
from torch import Tensor

from nanogen_efficientnet.weights import weights_file

FILE = Path(__file__).with_name("public_outputs.safetensors")
SIZES = {"square": (64, 64), "odd": (37, 50)}
BLOCKS = (1, 5, 8, 11, 16)


@torch.no_grad()
def main() -> None:
    public.get_same_padding_conv2d = lambda image_size=None: Conv2dDynamicSamePadding
    network = public.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights_file(None), weights_only=True))
    network.eval()
    found: dict[str, Tensor] = {}
    for name, size in SIZES.items():
        pixels = torch.randint(0, 256, (1, 3, *size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        normalised = (pixels.float() - 127) / 128
        x = network._swish(network._bn0(network._conv_stem(normalised)))
        for number, block in enumerate(network._blocks, start=1):
            x = block(x)
            found |= {f"{name}.block.{number}": x} if number in BLOCKS else {}
        pooled = network.extract_features(normalised).mean(dim=(2, 3))
        found |= {f"{name}.pixels": pixels, f"{name}.pooled": pooled, f"{name}.logits": network(normalised)}
    save_file({key: tensor.contiguous() for key, tensor in found.items()}, FILE)
    print(f"{FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
