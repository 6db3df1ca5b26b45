"""Device, precision, distribution strategy and trackers of a run, through accelerate."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState
from accelerate.utils import ProjectConfiguration
from torch import nn

from nanogen_core.errors import TrainingError
from nanogen_data import process_group
from nanogen_files.tf32 import set_tf32
from nanogen_train.distributed.blocks import COMPILERS, apply_activation_checkpointing
from nanogen_train.distributed.strategy import STRATEGIES, Strategy
from nanogen_train.logging import trackers
from nanogen_train.protocols import Stage
from nanogen_train.settings import TrainConfig
from nanogen_train.trainer import float8, precision
from nanogen_train.trainer.step import TrainStep, is_trained

MAX_WORKERS = 8  # by default; more than this rarely read faster
UNSUPPORTED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


class Engine:
    """Accelerator with the run's precision, strategy and trackers.

    Args:
        settings: Settings of the training loop.
        folder: Folder of the run.

    Raises:
        ConfigError: A tracker is unknown or not installed, or float8 cannot be used with this precision or device.
        TrainingError: The launcher is configured for an unsupported distribution method, or fp16 is used with FSDP.
    """

    def __init__(self, settings: TrainConfig, folder: Path):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = precision.choose(settings.precision, device)
        set_tf32(settings.tf32)
        if settings.float8 != "none":
            float8.check(self.precision, device)
        AcceleratorState._reset_state()  # otherwise the first run's precision applies to all runs of the process
        self.accelerator = Accelerator(
            mixed_precision=precision.ACCELERATE_NAMES[self.precision],
            cpu=device.type == "cpu",
            log_with=list(trackers.chosen(settings.trackers)) or None,
            project_config=ProjectConfiguration(str(folder), logging_dir=str(folder / trackers.FOLDER)),
        )
        if self.accelerator.distributed_type in UNSUPPORTED:
            raise TrainingError(
                f"accelerate's own {self.accelerator.distributed_type.value} is not supported. Start with `accelerate"
                " launch --multi_gpu`. To shard weights, also set train.strategy to fsdp."
            )
        process_group.destroy_at_exit()
        self.settings = settings
        self.num_workers = _workers(device) if settings.num_workers is None else settings.num_workers
        self.trackers = trackers.Trackers(self.accelerator)
        self.strategy: Strategy = STRATEGIES[settings.strategy](self.accelerator, settings)

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def is_main(self) -> bool:
        """Whether this is the first process."""
        return bool(self.accelerator.is_main_process)

    def wrap(self, step: TrainStep, stage: Stage) -> nn.Module:
        """Return the wrapped training step. First applies float8, activation checkpointing and torch.compile."""
        if self.settings.float8 != "none":
            float8.apply_float8(filter(is_trained, stage.nets.values()), self.settings.float8)
        for net in stage.nets.values():
            if self.settings.recomputed_every and is_trained(net):
                apply_activation_checkpointing(net, self.settings.recomputed_every)
            COMPILERS[self.settings.compile](net)
        return self.strategy.wrap(step, stage)


def _workers(device: torch.device) -> int:
    """Return the default number of data workers of this process: none on a CPU, which they would take from training."""
    processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    cores = (os.cpu_count() or 1) // processes_here
    return min(MAX_WORKERS, cores - 1) if device.type == "cuda" and cores > 1 else 0
