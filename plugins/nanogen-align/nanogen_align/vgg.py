"""LPIPS (Zhang et al., arXiv 1801.03924): the distance between the features that VGG16 sees in two images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from nanogen_align.vgg_files import weight_files
from nanogen_core.errors import DataError
from nanogen_files.weights import read_weights

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels of the convolutions
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1]
EPS = 1e-10


class PerceptualDistance(nn.Module):
    """`sum_l mean_hw sum_c w_lc (f_lc / |f_l| - g_lc / |g_l|)^2` over the last activation of VGG16's five stages.

    Layers are numbered as in torchvision. Frozen: a gradient reaches the images alone.
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
        """With the weights in a folder, or in torch.hub's. Raises DataError, which says which file goes where."""
        return cls.of(*map(read_weights, weight_files(folder)))

    @classmethod
    def of(cls, vgg: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> PerceptualDistance:
        """With torchvision's weights and the authors'. Raises DataError for files of something else."""
        network = cls()
        try:
            layers = {name.removeprefix("features."): x for name, x in vgg.items() if name.startswith("features.")}
            network.features.load_state_dict(layers)
            for number, head in enumerate(network.heads):
                head.data.copy_(heads[f"lin{number}.model.1.weight"].reshape(-1))
        except (KeyError, RuntimeError) as error:
            raise DataError(f"These are no weights of VGG16 and LPIPS: {str(error).splitlines()[0]}.") from error
        return network

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Two batches [B, 3, H, W] in [-1, 1] -> distances [B]."""
        distances = [
            torch.einsum("bchw,c->bhw", (directions(f) - directions(g)).square(), head).mean(dim=(1, 2))
            for f, g, head in zip(self._stages(images), self._stages(others), self.heads, strict=True)
        ]
        return torch.stack(distances).sum(dim=0)

    def _stages(self, images: Tensor) -> Iterator[Tensor]:
        """The last activation of each stage: [B, C, h, w], halved from stage to stage."""
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
    """Unit vectors over the channels [B, C, h, w]."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + EPS)
