"""Estimate memory, time and the first bottleneck of a run from the cost per image and the number of GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from nanogen_core.validators import at_least, between, positive
from nanogen_data.loader import DataShard
from nanogen_files.errors import counted
from nanogen_train.planning.cost import Cost
from nanogen_train.planning.hardware import GPU
from nanogen_train.planning.units import SECONDS, quantity
from nanogen_train.trainer.step import micro_batch_size

GIB = 1024**3
FLOAT, HALF = 4, 2  # bytes
EMA_BYTES = FLOAT  # bytes of EMA weights, per parameter
BUCKET_BYTES = FLOAT  # bytes of DDP's gradient buckets, per parameter
GATHERED_BLOCKS = 2  # blocks that FSDP gathers at the same time: the current and the next one
RESERVE = 0.1  # share of the memory for CUDA and fragmentation
JPEG_BYTES = 110_000  # mean size of an ImageNet image


@frozen(kw_only=True)
class Setting:
    """The GPUs of a run.

    Args:
        gpus: Number of GPUs.
        gpu: The GPU type.
        utilisation: Share of the peak FLOP/s that training reaches (MFU), in (0, 1].
        link: GB/s that one GPU sends to the others.
    """

    gpus: int = field(validator=at_least(1, 1_000_000))
    gpu: GPU
    utilisation: float = field(default=0.4, validator=between(0, 1, above=True))
    link: float = field(default=50.0, validator=positive)


@frozen(kw_only=True)
class Memory:
    """Bytes on one GPU under a distribution strategy."""

    strategy: str
    weights: int  # including gradients, optimizer state, EMA and bf16 copies
    activations: int

    @property
    def total(self) -> int:
        """Weights and activations, in bytes."""
        return self.weights + self.activations


@frozen(kw_only=True)
class CostEstimate:
    """Estimated requirements of a training run. Memory is counted; times follow from peak rates."""

    cost: Cost
    flops: float  # per image, with captions padded to their batch's longest if lengths are given
    setting: Setting
    batch_size: int
    micro_batch: int  # images on one GPU at a time; memory is for them
    steps: int
    memory: tuple[Memory, ...]
    compute_seconds: float  # per step
    transfer_seconds: float  # per step's gradients under DDP, if nothing hid them
    fits: tuple[str, ...]  # strategies that fit, simplest first
    first_limit: str

    @property
    def step_seconds(self) -> float:
        """Seconds per step. Transfers overlap with the backward pass, which is about two thirds of the compute."""
        return max(self.compute_seconds, self.compute_seconds / 3 + self.transfer_seconds)

    @property
    def images_per_second(self) -> float:
        """Images per second of all GPUs."""
        return self.batch_size / self.step_seconds

    @property
    def figures(self) -> Mapping[str, float]:
        """The numbers that `nanogen plan --json` prints, by name."""
        cost, flops_rate = self.cost, self.images_per_second
        return {
            "gpus": self.setting.gpus,
            "images_per_gpu": self.batch_size // self.setting.gpus,
            "images_per_micro_batch": self.micro_batch,
            "parameters": cost.parameters,
            "flops_per_image": self.flops,
            "flops_per_image_padded": cost.flops,
            "flops_per_step": self.flops * self.batch_size,
            "compute_seconds_per_step": self.compute_seconds,
            "transfer_seconds_per_step": self.transfer_seconds,
            "days": self.step_seconds * self.steps / 86_400,
            "images_per_second": flops_rate,
            "tokens_per_second": flops_rate * cost.tokens,
            "jpeg_bytes_per_second": flops_rate * JPEG_BYTES,
            "latent_bytes_per_second": flops_rate * cost.latent.dimension * FLOAT,
        }


def plan_for(
    cost: Cost, setting: Setting, *, batch_size: int, steps: int, flops: float | None = None, grad_accum_steps: int = 1
) -> CostEstimate:
    """Return the estimate for a cost and a number of GPUs.

    Args:
        cost: Cost per image.
        setting: The GPUs.
        batch_size: Size of the global batch.
        steps: Steps of the run.
        flops: FLOPs per image; None for `cost.flops`. Memory is estimated for the longest captions in every case.
        grad_accum_steps: Micro-batches per GPU and step.

    Raises:
        TrainingError: The GPUs or the micro-batches cannot split the batch equally.
    """
    images = len(DataShard(0, setting.gpus).of(batch_size))
    flops = cost.flops if flops is None else flops
    micro_batch = micro_batch_size(images, grad_accum_steps)
    memory = tuple(_memory_by_strategy(cost, micro_batch, setting.gpus))
    available = setting.gpu.memory * GIB * (1 - RESERVE)
    flops_rate = setting.gpus * setting.gpu.tflops * 1e12 * setting.utilisation
    compute = flops * batch_size / flops_rate
    transfer = _transfer_seconds(cost, setting)
    fits = tuple(entry.strategy for entry in memory if entry.total <= available)
    return CostEstimate(
        cost=cost,
        flops=flops,
        setting=setting,
        batch_size=batch_size,
        micro_batch=micro_batch,
        steps=steps,
        memory=memory,
        compute_seconds=compute,
        transfer_seconds=transfer,
        fits=fits,
        first_limit=_memory_limit(fits, memory, available, micro_batch)
        or _network_limit(compute, transfer, images)
        or _strategy_limit(fits, micro_batch),
    )


def _memory_by_strategy(cost: Cost, images: int, gpus: int) -> list[Memory]:
    """Return the memory of DDP and FSDP2, without and with activation checkpointing."""
    bytes_per_parameter = FLOAT + FLOAT + EMA_BYTES + cost.state_bytes  # weights, gradients, EMA, optimizer
    replicated = int(cost.parameters * (bytes_per_parameter + (BUCKET_BYTES if gpus > 1 else 0))) + cost.copies
    sharded = int(
        cost.parameters * bytes_per_parameter / gpus + GATHERED_BLOCKS * cost.block_parameters * (HALF + FLOAT)
    )
    saved, checkpointed = images * cost.activations, images * cost.checkpointed
    return [
        Memory(strategy="ddp", weights=replicated, activations=saved),
        Memory(strategy="ddp, checkpointed", weights=replicated, activations=checkpointed),
        Memory(strategy="fsdp", weights=sharded, activations=saved),
        Memory(strategy="fsdp, checkpointed", weights=sharded, activations=checkpointed),
    ]


def _transfer_seconds(cost: Cost, setting: Setting) -> float:
    """Return the seconds of a ring all-reduce: every GPU sends and receives each gradient about twice."""
    share_sent = (setting.gpus - 1) / setting.gpus
    return 2 * share_sent * cost.parameters * FLOAT / (setting.link * 1e9)


def _memory_limit(fits: tuple[str, ...], memory: Sequence[Memory], available: float, images: int) -> str | None:
    """Return what to do if a micro-batch fits under no strategy; else None."""
    if fits:
        return None
    one_fits = any(entry.weights + entry.activations / images <= available for entry in memory)
    other = "raise train.grad_accum_steps" if one_fits else "use GPUs with more memory"
    return f"Memory: no strategy fits {counted(images, 'image')} on one GPU. Use more GPUs, or {other}."


def _network_limit(compute: float, transfer: float, images: int) -> str | None:
    if transfer <= compute * 2 / 3:
        return None
    return (
        f"The network between GPUs: computing {counted(images, 'image')} per GPU takes {quantity(compute, SECONDS)},"
        f" but transferring the gradients takes {quantity(transfer, SECONDS)}. Use a larger batch or fewer GPUs."
    )


def _strategy_limit(fits: tuple[str, ...], images: int) -> str:
    if "ddp" not in fits:
        return f"Memory: {fits[0]} is the simplest strategy that fits {counted(images, 'image')} on one GPU."
    return "None: DDP fits the batch, and gradient transfers overlap with the backward pass."
