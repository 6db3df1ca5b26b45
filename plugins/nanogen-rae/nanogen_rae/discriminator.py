"""Discriminator of StyleGAN-T (Sauer et al., arXiv 2301.09515): small heads on frozen features; GAN losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 9
EPS = 1e-6  # of the norms and the adaptive weight
MAX_WEIGHT = 1e4  # largest adaptive weight
MIN_NORM = 1e-12  # lower bound of vector norms in divisions


class Heads(nn.Module):
    """One head for each level of features.

    Args:
        width: Channels C of the features.
        levels: Number of levels.
        kernel: Size of the convolution in the residual block.
    """

    def __init__(self, width: int, levels: int, kernel: int = KERNEL):
        super().__init__()
        self.heads = nn.ModuleList([_head(width, kernel) for _ in range(levels)])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, one [B, C, N] per level, to logits [B, levels * N]. Real images should have high logits."""
        logits = [head(level.float()).flatten(1) for head, level in zip(self.heads, features, strict=True)]
        return torch.cat(logits, dim=1)


class SpectralConv1d(nn.Conv1d):
    """Circular 1-D convolution with spectral normalisation: the weight is `weight_orig / (u . W v)`, where the
    matrix W [out, channels * kernel] is `weight_orig`, and u and v approximate its first singular vectors.

    A forward pass in training mode does one power iteration. The results equal those of
    `torch.nn.utils.spectral_norm`, which is deprecated. The successor in torch updates u and v in another order.

    Args:
        channels: Input channels.
        out: Output channels.
        kernel: Odd kernel size.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, channels: int, out: int, kernel: int):
        super().__init__(channels, out, kernel, padding=kernel // 2, padding_mode="circular")
        weight = self._parameters.pop("weight")
        assert weight is not None
        self.weight_orig = nn.Parameter(weight.detach())
        for name, length in {"weight_u": out, "weight_v": channels * kernel}.items():
            self.register_buffer(name, F.normalize(torch.randn(length), dim=0, eps=MIN_NORM))

    def forward(self, x: Tensor) -> Tensor:
        """Map features [B, C, N] to [B, out, N]."""
        matrix = self.weight_orig.flatten(1)  # [out, C * kernel]
        if self.training:
            self._iterate(matrix.detach())
        norm = (matrix * torch.outer(self.weight_u, self.weight_v)).sum()  # u . W v, in float32 also under autocast
        out: Tensor = self._conv_forward(x, self.weight_orig / norm, self.bias)
        return out

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.weight_v.copy_(F.normalize((matrix * self.weight_u[:, None]).sum(dim=0), dim=0, eps=MIN_NORM))
        self.weight_u.copy_(F.normalize((matrix * self.weight_v).sum(dim=1), dim=0, eps=MIN_NORM))


class ImageNorm(nn.InstanceNorm1d):
    """Instance normalisation over the tokens of an image, in float32: batch norm with a virtual batch of 1."""

    def __init__(self, width: int):
        super().__init__(width, eps=EPS, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise features [B, C, N] over N, float32."""
        assert self.weight is not None
        assert self.bias is not None
        return F.instance_norm(x.float(), weight=self.weight.float(), bias=self.bias.float(), eps=self.eps)


class Residual(nn.Module):
    """Residual connection `(x + fn(x)) / sqrt(2)`."""

    def __init__(self, fn: nn.Module):
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = (x + self.fn(x)) * 0.5**0.5
        return summed


def _head(width: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(_block(width, 1), Residual(_block(width, kernel)), SpectralConv1d(width, 1, 1))


def _block(width: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(SpectralConv1d(width, width, kernel), ImageNorm(width), nn.LeakyReLU(0.2))


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Return half of the hinge loss [] of Lim and Ye (arXiv 1705.02894) for real and fake logits [B, N]."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def generator_loss(fake: Tensor) -> Tensor:
    """Return the adversarial loss [] of the decoder for the logits [B, N] of its images."""
    return -fake.mean()


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: Tensor) -> Tensor:
    """Return the adaptive weight [] of the adversarial loss (Esser et al., arXiv 2012.09841, eq. 7), without gradient.

    It is the ratio of the gradient norms at the last layer, `|grad reconstruction| / (|grad adversarial| + 1e-6)`,
    clamped to [0, 1e4].

    Args:
        reconstruction: Reconstruction loss, [].
        adversarial: Adversarial loss, [].
        last: Weight of the decoder's last layer.
    """
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)]
    weight: Tensor = (norms[0] / (norms[1] + EPS)).clamp(0.0, MAX_WEIGHT)
    return weight.detach()


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Context manager that sets `net` to evaluation mode and turns off the gradients of its weights."""
    training = net.training
    net.eval().requires_grad_(False)
    try:
        yield
    finally:
        net.train(training).requires_grad_(True)
