"""The averages along power functions that a stage keeps beside its constant one, in step with its network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from nanogen_train.ema import power_function as power_ema
from nanogen_train.ema.ema import EMA
from nanogen_train.stages.diffusion_settings import SnapshotConfig


class PowerFunctionEMA:
    """`nets` has one average of `net` for each width of the configuration, by names that a ModuleDict takes; it belongs
    into the stage's nets, and so into checkpoints. None for a configuration: no averages, and nothing is done.

    `last` is the run's last step.
    """

    def __init__(self, config: SnapshotConfig | None, net: nn.Module, last: int):
        self.widths = {} if config is None else {_name(width): width for width in config.sigma_rel}
        self._averages = {name: EMA(net) for name in self.widths}
        self.nets = {name: average.net for name, average in self._averages.items()}
        self._gammas = {name: power_ema.gamma_of(width) for name, width in self.widths.items()}
        self._every, self._last = (config.every if config else 1), last

    def update(self, step: int) -> None:
        """After the optimiser's step 1, 2, ...: the first one's weights are taken as they are."""
        for name, average in self._averages.items():
            average.update(power_ema.decay(self._gammas[name], step))

    def due(self, step: int) -> dict[float, Mapping[str, Tensor]]:
        """The parameters of each average, by its width, if they are to be kept after this step."""
        if step % self._every and step != self._last:
            return {}
        return {width: dict(self.nets[name].named_parameters()) for name, width in self.widths.items()}


def _name(width: float) -> str:
    return f"power-{width!r}".replace(".", "_")
