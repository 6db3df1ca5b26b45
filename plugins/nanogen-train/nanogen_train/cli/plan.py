"""Command `nanogen plan`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from nanogen_core.cli.options import FEW, Number, overrides
from nanogen_core.validators import between, positive

if TYPE_CHECKING:
    from nanogen_train.planning.hardware import GPU
    from nanogen_train.planning.plan import CostEstimate


@click.command()
@click.argument("config")
@click.option("--gpus", type=FEW, default=1, show_default=True, help="Number of GPUs.")
@click.option("--gpu", "name", default="h100", show_default=True, help="a100-40, a100, h100, h200, l40s or rtx4090.")
@click.option("--memory", type=Number(float, positive), help="GiB per GPU; overrides the table.")
@click.option("--tflops", type=Number(float, positive), help="Dense bf16 TFLOP/s; overrides the table.")
@click.option(
    "--utilisation",
    type=Number(float, between(0, 1, above=True)),
    default=0.4,
    show_default=True,
    help="MFU, in (0, 1].",
)
@click.option("--link", type=Number(float, positive), default=50.0, show_default=True, help="GB/s sent per GPU.")
@click.option("--classes", type=FEW, default=1000, show_default=True, help="Number of classes if the data is absent.")
@click.option(
    "--caption-lengths",
    "lengths",
    metavar="LENGTHS",
    help="Tokens of captions: a range (20-256) or a sample (40,40,77). Counts FLOPs without the padding that training"
    " removes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@overrides
def plan(
    config: str,
    gpus: int,
    name: str,
    memory: float | None,
    tflops: float | None,
    utilisation: float,
    link: float,
    classes: int,
    lengths: str | None,
    as_json: bool,
    settings: tuple[str, ...],
) -> None:
    """Estimate what training CONFIG needs: memory, FLOPs, days and data rate. Loads and trains nothing.

    Memory and FLOPs are counted on one step with fake tensors. Activations are those of one micro-batch. Days follow
    from the GPU's peak rate, the utilisation and the link.
    Excludes auxiliary losses, the tokenizer and the text encoder, as if latents and encodings were precomputed.
    """
    from nanogen_core.cli.options import resolved

    configuration = resolved(config, settings)
    from nanogen_train.planning.caption_lengths import CaptionLengths
    from nanogen_train.planning.cost import cost_of
    from nanogen_train.planning.plan import Setting, plan_for

    setting = Setting(gpus=gpus, gpu=_gpu(name, memory, tflops), utilisation=utilisation, link=link)
    train = configuration.sections["train"]
    distribution = None if lengths is None else CaptionLengths.parse(lengths)
    cost = cost_of(configuration, classes=classes, by_length=distribution is not None)
    captions = max(1, train.batch_size // gpus // train.grad_accum_steps)
    flops = None if distribution is None else cost.mean_flops(distribution, captions)
    parts = train.grad_accum_steps
    estimate = plan_for(
        cost, setting, batch_size=train.batch_size, steps=train.steps, flops=flops, grad_accum_steps=parts
    )
    click.echo(_json(estimate) if as_json else _text(estimate))


def _gpu(name: str, memory: float | None, tflops: float | None) -> GPU:
    from attrs import evolve

    from nanogen_train.planning.hardware import gpu_of

    overridden = {key: value for key, value in {"memory": memory, "tflops": tflops}.items() if value is not None}
    return evolve(gpu_of(name), **overridden)


def _json(plan: CostEstimate) -> str:
    from attrs import asdict

    memory = [{**asdict(entry), "total": entry.total, "fits": entry.strategy in plan.fits} for entry in plan.memory]
    return json.dumps({**plan.figures, "memory": memory, "first_limit": plan.first_limit}, indent=2)


def _text(plan: CostEstimate) -> str:
    from nanogen_files.errors import counted
    from nanogen_train.planning.units import BYTES, DAYS, FLOPS, SECONDS, quantity

    f = plan.figures
    lines = [
        f"{plan.cost.parameters / 1e6:.1f}M parameters, latent {'x'.join(map(str, plan.cost.latent.shape))},"
        f" {plan.cost.tokens} image tokens",
        f"{quantity(f['flops_per_image'], FLOPS)} per image, {quantity(f['flops_per_step'], FLOPS)} per step of"
        f" {counted(plan.batch_size, 'image')}",
        *_padding(plan),
        f"{counted(plan.setting.gpus, 'GPU')}, {counted(int(f['images_per_gpu']), 'image')} per GPU{_parts(plan)}:"
        f" {quantity(plan.step_seconds, SECONDS)} per step,"
        f" {quantity(f['days'], DAYS)} for {counted(plan.steps, 'step')}",
        f"{f['images_per_second']:.0f} images/s, {f['tokens_per_second']:.3g} tokens/s:"
        f" {f['jpeg_bytes_per_second'] / 1e6:.1f} MB/s of JPEG, or {f['latent_bytes_per_second'] / 1e6:.1f} MB/s of"
        " latents",
        "",
        f"{'memory per GPU':22}{'weights':>13}{'activations':>13}{'total':>13}",
    ]
    for entry in plan.memory:
        columns = [f"{quantity(value, BYTES):>13}" for value in (entry.weights, entry.activations, entry.total)]
        verdict = "fits" if entry.strategy in plan.fits else f"more than {plan.setting.gpu.memory:g} GiB"
        lines.append(f"{entry.strategy:22}{''.join(columns)}  {verdict}")
    return "\n".join([*lines, "", f"First limit: {plan.first_limit}"])


def _parts(plan: CostEstimate) -> str:
    """Return the number and size of the micro-batches, if there are several."""
    from nanogen_files.errors import counted

    parts = plan.batch_size // plan.setting.gpus // plan.micro_batch
    return f" in {parts} micro-batches of {counted(plan.micro_batch, 'image')}" if parts > 1 else ""


def _padding(plan: CostEstimate) -> list[str]:
    """Return the FLOPs with full padding, if the estimate has less."""
    if not plan.cost.flops_by_length:
        return []
    from nanogen_train.planning.units import FLOPS, quantity

    return [f"{quantity(plan.cost.flops, FLOPS)} per image if every caption had {plan.cost.longest} tokens"]
