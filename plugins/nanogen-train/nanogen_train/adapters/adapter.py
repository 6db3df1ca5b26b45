"""Add the layers of an adapter to the backbone and save them in peft's format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_core.errors import TrainingError
from nanogen_files import storage
from nanogen_files.errors import counted
from nanogen_train.adapters.peft_layers import inject
from nanogen_train.init.report import PartReport
from nanogen_train.settings import TrainConfig

FOLDER = "adapter"
PREFIX = "base_model.model."  # of tensor names in peft's files
INFIXES = (".base_layer", ".modules_to_save.default", ".original_module")  # in names of an adapted network


class Adapter:
    """The trainable layers that peft adds to a backbone.

    Freezes the backbone's own weights, except those that options such as `modules_to_save` select.

    Args:
        backbone: The network to adapt, with its pretrained weights. Changed in place.
        settings: Settings of the training loop.
        seed: Seed of the initial weights of the layers.
    """

    def __init__(self, backbone: nn.Module, settings: TrainConfig, seed: int):
        self._backbone, self._settings = backbone, settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.config = inject(backbone, settings.adapter)

    def refuse_frozen(self, report: PartReport) -> None:
        """Raise TrainingError if the adapter freezes weights that `train.init` did not fully load."""
        trained = {_plain(name) for name, p in self._backbone.named_parameters() if p.requires_grad}
        parameters = {_plain(name) for name, _ in self._backbone.named_parameters()}
        frozen = [n for n in report.names("fresh", "zeroed", "grown") if n in parameters and n not in trained]
        if frozen:
            module = frozen[0].rpartition(".")[0]
            raise TrainingError(
                f"train.adapter: {self._settings.init} has no value, or only a part, for"
                f" {counted(len(frozen), 'parameter')} of the backbone, such as {frozen[0]!r}. The adapter would freeze"
                " such parameters untrained. To train their modules too, set an option of train.adapter such as"
                f" `modules_to_save: [{module}]`."
            )

    def save(self, run: Path, backbone: Mapping[str, Tensor]) -> None:
        """Write `RUN/adapter` in peft's format, which `peft.PeftModel.from_pretrained` loads.

        Args:
            run: Folder of the run.
            backbone: State dict of the adapted backbone, or of its EMA.
        """
        from peft import get_peft_model_state_dict

        tensors = get_peft_model_state_dict(self._backbone, state_dict=dict(backbone))
        values: dict[str, Any] = {**self.config.to_dict(), "base_model_name_or_path": self._settings.init}
        plain = {name: sorted(value) if isinstance(value, set) else value for name, value in values.items()}
        storage.write_tensors(
            run / FOLDER / "adapter_model.safetensors", {PREFIX + name: tensor for name, tensor in tensors.items()}
        )
        storage.write_json(run / FOLDER / "adapter_config.json", {**plain, "inference_mode": True})


def _plain(name: str) -> str:
    """Return the name that a parameter has without the adapter."""
    for infix in INFIXES:
        name = name.replace(infix, "")
    return name
