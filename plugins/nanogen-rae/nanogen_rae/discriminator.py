"""The discriminator: small heads on frozen features (StyleGAN-T's, Sauer et al., arXiv 2301.09515), and its losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

KERNEL = 9
GROUP = 8  # samples that are normalised together
EPS = 1e-6
LARGEST = 1e4  # of the adaptive weight


class Heads(nn.Module):
    """One head for each level of features of equal width."""

    def __init__(self, width: int, levels: int):
        super().__init__()
        self.heads = nn.ModuleList([_head(width) for _ in range(levels)])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Levels x [B, C, N] -> logits [B, levels * N], high for real images."""
        logits = [head(level.float()).flatten(1) for head, level in zip(self.heads, features, strict=True)]
        return torch.cat(logits, dim=1)


class GroupedBatchNorm(nn.Module):
    """Batch norm over small groups of samples, so that the batch's size does not change what it does."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]; a last group may be smaller."""
        parts = [
            F.batch_norm(part, None, None, self.weight, self.bias, True, 0.0, EPS) for part in torch.split(x, GROUP)
        ]
        return torch.cat(parts)


class Residual(nn.Module):
    """(x + f(x)) / sqrt(2)."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = (x + self.inner(x)) * 0.5**0.5
        return summed


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(_block(width, 1), Residual(_block(width, KERNEL)), spectral_norm(nn.Conv1d(width, 1, 1)))


def _block(width: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2, padding_mode="circular")
    return nn.Sequential(spectral_norm(convolution), GroupedBatchNorm(width), nn.LeakyReLU(0.2))


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss on logits [B, N] (Lim and Ye, arXiv 1705.02894), []."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: Tensor) -> Tensor:
    """How much the adversarial loss counts (Esser et al., arXiv 2012.09841, eq. 7): the ratio of the two gradients at
    the decoder's last weights, [], without gradient."""
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)]
    weight: Tensor = (norms[0] / (norms[1] + 1e-4)).clamp(0.0, LARGEST)
    return weight.detach()


@contextmanager
def held(net: nn.Module) -> Iterator[None]:
    """Leaves the weights of a net out of the gradients of what is computed in the block."""
    net.requires_grad_(False)
    try:
        yield
    finally:
        net.requires_grad_(True)
