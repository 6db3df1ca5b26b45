"""The discriminator: small heads on frozen features (StyleGAN-T's, Sauer et al., arXiv 2301.09515), and its losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 9
EPS = 1e-6  # of the norms, and of the adaptive weight
LARGEST = 1e4  # of the adaptive weight
TINY = 1e-12  # below the length of any vector that is normalised


class Heads(nn.Module):
    """One head for each level of features of equal width, with the published parameter names."""

    def __init__(self, width: int, levels: int, kernel: int = KERNEL):
        super().__init__()
        self.heads = nn.ModuleList([_head(width, kernel) for _ in range(levels)])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Levels x [B, C, N] -> logits [B, levels * N], high for real images."""
        logits = [head(level.float()).flatten(1) for head, level in zip(self.heads, features, strict=True)]
        return torch.cat(logits, dim=1)


class SpectralConv1d(nn.Conv1d):
    """A circular convolution by `weight_orig / (u . W v)`, with one power iteration in each training forward pass.

    It is torch.nn.utils.spectral_norm, which is deprecated: its successor iterates in another order.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, channels: int, out: int, kernel: int):
        super().__init__(channels, out, kernel, padding=kernel // 2, padding_mode="circular")
        weight = self._parameters.pop("weight")
        assert weight is not None
        self.weight_orig = nn.Parameter(weight.detach())
        for name, length in {"weight_u": out, "weight_v": channels * kernel}.items():
            self.register_buffer(name, F.normalize(torch.randn(length), dim=0, eps=TINY))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, out, N]."""
        matrix = self.weight_orig.flatten(1)  # [out, C * kernel]
        if self.training:
            self._iterate(matrix.detach())
        norm = (matrix * torch.outer(self.weight_u, self.weight_v)).sum()  # u . W v, in float32 under autocast too
        return self._conv_forward(x, self.weight_orig / norm, self.bias)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.weight_v.copy_(F.normalize((matrix * self.weight_u[:, None]).sum(dim=0), dim=0, eps=TINY))
        self.weight_u.copy_(F.normalize((matrix * self.weight_v).sum(dim=1), dim=0, eps=TINY))


class ImageNorm(nn.InstanceNorm1d):
    """Normalises each channel of each image over its tokens, in float32: the published virtual batch of 1."""

    def __init__(self, width: int):
        super().__init__(width, eps=EPS, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N] float32."""
        return super().forward(x.float())


class Residual(nn.Module):
    """(x + f(x)) / sqrt(2)."""

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
    """The discriminator's loss on logits [B, N] (Lim and Ye, arXiv 1705.02894), []."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def generator_loss(fake: Tensor) -> Tensor:
    """The decoder's loss on the logits [B, N] of what it made, []."""
    return -fake.mean()


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: Tensor) -> Tensor:
    """How much the adversarial loss counts (Esser et al., arXiv 2012.09841, eq. 7): the ratio of the two gradients at
    the decoder's last weights, [], without gradient."""
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)]
    weight: Tensor = (norms[0] / (norms[1] + EPS)).clamp(0.0, LARGEST)
    return weight.detach()


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """In the block the net is in evaluation mode, and its weights are left out of gradients."""
    training = net.training
    net.eval().requires_grad_(False)
    try:
        yield
    finally:
        net.train(training).requires_grad_(True)
