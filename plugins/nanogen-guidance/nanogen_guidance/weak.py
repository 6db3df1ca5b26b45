"""The weaker model of autoguidance. It is loaded on first use, and must match the guided pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import frozen

from nanogen_core.config import CONFIG
from nanogen_core.errors import DataError, Incompatible
from nanogen_core.eval_mode import modules_of
from nanogen_core.named_components import options_of
from nanogen_core.pipeline import FACTS, Pipeline
from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.sampling import velocity_field
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_data import contents
from nanogen_files.reading import user_path
from nanogen_samplers.path import same_path

OPTION = "guidance.autoguidance.pipeline"


@frozen(kw_only=True)
class Parts:
    """Parts of a pipeline that determine the meaning of its states and conditions."""

    objective: Objective
    latent: LatentSpec
    condition: ConditionSpec
    classes: Sequence[str]
    tokenizer: Any
    conditioner: Any
    encoder: Any = None


class WeakModel:
    """Backbone and objective of a saved pipeline. They are evaluated at states and conditions of the guided pipeline.

    Args:
        folder: Folder of the weaker pipeline.
        main: Parts of the guided pipeline.
    """

    def __init__(self, folder: str, main: Parts):
        self.folder = user_path(folder)
        self.main = main
        self._model: tuple[Any, torch.nn.Module] | None = None  # objective and backbone
        self._device: torch.device | None = None

    def files(self) -> list[Path]:
        """Return the files of the saved pipeline. Raises DataError if the folder has none."""
        facts = [self.folder / CONFIG, self.folder / FACTS]
        if not all(file.is_file() for file in facts):
            raise DataError(
                f"{OPTION}: there is no saved pipeline in {self.folder} ({CONFIG} or {FACTS} is missing). Give the"
                " folder of a run, or one that Pipeline.save wrote."
            )
        return [*facts, *sorted(self.folder.glob("*.safetensors"))]

    def velocity_fn(self, device: torch.device) -> VelocityFn:
        """Return the velocity function of the weaker model on a device.

        Raises:
            DataError: The folder has no pipeline, or a damaged one.
            Incompatible: The latents, conditions, components or path differ from those of the guided pipeline.
        """
        if self._model is None:
            self._model = self._loaded()
        if device != self._device:
            for part in self._model:
                if callable(getattr(part, "to", None)):
                    part.to(device)
            self._device = device
        return velocity_field(*self._model)

    def _loaded(self) -> tuple[Any, torch.nn.Module]:
        self.files()
        pipeline = Pipeline.load(self.folder)
        if problem := next(self._problems(pipeline), None):
            raise Incompatible(
                f"{OPTION}: {self.folder} cannot guide this pipeline, because {problem}. Use a pipeline that"
                " was trained with the same configuration, except for a smaller backbone or fewer steps."
            )
        for part in (pipeline.objective, pipeline.backbone):
            for module in modules_of(part):
                module.eval().requires_grad_(False)
        return pipeline.objective, pipeline.backbone

    def _problems(self, pipeline: Pipeline) -> Iterator[str]:
        """Yield the differences that forbid guidance."""
        if pipeline.backbone is None:
            yield "it has no backbone"
        found: dict[str, Any] = {field.name: pipeline.parts.get(field.name) for field in attrs.fields(Parts)}
        main, weak = self.main, Parts(**found)
        for what, shape in {"latents": _latent_shape, "conditions": _condition_shape}.items():
            if shape(weak) != shape(main):
                yield f"its {what} are {shape(weak)}, those of this pipeline {shape(main)}"
        for name in ("tokenizer", "encoder"):
            if not _same(getattr(weak, name), getattr(main, name)):
                yield f"its {name} is another one, or has other options"
        for name in {"tokenizer", "conditioner"} & {*pipeline.learned}:
            if not _same_weights(getattr(weak, name), getattr(main, name)):
                yield f"its trained {name} has other weights"
        if type(weak.conditioner) is not type(main.conditioner):
            yield "its conditioner is another one"
        if main.encoder is None and tuple(weak.classes) != tuple(main.classes):
            yield "its class names are others, or have another order"
        if not same_path(weak.objective, main.objective):
            yield "its objective has another path from data to noise"


def _latent_shape(parts: Parts) -> str:
    token = parts.latent.cls_token_width
    return f"{list(parts.latent.shape)}{f' with a class token of width {token}' if token else ''}"


def _condition_shape(parts: Parts) -> str:
    spec = parts.condition
    return f"[{spec.length}, {spec.width}]{' with a mask' if spec.padded else ''}"


def _same(first: Any, second: Any) -> bool:
    """Return whether two components have the same class and options. A path stands for the content of its files."""
    return type(first) is type(second) and contents.options(options_of(first)) == contents.options(options_of(second))


def _same_weights(first: Any, second: Any) -> bool:
    states = [dict(part.state_dict()) if hasattr(part, "state_dict") else {} for part in (first, second)]
    if states[0].keys() != states[1].keys():
        return False
    return all(torch.equal(value.cpu(), states[1][name].cpu()) for name, value in states[0].items())
