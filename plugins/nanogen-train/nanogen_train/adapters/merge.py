"""Merge a trained adapter into the weights of its backbone."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve
from torch import nn

from nanogen_core.config import CONFIG
from nanogen_core.errors import ConfigError
from nanogen_core.pipeline import Pipeline
from nanogen_train.adapters.base import has_adapter
from nanogen_train.trainer import run_folder


def merge_run(run: Path, output: Path) -> Path:
    """Save the pipeline of a run with its adapter merged into the weights. Returns the folder `output`.

    Raises:
        ConfigError: The run has no adapter, or the adapter's type cannot be merged.
        TrainingError: `output` is a file, or contains a run or a pipeline.
    """
    run_folder.refuse_occupied(output)
    pipeline = Pipeline.load(run)
    if not has_adapter(pipeline.config.as_dict()):
        raise ConfigError(
            f"{run} was trained without an adapter ({CONFIG} has no train.adapter), so there is nothing to merge. Use"
            " it as it is."
        )
    return merged(pipeline).save(output)


def merged(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline that gives the same outputs without an adapter. Changes the backbone of `pipeline` in place."""
    merge(pipeline.backbone)
    train = evolve(pipeline.config.sections["train"], adapter=None)
    config = evolve(pipeline.config, sections={**pipeline.config.sections, "train": train})
    return Pipeline(config, pipeline.parts)


def merge(backbone: nn.Module) -> None:
    """Add the adapter of a backbone to its weights and remove the adapter's layers, in place.

    Raises:
        ConfigError: The type of adapter cannot be merged.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    for path, layer in list(backbone.named_modules()):
        parent, _, name = path.rpartition(".")
        try:
            if isinstance(layer, AuxiliaryTrainingWrapper):
                plain = layer.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)
            elif isinstance(layer, BaseTunerLayer):
                layer.merge()
                plain = layer.get_base_layer()
            else:
                continue
        except (NotImplementedError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"train.adapter: peft cannot merge this type of adapter ({error}). Use the run unmerged, with peft."
                " train.init cannot use it."
            ) from error
        setattr(backbone.get_submodule(parent), name, plain)
    del backbone.peft_config
