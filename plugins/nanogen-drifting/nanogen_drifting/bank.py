"""Memory of real latents (arXiv 2602.04770, section A.8)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Bank(nn.Module):
    """A ring buffer of latents for each of several groups. All state is in module buffers, so checkpoints contain it.

    Args:
        groups: Number of groups, such as labels.
        size: Capacity of each group, in latents. In a full group, a new latent replaces the oldest.
        shape: Shape of a latent.
        key_width: Width of a key that is stored with each latent; 0 for none.
    """

    latents: Tensor  # [groups, size, C, h, w]
    keys: Tensor  # [groups, size, key_width]
    written: Tensor  # [groups] int64: latents that were pushed so far

    def __init__(self, groups: int, size: int, shape: Sequence[int], key_width: int = 0):
        super().__init__()
        self.size = size
        self.register_buffer("latents", torch.zeros(groups, size, *shape))
        self.register_buffer("keys", torch.zeros(groups, size, key_width))
        self.register_buffer("written", torch.zeros(groups, dtype=torch.int64))

    def count(self, groups: Tensor) -> Tensor:
        """Return the number of latents [B] in each of the groups [B]."""
        return self.written[groups].clamp(max=self.size)

    @torch.no_grad()
    def push(self, latents: Tensor, groups: Tensor, keys: Tensor | None = None) -> None:
        """Add latents [B, C, h, w] to their groups [B], in order, with their keys [B, key_width]."""
        same = groups[:, None] == groups[None]  # [B, B]
        earlier = same.tril(-1).sum(dim=1)  # number of earlier rows of the same group
        position = (self.written[groups] + earlier) % self.size
        kept = same.triu(1).sum(dim=1) < self.size  # later rows would overwrite the others
        self.written.index_add_(0, groups, torch.ones_like(groups))
        rows, columns = groups[kept], position[kept]
        self.latents[rows, columns] = latents[kept].to(self.latents.dtype)
        if keys is not None:
            self.keys[rows, columns] = keys[kept].to(self.keys.dtype)

    def draw(self, groups: Tensor, priority: Tensor, count: int) -> Tensor:
        """Select the latents with the smallest `priority` in the group of each row. Return their indices [B, count].

        Indices repeat if the group has fewer than `count` latents, and are 0 if it is empty.

        Args:
            groups: Groups [B].
            priority: Numbers [B, size], one for each place in the group. Uniform random numbers select a random subset.
            count: Number of indices for each row.
        """
        available = self.count(groups)[:, None]  # [B, 1]
        slots = torch.arange(self.size, device=priority.device)
        order = priority.masked_fill(slots >= available, torch.inf).argsort(dim=1, stable=True)
        turns = torch.arange(count, device=priority.device) % available.clamp(min=1)  # [B, count]
        return order.gather(1, turns)

    def take(self, groups: Tensor, indices: Tensor, default: Tensor) -> Tensor:
        """Return the latents [B, K, C, h, w] at the indices [B, K] in the groups [B].

        Rows of an empty group are `default` [B, C, h, w].
        """
        known = (self.count(groups) > 0)[:, None, None, None, None]
        return torch.where(known, self.latents[groups[:, None], indices], default[:, None])
