"""Corrupts images for the reject class: they have the colours of emojis, but show no recognisable emoji."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def corrupt(images: Tensor, generator: Generator) -> Tensor:
    """Split images [B, 3, S, S] into chunks, and apply a different one of `CORRUPTIONS` to each. Keeps the order."""
    parts = images.chunk(len(CORRUPTIONS))
    return torch.cat([corruption(part, generator) for corruption, part in zip(CORRUPTIONS, parts, strict=False)])


def shuffled(images: Tensor, generator: Generator) -> Tensor:
    """Shuffle the 4 x 4 patches of each image."""
    batch, _, size, _ = images.shape
    patches = F.unfold(images, size // 4, stride=size // 4)  # [B, 3 * patch, 16]
    order = torch.rand(batch, 1, 16, generator=generator).argsort(dim=-1).expand_as(patches)
    return F.fold(patches.gather(2, order), size, size // 4, stride=size // 4)


def warped(images: Tensor, generator: Generator) -> Tensor:
    """Warp images elastically. Neighbouring parts move in different directions, by about 0.3 of the image's side."""
    size = images.shape[-1]
    knots = 0.45 * torch.randn(len(images), 2, 5, 5, generator=generator)
    field = F.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True)  # [B, 2, S, S]
    identity = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = F.affine_grid(identity, [len(images), 1, size, size], align_corners=False)
    return F.grid_sample(images, grid + field.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=False)


def blobs(images: Tensor, generator: Generator) -> Tensor:
    """Average images to 5 x 5 pixels, and enlarge them again."""
    del generator
    return _blur(images, 5)


def noise(images: Tensor, generator: Generator) -> Tensor:
    """Replace each image by enlarged Gaussian noise of 3 x 3 to 16 x 16 pixels, with its mean and deviation."""
    mean, deviation = images.mean(dim=(2, 3), keepdim=True), images.std(dim=(2, 3), keepdim=True)
    knots = int(torch.randint(3, 17, (), generator=generator))
    field = torch.randn(len(images), 3, knots, knots, generator=generator) * deviation + mean
    return F.interpolate(field, size=images.shape[2:], mode="bilinear").clamp(-1, 1)


def mixed(images: Tensor, generator: Generator) -> Tensor:
    """Average each image with the previous one."""
    del generator
    return (images + images.roll(1, dims=0)) / 2


def spliced(images: Tensor, generator: Generator) -> Tensor:
    """Join the left or upper half of each image with the right or lower half of the previous one."""
    half = images.shape[-1] // 2
    other = images.roll(1, dims=0)
    left_right = torch.cat([images[..., :half], other[..., half:]], dim=-1)
    upper_lower = torch.cat([images[:, :, :half], other[:, :, half:]], dim=2)
    vertical = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(vertical, upper_lower, left_right)


def _blur(images: Tensor, cells: int) -> Tensor:
    return F.interpolate(F.adaptive_avg_pool2d(images, cells), size=images.shape[2:], mode="bilinear")


CORRUPTIONS = (shuffled, warped, blobs, noise, mixed, spliced)
