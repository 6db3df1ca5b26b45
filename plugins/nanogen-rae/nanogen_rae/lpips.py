"""LPIPS (Zhang et al., arXiv 1801.03924) on VGG16, from the two files that its authors and torchvision publish."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from nanogen_core.errors import DataError
from nanogen_core.weights import read_weights
from nanogen_rae.pixels import per_channel

VGG, HEADS = "vgg16-397923af.pth", "vgg.pth"
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # VGG16's convolutions
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, for [-1, 1]
EPS = 1e-10


class LPIPS(nn.Module):
    """Frozen. The features of five stages are compared as directions, each channel with its learned weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(_stage(number) for number in range(len(STAGES)))
        self.heads = nn.ParameterList([torch.zeros(widths[-1]) for widths in STAGES])
        self.requires_grad_(False)

    @classmethod
    def load(cls, folder: str | None) -> LPIPS:
        """The network with the weights in a folder. Raises DataError, which says which file goes where."""
        files = [Path(folder or ".").expanduser() / name for name in (VGG, HEADS)]
        if folder is None or not all(file.is_file() for file in files):
            raise DataError(_missing(folder))
        network = cls()
        network.fill(*map(read_weights, files))
        return network

    def fill(self, vgg: dict[str, Tensor], heads: dict[str, Tensor]) -> None:
        """Takes torchvision's `features.N.weight` and LPIPS's `linN.model.1.weight`, in their order."""
        names = sorted((name for name in vgg if name.startswith("features.")), key=_place)
        own = list(self.stages.parameters())
        try:
            for tensor, name in zip(own, names, strict=True):
                tensor.copy_(vgg[name])
            for number, head in enumerate(self.heads):
                head.copy_(heads[f"lin{number}.model.1.weight"].flatten())
        except (ValueError, KeyError, RuntimeError) as error:
            raise DataError(f"The files {VGG} and {HEADS} are not those of VGG16 and LPIPS: {error}.") from error

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two batches [B, 3, H, W] in [-1, 1] -> their mean distance, []."""
        x, y = (((images - per_channel(SHIFT, images)) / per_channel(SCALE, images)) for images in (first, second))
        total = first.new_zeros(())
        for stage, head in zip(self.stages, self.heads, strict=True):
            x, y = stage(x), stage(y)
            apart = (_direction(x) - _direction(y)).square() * head[:, None, None]
            total = total + apart.sum(dim=1).mean()
        return total


def _stage(number: int) -> nn.Sequential:
    """Pooling (but for the first stage), then convolutions with ReLU: up to the layer that LPIPS looks at."""
    layers: list[nn.Module] = [nn.MaxPool2d(2)] if number else []
    before = STAGES[number - 1][-1] if number else 3
    for width in STAGES[number]:
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
        before = width
    return nn.Sequential(*layers)


def _direction(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPS)


def _place(name: str) -> tuple[int, bool]:
    """`features.3.bias` -> (3, True): by number, the weight before the bias."""
    _, number, kind = name.split(".")
    return int(number), kind == "bias"


def _missing(folder: str | None) -> str:
    where = f"{folder!r} does not hold both of" if folder else "`stage.lpips` names no folder that holds"
    return (
        f"LPIPS needs two files, and {where} {VGG} (torchvision's VGG16, from download.pytorch.org/models) and {HEADS} "
        f"(lpips/weights/v0.1 of github.com/richzhang/PerceptualSimilarity): put both into one folder and set "
        f"`stage.lpips` to it, or set `stage.perceptual` to 'encoder' or 'none'."
    )
