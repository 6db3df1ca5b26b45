"""Plugin manifest of nanogen-train. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Kind

NANOGEN_API = 1


@hookimpl
def nanogen_kinds() -> list[Kind]:
    return [
        Kind(name="stage", place="slot", protocol="nanogen_train.protocols:Stage", required=True, default="diffusion"),
        Kind(
            name="optimizer",
            place="slot",
            protocol="nanogen_train.protocols:Optimizer",
            required=True,
            default="adamw",
        ),
        Kind(
            name="schedule",
            place="slot",
            protocol="nanogen_train.protocols:Schedule",
            required=True,
            default="constant-linear",
        ),
        Kind(name="auxiliary", place="group", protocol="nanogen_train.protocols:Auxiliary", keyword="auxiliaries"),
    ]


@hookimpl
def nanogen_sections() -> dict[str, str]:
    return {"train": "nanogen_train.settings:TrainConfig"}


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {
        "ema": ("nanogen_train.cli.ema:ema", "Compute EMA weights of given widths from a run's snapshots."),
        "merge": ("nanogen_train.cli.merge:merge", "Merge the adapter of a run into its weights."),
        "plan": ("nanogen_train.cli.plan:plan", "Estimate memory, FLOPs, days and data rate of a training on GPUs."),
        "runs": (
            "nanogen_train.cli.runs:runs",
            "List runs and their state: running, finished, stopped, failed, damaged.",
        ),
        "train": ("nanogen_train.cli.train:train", "Train a configuration."),
    }


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="stage",
            name="diffusion",
            target="nanogen_train.stages.diffusion:Diffusion",
            config="nanogen_train.stages.diffusion_settings:DiffusionConfig",
            summary="trains the backbone on the tokenizer's latents",
        ),
        Component(
            kind="optimizer",
            name="adamw",
            target="nanogen_train.optim.optimizers:AdamW",
            config="nanogen_train.optim.settings:AdamWConfig",
            summary="AdamW (arXiv 1711.05101), fused if the device supports it",
        ),
        Component(
            kind="optimizer",
            name="muon",
            target="nanogen_train.optim.optimizers:Muon",
            config="nanogen_train.optim.settings:MuonConfig",
            summary="Muon for matrices inside blocks, AdamW for the rest",
        ),
        Component(
            kind="schedule",
            name="constant",
            target="nanogen_train.optim.schedules:Constant",
            config="nanogen_train.optim.settings:ConstantConfig",
            summary="constant learning rate after a warm-up",
        ),
        Component(
            kind="schedule",
            name="cosine",
            target="nanogen_train.optim.schedules:Cosine",
            config="nanogen_train.optim.settings:CosineConfig",
            summary="half a cosine to the final learning rate",
        ),
        Component(
            kind="schedule",
            name="constant-linear",
            target="nanogen_train.optim.schedules:ConstantLinear",
            config="nanogen_train.optim.settings:ConstantLinearConfig",
            summary="constant learning rate, then linear to the final value",
        ),
    ]
