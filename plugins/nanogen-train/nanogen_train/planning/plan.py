"""From the cost of an image and a number of GPUs to memory, time and what breaks first."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from nanogen_core.validators import at_least, between, positive
from nanogen_data.loader import DataShard
from nanogen_train.planning.cost import Cost
from nanogen_train.planning.hardware import GPU

GIB = 1024**3
FLOAT, HALF = 4, 2  # bytes
AVERAGE = FLOAT  # bytes of the averaged weights, for each parameter
BUCKETS = FLOAT  # of gradients, that DDP keeps beside them
GATHERED = 2  # blocks whose weights FSDP holds whole: the one at work and the next one
RESERVE = 0.1  # of the memory: CUDA's own, and what fragments
JPEG = 110_000  # bytes of an ImageNet photograph, on average


@frozen(kw_only=True)
class Setting:
    """The machines. `utilisation` is the share of the GPU's peak that training reaches (MFU); `link` is what one GPU
    sends to the others, in GB/s."""

    gpus: int = field(validator=at_least(1, 1_000_000))
    gpu: GPU
    utilisation: float = field(default=0.4, validator=between(0, 1, above=True))
    link: float = field(default=50.0, validator=positive)


@frozen(kw_only=True)
class Memory:
    """Bytes on one GPU under one strategy."""

    strategy: str
    weights: int  # with gradients, optimiser state, average and bf16 copies
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.activations


@frozen(kw_only=True)
class CostEstimate:
    """What training on these machines takes; times are estimates from peak rates, memory is counted."""

    cost: Cost
    setting: Setting
    batch_size: int
    steps: int
    memory: tuple[Memory, ...]
    compute_seconds: float  # of a step
    transfer_seconds: float  # of a step's gradients under DDP, if nothing hid them
    fits: tuple[str, ...]  # the strategies that fit, the simplest first
    first_limit: str

    @property
    def step_seconds(self) -> float:
        """Transfers run beside the backward pass, about two thirds of the step."""
        return max(self.compute_seconds, self.compute_seconds / 3 + self.transfer_seconds)

    @property
    def images_per_second(self) -> float:
        return self.batch_size / self.step_seconds

    @property
    def figures(self) -> Mapping[str, float]:
        """The numbers that a table shows, by name."""
        cost, rate = self.cost, self.images_per_second
        return {
            "gpus": self.setting.gpus,
            "images_per_gpu": self.batch_size // self.setting.gpus,
            "parameters": cost.parameters,
            "flops_per_image": cost.flops,
            "flops_per_step": cost.flops * self.batch_size,
            "compute_seconds_per_step": self.compute_seconds,
            "transfer_seconds_per_step": self.transfer_seconds,
            "days": self.step_seconds * self.steps / 86_400,
            "images_per_second": rate,
            "tokens_per_second": rate * cost.tokens,
            "jpeg_bytes_per_second": rate * JPEG,
            "latent_bytes_per_second": rate * cost.latent.dimension * FLOAT,
        }


def plan_for(cost: Cost, setting: Setting, *, batch_size: int, steps: int) -> CostEstimate:
    """The plan. Raises TrainingError where the batch cannot be shared equally by the GPUs."""
    images = len(DataShard(0, setting.gpus).of(batch_size))
    memory = tuple(_memories(cost, images, setting.gpus))
    room = setting.gpu.memory * GIB * (1 - RESERVE)
    rate = setting.gpus * setting.gpu.tflops * 1e12 * setting.utilisation
    compute = cost.flops * batch_size / rate
    transfer = _transfer(cost, setting)
    fits = tuple(entry.strategy for entry in memory if entry.total <= room)
    return CostEstimate(
        cost=cost,
        setting=setting,
        batch_size=batch_size,
        steps=steps,
        memory=memory,
        compute_seconds=compute,
        transfer_seconds=transfer,
        fits=fits,
        first_limit=_first_limit(fits, compute, transfer, images),
    )


def _memories(cost: Cost, images: int, gpus: int) -> list[Memory]:
    """DDP and FSDP2, without and with activation checkpointing."""
    each = FLOAT + FLOAT + AVERAGE + cost.state_bytes  # weights, gradients, average, optimiser
    whole = int(cost.parameters * (each + (BUCKETS if gpus > 1 else 0))) + cost.copies
    shard = int(cost.parameters * each / gpus + GATHERED * cost.block_parameters * (HALF + FLOAT))
    kept, again = images * cost.activations, images * cost.checkpointed
    return [
        Memory(strategy="ddp", weights=whole, activations=kept),
        Memory(strategy="ddp, checkpointed", weights=whole, activations=again),
        Memory(strategy="fsdp", weights=shard, activations=kept),
        Memory(strategy="fsdp, checkpointed", weights=shard, activations=again),
    ]


def _transfer(cost: Cost, setting: Setting) -> float:
    """A ring: every GPU sends and receives each gradient about twice."""
    others = (setting.gpus - 1) / setting.gpus
    return 2 * others * cost.parameters * FLOAT / (setting.link * 1e9)


def _first_limit(fits: tuple[str, ...], compute: float, transfer: float, images: int) -> str:
    if not fits:
        return f"Memory: no strategy fits {images} images on one GPU. Use more GPUs, or raise train.grad_accum_steps."
    if transfer > compute * 2 / 3:
        return (
            f"The network between the GPUs: {images} images a GPU are computed in {compute:.3f} s, and the gradients"
            f" take {transfer:.3f} s. Take a larger batch or fewer GPUs."
        )
    if "ddp" not in fits:
        return f"Memory: {fits[0]} is the simplest strategy that holds {images} images on one GPU."
    return "Nothing: DDP holds the batch, and the gradients travel while the backward pass runs."
