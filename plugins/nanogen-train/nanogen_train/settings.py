"""How a run is run: what the `train:` section of a configuration says. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen, validators

from nanogen_core.validators import at_least, batch, count, count_or_none, positive

_positive_or_none: Any = validators.optional(positive)


@frozen(kw_only=True)
class TrainConfig:
    """The loop's settings; the defaults are the published recipe.

    `precision` "auto" takes bf16 where the device has units for it and fp32 elsewhere (bf16 without units is 5 to 12
    times slower on a CPU). `cache_latents` encodes the training split once and keeps its latents in memory;
    `latents` is a folder that `nanogen data prepare` wrote: it is read in place of images, cached or not.
    `gradient_clip` is the largest global L2 norm of a phase's gradients; null clips nothing.
    `batch_size` examples are shared equally by the processes, and each computes its share in `accumulate` equal parts,
    one after the other, for want of memory: the step is the same. `compile` and `checkpoint_activations` are for the
    repeated blocks of the networks. `strategy` "ddp" keeps all weights on each process, "fsdp" a share, of which it
    gathers one block at a time (`shard_by: step`: all of them for the step, as MeanFlow's exact derivative needs).
    A period of 0 means never; the last step is always saved. The newest `keep` checkpoints stay, and those of every
    `keep_every`-th step. `trackers` are those of accelerate by name (wandb, mlflow, ...); "auto" is TensorBoard where
    it is installed.
    """

    steps: int = field(default=100_000, validator=count)
    batch_size: int = field(default=1024, validator=batch)  # over all processes
    gradient_clip: float | None = field(default=1.0, validator=_positive_or_none)  # global L2 norm
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    accumulate: int = field(default=1, validator=batch)
    compile: bool = False
    checkpoint_activations: bool = False
    strategy: Literal["ddp", "fsdp"] = "ddp"
    shard_by: Literal["block", "step"] = "block"
    workers: int = field(default=0, validator=at_least(0, 1024))  # processes that read data
    cache_latents: bool = False
    latents: str | None = None
    log_every: int = field(default=50, validator=count)
    sample_every: int = field(default=5_000, validator=count_or_none)
    sample_count: int = field(default=32, validator=at_least(1, 10_000))
    checkpoint_every: int = field(default=5_000, validator=count_or_none)
    keep: int = field(default=2, validator=count)
    keep_every: int = field(default=0, validator=count_or_none)
    trackers: tuple[str, ...] = ("auto",)

    def facts(self) -> dict[str, Any]:
        """What the precomputed latents say of their data: the class names."""
        if self.latents is None:
            return {}
        from nanogen_data.precomputed import manifest

        return {"classes": tuple(manifest.read(Path(self.latents).expanduser()).classes)}

    def contents(self) -> dict[str, str]:
        """The options that are paths, as hashes of what lies there."""
        if self.latents is None:
            return {}
        from nanogen_core.storage import MANIFEST
        from nanogen_data.hashing import file_hash

        file = Path(self.latents).expanduser() / MANIFEST
        return {"latents": file_hash(file) if file.is_file() else self.latents}

    @accumulate.validator
    def _divides_the_batch(self, _: object, value: int) -> None:
        if self.batch_size % value:
            raise ValueError(f"accumulate: {value} equal parts cannot be made of a batch_size of {self.batch_size}")
