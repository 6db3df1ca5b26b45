"""Manifest of the core: its kinds, commands, samplers and classifier-free guidance. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Kind

NANOGEN_API = 1


@hookimpl
def nanogen_kinds() -> list[Kind]:
    return [
        Kind(name="task", place="slot", protocol="nanogen_core.protocols:Task", required=True),
        Kind(name="dataset", place="slot", protocol="nanogen_core.protocols:Dataset", required=True),
        Kind(name="encoder", place="slot", protocol="nanogen_core.protocols:TextEncoder"),
        Kind(name="conditioner", place="slot", protocol="nanogen_core.protocols:Conditioner", required=True),
        Kind(name="tokenizer", place="slot", protocol="nanogen_core.protocols:Tokenizer", required=True),
        Kind(name="backbone", place="slot", protocol="nanogen_core.protocols:Backbone", module=True, required=True),
        Kind(name="objective", place="slot", protocol="nanogen_core.protocols:Objective", required=True),
        Kind(name="sampler", place="slot", protocol="nanogen_core.protocols:Sampler", required=True, default="euler"),
        Kind(name="guidance", place="group", protocol="nanogen_core.protocols:Guidance"),
    ]


@hookimpl
def nanogen_commands() -> dict[str, tuple[str, str]]:
    return {
        "config": ("nanogen_core.cli.config:config", "Show a resolved configuration, or compare two."),
        "plugins": ("nanogen_core.cli.plugins:plugins", "List the installed plugins, their components and methods."),
        "recipes": ("nanogen_core.cli.recipes:recipes", "List the published configurations of the installed plugins."),
        "sample": ("nanogen_core.cli.sample:sample", "Generate images with a saved pipeline or a run."),
    }


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="sampler",
            name="euler",
            target="nanogen_core.sampling:Euler",
            config="nanogen_core.settings:SamplerConfig",
            summary="first order: one step of the objective per interval (an Euler step for flow matching)",
        ),
        Component(
            kind="sampler",
            name="heun",
            target="nanogen_core.sampling:Heun",
            config="nanogen_core.settings:SamplerConfig",
            needs={"objective": {"instantaneous-velocity"}},
            summary="second order: two evaluations per step, except in the last (Euler)",
        ),
        Component(
            kind="guidance",
            name="cfg",
            target="nanogen_core.guidance:ClassifierFree",
            config="nanogen_core.settings:ClassifierFreeConfig",
            summary="classifier-free guidance in an interval of times (arXiv 2207.12598, 2404.07724)",
        ),
    ]
