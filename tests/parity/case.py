"""A recorded case: `NAME.safetensors` with `ckpt.*`, `in.*` and `out.*`, and `NAME.json` with the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from attrs import frozen
from safetensors.torch import load_file
from torch import Tensor, nn

from nanogen_core.errors import DataError
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_dit.published import Published, read_published
from nanogen_dit.published.layout import Network
from nanogen_files import storage
from nanogen_files.weights import refuse_nonfinite


@frozen
class Case:
    """A recorded case: its network, inputs and outputs."""

    name: str
    config: Mapping[str, Any]  # the JSON
    published: Published
    network: Network
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: str | Path) -> Case:
        """Read the case of a JSON file. Raises DataError if it or its tensors cannot be read."""
        path = Path(path)
        config = storage.read_json(path)
        if not isinstance(config, Mapping) or not isinstance(config.get("config"), Mapping):
            raise DataError(f"{path} does not describe a case: `config` must be an object.")
        beside = path.with_suffix(".safetensors")
        published = read_published(beside, config)
        tensors = load_file(beside)
        refuse_nonfinite(tensors, beside)
        return cls(path.stem, config, published, published.build(), _under("in.", tensors), _under("out.", tensors))

    @property
    def state(self) -> State:
        """x_t, with the class token, if any, at the same time."""
        t = self.inputs["t"][:, None]
        if "cls_clean" not in self.inputs:
            return State(self.inputs["x_t"])
        return State(self.inputs["x_t"], (1 - t) * self.inputs["cls_clean"] + t * self.inputs["cls_noise"])

    @property
    def times(self) -> Times:
        return Times(self.inputs["t"], self.inputs.get("r", self.inputs["t"]))

    @property
    def clean(self) -> State:
        return State(self.inputs["x1"], self.inputs.get("cls_clean"))

    @property
    def noise(self) -> State:
        return State(self.inputs["noise"], self.inputs.get("cls_noise"))

    @property
    def repa_intermediates(self) -> tuple[str, ...]:
        """Names of the block outputs that REPA aligns. Empty without a projector."""
        if not self.published.beside:
            return ()
        name = f"block.{self.config['config']['repa_layer_depth']}"
        return (f"{name}.cls_token", name) if self.published.architecture.latent.cls_token_width else (name,)

    @property
    def projector(self) -> nn.Linear | None:
        """REPA's projector. None if the checkpoint has none."""
        if not self.published.beside:
            return None
        tensors = {name.removeprefix("repa_projector."): x for name, x in self.published.beside.items()}
        out, width = tensors["weight"].shape
        projector = nn.Linear(width, out)
        projector.load_state_dict(tensors)
        return projector

    def repa_tokens(self, projector: nn.Module, prediction: Prediction) -> Tensor:
        """Return the projected class token, if any, and image tokens: [B, (1) + N, z]."""
        features = [prediction.features[name] for name in self.repa_intermediates]
        rows = torch.cat([x if x.ndim == 3 else x[:, None] for x in features], dim=1)  # [B, (1) + N, width]
        projected: Tensor = projector(rows)
        return projected

    @property
    def condition(self) -> Condition:
        return self._condition("context", "attn_mask")

    @property
    def null(self) -> Condition:
        return self._condition("null_context", "null_attn_mask")

    def _condition(self, name: str, mask_name: str) -> Condition:
        """Class numbers [B] as one-hot tokens, or encoder states [B, L, D] with their mask."""
        context, mask = self.inputs[name], self.inputs.get(mask_name)
        if context.ndim == 1:
            context = F.one_hot(context, self.published.architecture.condition.width).float()[:, None]
        return Condition(context, None if mask is None else mask.bool())


def cases_in(folder: str | Path) -> list[Path]:
    """Return the JSON files of the cases in a folder. Raises DataError if there is none."""
    found = sorted(path for path in Path(folder).glob("*.json") if path.with_suffix(".safetensors").exists())
    if not found:
        raise DataError(f"There is no parity case (NAME.json with NAME.safetensors) in {folder}.")
    return found


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
