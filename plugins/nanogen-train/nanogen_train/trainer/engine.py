"""What a run borrows from accelerate: devices, precision, wrapping, trackers."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState
from accelerate.utils import ProjectConfiguration
from torch import nn

from nanogen_core.errors import TrainingError
from nanogen_data import process_group
from nanogen_train.distributed.blocks import apply_activation_checkpointing, compile_blocks
from nanogen_train.distributed.strategy import STRATEGIES, Strategy
from nanogen_train.logging import trackers
from nanogen_train.protocols import Stage
from nanogen_train.settings import TrainConfig
from nanogen_train.trainer import precision
from nanogen_train.trainer.step import TrainStep, is_trained

FOREIGN = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


class Engine:
    """An Accelerator with the run's precision, strategy and trackers. Raises ConfigError for one that is not there."""

    def __init__(self, settings: TrainConfig, folder: Path):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = precision.choose(settings.precision, device)
        AcceleratorState._reset_state()  # or the precision of a process's first run would be that of all
        self.accelerator = Accelerator(
            mixed_precision=precision.ACCELERATE_NAMES[self.precision],
            cpu=device.type == "cpu",
            log_with=list(trackers.chosen(settings.trackers)) or None,
            project_config=ProjectConfiguration(str(folder), logging_dir=str(folder / trackers.FOLDER)),
        )
        if self.accelerator.distributed_type in FOREIGN:
            raise TrainingError(
                f"The launcher was set up for {self.accelerator.distributed_type.value}: leave that out of accelerate's"
                " configuration (accelerate launch --multi_gpu), and set train.strategy to fsdp to share out weights."
            )
        process_group.destroy_at_exit()
        self.settings = settings
        self.trackers = trackers.Trackers(self.accelerator)
        self.strategy: Strategy = STRATEGIES[settings.strategy](self.accelerator, settings)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    @property
    def is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def prepared(self, stage: Stage) -> nn.Module:
        """The training step of a stage as it is called, with its networks as the settings want them."""
        for net in stage.nets.values():
            if self.settings.activation_checkpointing and is_trained(net):
                apply_activation_checkpointing(net)
            if self.settings.compile:
                compile_blocks(net)
        return self.strategy.wrap(TrainStep(stage), stage)
