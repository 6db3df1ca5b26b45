"""LPIPS (Zhang et al., arXiv 1801.03924): distance of two images in the features of VGG16."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from nanogen_align.vgg_files import weight_files
from nanogen_core.errors import DataError
from nanogen_files.errors import cause
from nanogen_files.weights import read_weights

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels of the convolutions
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1]
EPS = 1e-10


class PerceptualDistance(nn.Module):
    """LPIPS: `sum_l mean_hw sum_c w_lc (f_lc / |f_l| - g_lc / |g_l|)^2` over the stages l of VGG16.

    f_l and g_l are the last activations of stage l for the two images; |.| is the norm over the channels c. The heads
    hold w. Parameter names of `features` follow torchvision's VGG16. Weights are frozen. Gradients flow to the images.

    Example:
        >>> PerceptualDistance.load()(images, others)  # [B]
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layers())
        self.heads = nn.ParameterList(torch.ones(channels[-1]) for channels in STAGES)  # w_l
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])
        self.requires_grad_(False)

    @classmethod
    def load(cls, folder: str | None = None) -> PerceptualDistance:
        """Load the weights from `folder`, by default the folder of torch.hub. Raises DataError if a file is missing."""
        return cls.of(*map(read_weights, weight_files(folder)))

    @classmethod
    def of(cls, vgg: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> PerceptualDistance:
        """Build the network from state dicts.

        Args:
            vgg: State dict of torchvision's VGG16.
            heads: State dict of the linear heads of LPIPS.

        Raises:
            DataError: A tensor is missing or has another shape.
        """
        network = cls()
        try:
            layers = {name.removeprefix("features."): x for name, x in vgg.items() if name.startswith("features.")}
            network.features.load_state_dict(layers)
            for number, head in enumerate(network.heads):
                head.data.copy_(heads[f"lin{number}.model.1.weight"].reshape(-1))
        except (KeyError, RuntimeError) as error:
            raise DataError(
                f"Tensors of VGG16 or LPIPS are missing or have other shapes ({cause(error)}). Check that the files are"
                " torchvision's vgg16-397923af.pth and the vgg.pth of LPIPS."
            ) from error
        return network

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Return the distances [B] of two batches of images [B, 3, H, W] in [-1, 1]."""
        distances = [
            torch.einsum("bchw,c->bhw", (directions(f) - directions(g)).square(), head).mean(dim=(1, 2))
            for f, g, head in zip(self._stages(images), self._stages(others), self.heads, strict=True)
        ]
        return torch.stack(distances).sum(dim=0)

    def _stages(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the last activation [B, C, h, w] of each stage. Each stage halves h and w."""
        x = (images - self.shift) / self.scale
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                yield x
            x = layer(x)
        yield x


def _layers() -> Iterator[nn.Module]:
    before = 3
    for number, channels in enumerate(STAGES):
        if number:
            yield nn.MaxPool2d(2)
        for width in channels:
            yield nn.Conv2d(before, width, 3, padding=1)
            yield nn.ReLU()
            before = width


def directions(features: Tensor) -> Tensor:
    """Normalise features [B, C, h, w] to unit length over the channels."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + EPS)
