"""What a run borrows from accelerate: devices, precision, wrapping, trackers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs

from nanogen_core.training import precision
from nanogen_core.training.settings import TrainConfig

TRACKER = "tensorboard"


class Engine:
    """An Accelerator with the run's precision, and TensorBoard beside the log where it is installed."""

    def __init__(self, settings: TrainConfig, folder: Path):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = precision.choose(settings.precision, device)
        self._tracked = find_spec(TRACKER) is not None
        self.accelerator = Accelerator(
            mixed_precision=precision.ACCELERATE_NAMES[self.precision],
            cpu=device.type == "cpu",
            log_with=TRACKER if self._tracked else None,
            project_dir=folder,
        )

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    @property
    def is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def expect_idle_nets(self) -> None:
        """For a stage whose phases move different nets: DDP must not wait for gradients of those that stand still."""
        self.accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)

    def start_trackers(self) -> None:
        if self._tracked:
            self.accelerator.init_trackers(TRACKER)

    def track(self, step: int, scalars: Mapping[str, float]) -> None:
        if self._tracked:
            self.accelerator.log(dict(scalars), step=step)

    def close(self) -> None:
        if self._tracked:
            self.accelerator.end_training()
