"""The manifest of the core's own components: what belongs to no method. Loads no torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1


@hookimpl
def nanogen_components() -> list[Component]:
    return [
        Component(
            kind="sampler",
            name="euler",
            target="nanogen_core.sampling:Euler",
            config="nanogen_core.settings:SamplerConfig",
            summary="the objective's own step over a grid of times: Euler for flows, jumps for average velocities",
        ),
        Component(
            kind="sampler",
            name="heun",
            target="nanogen_core.sampling:Heun",
            config="nanogen_core.settings:SamplerConfig",
            needs={"objective": {"instantaneous-velocity"}},
            summary="second order: two evaluations a step, the last step Euler",
        ),
        Component(
            kind="guidance",
            name="cfg",
            target="nanogen_core.guidance:ClassifierFree",
            config="nanogen_core.settings:ClassifierFreeConfig",
            summary="classifier-free guidance inside an interval of times (arXiv 2207.12598, 2404.07724)",
        ),
        Component(
            kind="stage",
            name="diffusion",
            target="nanogen_core.training.diffusion:Diffusion",
            config="nanogen_core.training.diffusion_settings:DiffusionConfig",
            summary="trains the backbone on the tokenizer's latents",
        ),
        Component(
            kind="optimizer",
            name="adamw",
            target="nanogen_core.training.optimizers:AdamW",
            config="nanogen_core.training.optimizer_settings:AdamWConfig",
            summary="AdamW (arXiv 1711.05101), fused where the device has it",
        ),
        Component(
            kind="optimizer",
            name="muon",
            target="nanogen_core.training.optimizers:Muon",
            config="nanogen_core.training.optimizer_settings:MuonConfig",
            summary="Muon for the matrices inside blocks, AdamW for the rest",
        ),
        Component(
            kind="schedule",
            name="constant",
            target="nanogen_core.training.schedules:Constant",
            config="nanogen_core.training.optimizer_settings:ConstantConfig",
            summary="the learning rate constant after its warm-up",
        ),
        Component(
            kind="schedule",
            name="cosine",
            target="nanogen_core.training.schedules:Cosine",
            config="nanogen_core.training.optimizer_settings:CosineConfig",
            summary="half a cosine down to the final learning rate",
        ),
        Component(
            kind="schedule",
            name="constant-linear",
            target="nanogen_core.training.schedules:ConstantLinear",
            config="nanogen_core.training.optimizer_settings:ConstantLinearConfig",
            summary="the learning rate constant, then linear to its final value",
        ),
    ]
