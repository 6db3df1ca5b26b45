"""How a run is run: what the `train:` section of a configuration says. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen, validators

from nanogen_core.validators import at_least, batch, count, count_or_none, positive

_positive_or_none: Any = validators.optional(positive)


@frozen(kw_only=True)
class TrainConfig:
    """Settings of the training loop. The defaults are the published recipe.

    Args:
        batch_size: Examples of one optimizer step, over all processes.
        gradient_clip: Largest global L2 norm of the gradients of a phase. Null clips nothing.
        precision: "auto" is bf16 where the device has units for it, and fp32 elsewhere. bf16 without units is 5 to 12
            times slower on a CPU.
        grad_accum_steps: Micro-batches per process and optimizer step. It divides `batch_size`.
        compile: Compile the repeated blocks of the networks.
        activation_checkpointing: Recompute block activations in the backward pass.
        strategy: "ddp" keeps all weights on every process, "fsdp" a shard of them.
        shard_by: When "fsdp" gathers weights: one "block" at a time, or all of them for a "step". MeanFlow's exact
            derivative needs "step".
        num_workers: Processes that read data.
        cache_latents: Encode the training split once and keep its latents in memory.
        precomputed_latents: A folder that `nanogen data prepare` wrote. It is read in place of images.
        log_every, sample_every, checkpoint_every: Periods in steps. 0 is never; the last step is always saved.
        keep_last: Newest checkpoints that stay.
        keep_every: Checkpoints of every `keep_every`-th step stay too. 0 keeps none of them.
        trackers: Trackers of accelerate by name (wandb, mlflow). "auto" is TensorBoard where it is installed.
    """

    steps: int = field(default=100_000, validator=count)
    batch_size: int = field(default=1024, validator=batch)  # over all processes
    gradient_clip: float | None = field(default=1.0, validator=_positive_or_none)  # global L2 norm
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    grad_accum_steps: int = field(default=1, validator=batch)
    compile: bool = False
    activation_checkpointing: bool = False
    strategy: Literal["ddp", "fsdp"] = "ddp"
    shard_by: Literal["block", "step"] = "block"
    num_workers: int = field(default=0, validator=at_least(0, 1024))  # processes that read data
    cache_latents: bool = False
    precomputed_latents: str | None = None
    log_every: int = field(default=50, validator=count)
    sample_every: int = field(default=5_000, validator=count_or_none)
    sample_count: int = field(default=32, validator=at_least(1, 10_000))
    checkpoint_every: int = field(default=5_000, validator=count_or_none)
    keep_last: int = field(default=2, validator=count)
    keep_every: int = field(default=0, validator=count_or_none)
    trackers: tuple[str, ...] = ("auto",)

    def facts(self) -> dict[str, Any]:
        """What the precomputed latents say of their data: the class names."""
        if self.precomputed_latents is None:
            return {}
        from nanogen_data.precomputed import manifest

        return {"classes": tuple(manifest.read(Path(self.precomputed_latents).expanduser()).classes)}

    def contents(self) -> dict[str, str]:
        """The options that are paths, as hashes of what lies there."""
        if self.precomputed_latents is None:
            return {}
        from nanogen_files.hashing import file_hash
        from nanogen_files.storage import MANIFEST

        file = Path(self.precomputed_latents).expanduser() / MANIFEST
        return {"precomputed_latents": file_hash(file) if file.is_file() else self.precomputed_latents}

    @grad_accum_steps.validator
    def _divides_the_batch(self, _: object, value: int) -> None:
        if self.batch_size % value:
            raise ValueError(
                f"grad_accum_steps: {value} equal parts cannot be made of a batch_size of {self.batch_size}"
            )
