"""Plain training loops: flow matching, and MeanFlow by `torch.func.jvp`."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.plain.embeddings import Captions
from benchmarks.plain.networks import Network

DROPOUT = 0.1  # of conditions
KAPPA = 0.5  # guidance in MeanFlow's target, with omega = 1


class PlainLoop:
    """Training steps on the same latents [B, C, h, w] and labels [B] or captions.

    Args:
        bf16: Whether the forward pass runs under bfloat16 autocast, as the published loop does on GPUs.
        compiled: Whether the network is compiled, block by block as with our `train.compile: blocks`.
    """

    def __init__(
        self,
        net: Network,
        latents: Tensor,
        condition: Tensor | Captions,
        *,
        lr: float,
        time_mean: float,
        bf16: bool = False,
        compiled: bool = False,
    ):
        self.net, self.latents, self.condition, self.time_mean, self.bf16 = net, latents, condition, time_mean, bf16
        self.ema = copy.deepcopy(net).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.0)
        if compiled:
            self.compile()

    def compile(self) -> None:
        for block in self.net.blocks:
            block.compile()

    def __call__(self) -> None:
        dropped = torch.rand(len(self.latents), device=self.latents.device) < DROPOUT
        loss = self.random_loss(torch.randn_like(self.latents), dropped)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for average, parameter in zip(self.ema.parameters(), self.net.parameters(), strict=True):
                average.mul_(0.9995).add_(parameter, alpha=1 - 0.9995)
        loss.item()

    def random_loss(self, noise: Tensor, dropped: Tensor) -> Tensor:
        """Return the loss at random times, with the null condition in rows `dropped` [B]."""
        return self.loss(noise, self.times(1)[0], self.net.ctx_embedder.dropped(self.condition, dropped))

    def times(self, count: int) -> Tensor:
        """Return logit-normal times [count, B]."""
        normal = torch.randn(count, len(self.latents), device=self.latents.device)
        return torch.sigmoid(self.time_mean + normal)

    def noised(self, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return x_t and its velocity, [B, C, h, w] each."""
        at = t[:, None, None, None]
        x = (1 - at) * self.latents + at * noise
        return x, (x - self.latents) / at.clamp(min=0.05)

    def run(self, network: Callable[..., Tensor], *inputs: object) -> Tensor:
        """Run the network under autocast. Each call has its own, because autocast keeps the bf16 weights of a call
        without gradient for those that follow.
        """
        with torch.autocast(self.latents.device.type, torch.bfloat16, enabled=self.bf16):
            return network(*inputs)

    def loss(self, noise: Tensor, t: Tensor, condition: Tensor | Captions) -> Tensor:
        """Return the mean squared error of the velocity at given noise, times and conditions."""
        x, target = self.noised(noise, t)
        return (self.run(self.net, x, t, condition).float() - target).square().mean()


class MeanFlowLoop(PlainLoop):
    """Steps of MeanFlow (arXiv 2505.13447) with du/dt in every step, and guidance in the target.

    The network has two times and explicit attention. One call of `torch.func.jvp` gives u and du/dt.
    """

    def compile(self) -> None:
        """Compile `torch.func.jvp` and the network in it as a whole: the compiler skips blocks inside of it."""
        self.jvp = torch.compile(self.jvp)  # type: ignore[method-assign]

    def random_loss(self, noise: Tensor, dropped: Tensor) -> Tensor:
        r, t = self.times(2).sort(dim=0).values
        return self.mean_flow_loss(noise, t, r, dropped)

    def mean_flow_loss(self, noise: Tensor, t: Tensor, r: Tensor, dropped: Tensor) -> Tensor:
        """Return the adaptively weighted loss at given noise, times and rows [B] with a dropped condition."""
        x, velocity = self.noised(noise, t)
        condition = self.net.ctx_embedder.dropped(self.condition, dropped)
        null = self.net.ctx_embedder.dropped(self.condition, torch.ones_like(dropped))
        with torch.no_grad():
            conditional, unconditional = (self.run(self.net, x, t, each, t).float() for each in (condition, null))
        guided = velocity + KAPPA * (conditional - unconditional)
        guided = torch.where(dropped[:, None, None, None], velocity, guided)
        u, du_dt = self.run(self.jvp, x, t, r, condition, guided)
        predicted = u.float() + (t - r)[:, None, None, None] * du_dt.detach().float()
        error = (predicted - guided).square().flatten(1).sum(dim=1)
        return (error / (error.detach() + 0.01)).mean()

    def jvp(self, x: Tensor, t: Tensor, r: Tensor, condition: Tensor | Captions, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return u(x, t, r) and its derivative along (v, 1, 0)."""
        u, du_dt = torch.func.jvp(lambda x, t: self.net(x, t, condition, r), (x, t), (v, torch.ones_like(t)))
        return u, du_dt
