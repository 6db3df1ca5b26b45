"""Training loop, optimizers, EMA, checkpoints, DDP and FSDP2."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_train.distributed.processes import gather_rows
    from nanogen_train.init.report import InitReport
    from nanogen_train.init.start import start_from
    from nanogen_train.optim.optimizers import AdamW, Muon
    from nanogen_train.optim.schedules import Constant, ConstantLinear, Cosine
    from nanogen_train.optim.settings import AdamWConfig, ConstantConfig, ConstantLinearConfig, CosineConfig, MuonConfig
    from nanogen_train.protocols import Auxiliary, Snapshotting, Stage
    from nanogen_train.settings import TrainConfig
    from nanogen_train.stages.diffusion import Diffusion
    from nanogen_train.stages.diffusion_settings import DiffusionConfig
    from nanogen_train.trainer.loop import Run

__all__ = [
    "AdamW",
    "AdamWConfig",
    "Auxiliary",
    "Constant",
    "ConstantConfig",
    "ConstantLinear",
    "ConstantLinearConfig",
    "Cosine",
    "CosineConfig",
    "Diffusion",
    "DiffusionConfig",
    "InitReport",
    "Muon",
    "MuonConfig",
    "Run",
    "Snapshotting",
    "Stage",
    "TrainConfig",
    "gather_rows",
    "start_from",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AdamW": "optim.optimizers",
        "AdamWConfig": "optim.settings",
        "Auxiliary": "protocols",
        "Constant": "optim.schedules",
        "ConstantConfig": "optim.settings",
        "ConstantLinear": "optim.schedules",
        "ConstantLinearConfig": "optim.settings",
        "Cosine": "optim.schedules",
        "CosineConfig": "optim.settings",
        "Diffusion": "stages.diffusion",
        "DiffusionConfig": "stages.diffusion_settings",
        "InitReport": "init.report",
        "Muon": "optim.optimizers",
        "MuonConfig": "optim.settings",
        "Run": "trainer.loop",
        "Snapshotting": "protocols",
        "Stage": "protocols",
        "TrainConfig": "settings",
        "gather_rows": "distributed.processes",
        "start_from": "init.start",
    },
)
