"""TREAD: token routing (Krause et al., arXiv 2501.04765)."""

from __future__ import annotations

from collections.abc import Set
from functools import partial
from typing import ClassVar

from torch import Tensor

from nanogen_core.tensors import Condition, State, Times
from nanogen_dit.ddt import DDT
from nanogen_dit.encoder import Encoded, Encoder
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_routing.encoder import RoutedEncoder


class TreadEncoder(RoutedEncoder):
    """Encoder in which random image tokens skip the route in training, and rejoin the sequence after it.

    All other tokens take the route: class token, times, guidance and condition. In evaluation mode every token takes
    it. This class adds no parameters to `Encoder`.
    """

    def forward(self, state: State, times: Times, condition: Condition, keep: Set[int | None] = frozenset()) -> Encoded:
        """Encode a state, as `Encoder` does."""
        embedded = self.embed(state, times, condition)
        outputs: dict[int, Tensor] = {}
        run = partial(self.run_blocks, embedded=embedded, keep=keep, outputs=outputs)
        x = run(embedded.tokens, range(1, self.route.start))
        x = run(x, self.route, kept=self.kept(x))
        x = run(x, range(self.route.stop, self.trunk.depth + 1))
        return Encoded(x[:, : self.geometry.length], embedded.time, outputs)


class TreadLightningDiT(LightningDiT):
    """LightningDiT with the route of TREAD."""

    encoder_type: ClassVar[type[Encoder]] = TreadEncoder


class TreadDDT(DDT):
    """DDT with the route of TREAD in its encoder. The decoder processes all tokens."""

    encoder_type: ClassVar[type[Encoder]] = TreadEncoder
