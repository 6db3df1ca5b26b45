"""Pictures that no person could name, though their colours are those of drawings: what a judge must refuse."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def garbage(images: Tensor, generator: Generator) -> Tensor:
    """Spoil images [B, 3, S, S], an equal share in each way of `WAYS`; the order of the batch is kept."""
    parts = images.chunk(len(WAYS))
    return torch.cat([way(part, generator) for way, part in zip(WAYS, parts, strict=False)])


def shuffled(images: Tensor, generator: Generator) -> Tensor:
    """Cut each image into 4 x 4 patches and shuffle them."""
    batch, _, size, _ = images.shape
    patches = F.unfold(images, size // 4, stride=size // 4)  # [B, 3 * patch, 16]
    order = torch.rand(batch, 1, 16, generator=generator).argsort(dim=-1).expand_as(patches)
    return F.fold(patches.gather(2, order), size, size // 4, stride=size // 4)


def warped(images: Tensor, generator: Generator) -> Tensor:
    """A strong elastic warp: neighbouring parts move by a third of the image in different directions."""
    size = images.shape[-1]
    knots = 0.45 * torch.randn(len(images), 2, 5, 5, generator=generator)
    field = F.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True)  # [B, 2, S, S]
    still = F.affine_grid(torch.eye(2, 3).expand(len(images), 2, 3), [len(images), 1, size, size], align_corners=False)
    return F.grid_sample(images, still + field.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=False)


def blobs(images: Tensor, generator: Generator) -> Tensor:
    """Nothing but the colours' rough places: 5 x 5 means, blown up."""
    del generator
    return _blur(images, 5)


def noise(images: Tensor, generator: Generator) -> Tensor:
    """The images' colours at random places, blurred or not: half 3 x 3 to 16 x 16 random fields around the mean."""
    mean, deviation = images.mean(dim=(2, 3), keepdim=True), images.std(dim=(2, 3), keepdim=True)
    knots = int(torch.randint(3, 17, (), generator=generator))
    field = torch.randn(len(images), 3, knots, knots, generator=generator) * deviation + mean
    return F.interpolate(field, size=images.shape[2:], mode="bilinear").clamp(-1, 1)


def mixed(images: Tensor, generator: Generator) -> Tensor:
    """Two drawings shown through each other, half and half."""
    del generator
    return (images + images.roll(1, dims=0)) / 2


def spliced(images: Tensor, generator: Generator) -> Tensor:
    """The left (or upper) half of one drawing and the other half of the next."""
    half = images.shape[-1] // 2
    other = images.roll(1, dims=0)
    halves = torch.cat([images[..., :half], other[..., half:]], dim=-1)
    turn = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(turn, torch.cat([images[:, :, :half], other[:, :, half:]], dim=2), halves)


def _blur(images: Tensor, cells: int) -> Tensor:
    return F.interpolate(F.adaptive_avg_pool2d(images, cells), size=images.shape[2:], mode="bilinear")


WAYS = (shuffled, warped, blobs, noise, mixed, spliced)
