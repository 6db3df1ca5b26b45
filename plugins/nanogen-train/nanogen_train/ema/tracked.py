"""Power-function EMAs that a stage keeps during training."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from nanogen_train.adapters.base import base_parameters
from nanogen_train.ema import power_function as power_ema
from nanogen_train.ema.ema import EMA
from nanogen_train.stages.diffusion_settings import SnapshotConfig


class PowerFunctionEMA:
    """Power-function EMAs of a network, one per width. Contains no EMA if `config` is None.

    `nets` contains the EMA networks by name; the stage adds them to its networks, so that checkpoints contain them.

    Args:
        config: Widths and period of snapshots, or None.
        net: The network to average.
        last_step: Last step of the run.
    """

    def __init__(self, config: SnapshotConfig | None, net: nn.Module, last_step: int):
        self.widths = {} if config is None else {_name(width): width for width in config.sigma_rel}
        self._emas = {name: EMA(net, base_parameters(net)) for name in self.widths}
        self.nets = {name: ema_.net for name, ema_ in self._emas.items()}
        self._gammas = {name: power_ema.gamma_of(width) for name, width in self.widths.items()}
        self._every, self._last_step = (config.every if config else 1), last_step

    def update(self, step: int) -> None:
        """Update the EMAs after an optimizer step, counted from 1. The first update copies the weights."""
        for name, ema_ in self._emas.items():
            ema_.update(power_ema.decay(self._gammas[name], step))

    def due(self, step: int) -> dict[float, Mapping[str, Tensor]]:
        """Return the parameters of each EMA by width if a snapshot is due after this step, otherwise an empty dict."""
        if step % self._every and step != self._last_step:
            return {}
        return {width: self._emas[name].averaged() for name, width in self.widths.items()}


def _name(width: float) -> str:
    return f"power-{width!r}".replace(".", "_")
