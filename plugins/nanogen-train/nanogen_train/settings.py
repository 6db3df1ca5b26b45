"""Settings of the training loop, the `train:` section of a configuration. Does not import torch."""

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
        steps: Optimizer steps of the run.
        batch_size: Examples per optimizer step, over all processes.
        gradient_clip: Maximum global L2 norm of the gradients of a phase; null disables clipping.
        precision: Compute precision. "auto" is bf16 if the device has units for it, otherwise fp32. bf16 without units
            is 5 to 12 times slower on a CPU.
        grad_accum_steps: Micro-batches per process and optimizer step. Must divide `batch_size`.
        compile: Compile the repeated blocks of the networks with torch.compile.
        activation_checkpointing: Recompute block activations in the backward pass.
        strategy: "ddp" replicates weights on every process, "fsdp" shards them.
        shard_by: When "fsdp" gathers weights: one "block" at a time, or all for a "step". MeanFlow's exact derivative
            needs "step".
        num_workers: Worker processes that read data; 0 reads in the training process.
        cache_latents: Encode the training split once and keep its latents in memory.
        precomputed_latents: Folder that `nanogen data prepare` wrote. Replaces the images.
        log_every: Period of log lines, in steps.
        sample_every: Period of sample sheets, in steps; 0 disables them.
        sample_count: Images per sample sheet.
        checkpoint_every: Period of checkpoints, in steps; 0 saves only the last step.
        keep_last: Number of newest checkpoints to keep.
        keep_every: Also keep checkpoints of every `keep_every`-th step; 0 keeps none of them.
        trackers: Trackers of accelerate (wandb, mlflow, ...). "auto" is TensorBoard if it is installed.
    """

    steps: int = field(default=100_000, validator=count)
    batch_size: int = field(default=1024, validator=batch)
    gradient_clip: float | None = field(default=1.0, validator=_positive_or_none)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    grad_accum_steps: int = field(default=1, validator=batch)
    compile: bool = False
    activation_checkpointing: bool = False
    strategy: Literal["ddp", "fsdp"] = "ddp"
    shard_by: Literal["block", "step"] = "block"
    num_workers: int = field(default=0, validator=at_least(0, 1024))
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
        """Return the class names from the manifest of precomputed latents; empty without them."""
        if self.precomputed_latents is None:
            return {}
        from nanogen_data.precomputed import manifest

        return {"classes": tuple(manifest.read(Path(self.precomputed_latents).expanduser()).classes)}

    def contents(self) -> dict[str, str]:
        """Return hashes in place of the options that are paths."""
        if self.precomputed_latents is None:
            return {}
        from nanogen_files.hashing import file_hash
        from nanogen_files.storage import MANIFEST

        file = Path(self.precomputed_latents).expanduser() / MANIFEST
        return {"precomputed_latents": file_hash(file) if file.is_file() else self.precomputed_latents}

    @grad_accum_steps.validator
    def _divides_the_batch(self, _: object, value: int) -> None:
        if self.batch_size % value:
            raise ValueError(f"grad_accum_steps: {value} does not divide batch_size {self.batch_size}")
