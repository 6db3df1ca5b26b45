"""Settings of the training loop, the `train:` section of a configuration. Does not import torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen, validators

from nanogen_core.errors import shown
from nanogen_core.validators import at_least, batch, count, count_or_none, positive
from nanogen_files.reading import user_path

if TYPE_CHECKING:
    from nanogen_core.pipeline import Pipeline

EVERY = re.compile("every_([1-9][0-9]{0,3})")


def _recomputed(_: object, attribute: Any, value: str) -> None:
    if value not in ("none", "all") and not EVERY.fullmatch(value):
        raise ValueError(f'{attribute.name}: must be "none", "all" or "every_N" such as "every_2", got {shown(value)}')


def _adapter(_: object, attribute: Any, value: Any) -> None:
    named = isinstance(value, Mapping) and isinstance(value.get("type"), str)
    if value is not None and not named:
        raise ValueError(f"{attribute.name}: must be a mapping such as {{type: lora, r: 8}}, got {shown(value)}")


_positive_or_none: Any = validators.optional(positive)


@frozen(kw_only=True)
class EvaluateConfig:
    """Evaluation while training: scores of the EMA weights. Does not change the training.

    Args:
        every: Period in steps; 0 evaluates only after the last step, if `at_end`.
        metrics: Names of the metrics; by default all metrics of the configuration.
        count: Number of samples.
        at_end: Also evaluate after the last step.
        best: Name of a score. The folder `best` of the run keeps the pipeline with the best value of this score. This
            best value is optimistic, because it was used for the selection.
    """

    every: int = field(default=25_000, validator=count_or_none)
    metrics: tuple[str, ...] = ()
    count: int = field(default=2048, validator=count)
    at_end: bool = True
    best: str | None = None


@frozen(kw_only=True)
class TrainConfig:
    """Settings of the training loop. The defaults follow DiffusionBench (arXiv 2606.24888).

    Args:
        steps: Optimizer steps of the run.
        batch_size: Examples per optimizer step, over all processes.
        gradient_clip: Maximum global L2 norm of the gradients of a phase; null disables clipping.
        precision: Compute precision. "auto" is bf16 if the device has units for it, otherwise fp32. On a CPU without
            these units, bf16 is 5 to 12 times slower than fp32.
        tf32: Use TF32 for float32 matrix products on NVIDIA GPUs. Their relative error is about 1e-3.
        float8: torchao's recipe for float8 matrix products in the linear layers of blocks: "tensorwise" (fastest),
            "rowwise", "rowwise_with_gw_hp" (most exact), or "none". Needs bf16, an Ada, Hopper or newer GPU, and
            `pip install nanogen-train[float8]`.
        grad_accum_steps: Micro-batches per process and optimizer step. Must divide `batch_size`.
        compile: What torch.compile compiles: "none", each of the repeated "blocks" (compiles fastest), the whole
            "model", or "max-autotune": the whole model, with measured kernels and CUDA graphs.
        activation_checkpointing: Blocks whose activations are recomputed in the backward pass: "none", "all", or
            "every_N" for every N-th one, such as "every_2".
        strategy: "ddp" replicates weights on every process, "fsdp" shards them.
        shard_by: "block" lets "fsdp" gather the weights of one block at a time, "step" all weights for the whole step.
            MeanFlow's exact derivative needs "step".
        num_workers: Worker processes that read data, per training process; 0 reads in the training process. The
            default is 0 on a CPU. On a GPU, it is one less than the CPU cores per training process, but at most 8.
        cache_latents: Encode the training split once and keep its latents in memory.
        precomputed_latents: Folder that `nanogen data prepare` wrote. Its latents replace the images.
        init: Weights to start from: the folder of a run or saved pipeline, or a file of weights of a backbone.
        adapter: Adapter of `peft` to train on the weights of `init`, such as `{type: lora, r: 8}`. `type` selects
            peft's configuration class, the other keys are its options. By default it adapts the blocks' linear layers.
        log_every: Period of log lines, in steps.
        sample_every: Period of sample sheets, in steps; 0 disables them.
        sample_count: Images per sample sheet.
        checkpoint_every: Period of checkpoints, in steps; 0 saves only the last step.
        keep_last: Number of newest checkpoints to keep.
        keep_every: Also keep the checkpoints of steps that are multiples of this; 0 keeps only the newest.
        trackers: Trackers of accelerate (wandb, mlflow, ...). "auto" is TensorBoard if it is installed.
        evaluate: Evaluation while training, such as `{every: 25000, count: 2048}`; null for none.
    """

    steps: int = field(default=100_000, validator=count)
    batch_size: int = field(default=1024, validator=batch)
    gradient_clip: float | None = field(default=1.0, validator=_positive_or_none)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    tf32: bool = True
    float8: Literal["none", "tensorwise", "rowwise", "rowwise_with_gw_hp"] = "none"
    grad_accum_steps: int = field(default=1, validator=batch)
    compile: Literal["none", "blocks", "model", "max-autotune"] = "none"
    activation_checkpointing: str = field(default="none", validator=_recomputed)
    strategy: Literal["ddp", "fsdp"] = "ddp"
    shard_by: Literal["block", "step"] = "block"
    num_workers: int | None = field(default=None, validator=validators.optional(at_least(0, 1024)))
    cache_latents: bool = False
    precomputed_latents: str | None = None
    init: str | None = None
    adapter: Any = field(default=None, validator=_adapter)
    log_every: int = field(default=50, validator=count)
    sample_every: int = field(default=5_000, validator=count_or_none)
    sample_count: int = field(default=32, validator=at_least(1, 10_000))
    checkpoint_every: int = field(default=5_000, validator=count_or_none)
    keep_last: int = field(default=2, validator=count)
    keep_every: int = field(default=0, validator=count_or_none)
    trackers: tuple[str, ...] = ("auto",)
    evaluate: EvaluateConfig | None = None

    def facts(self) -> dict[str, Any]:
        """Return `{"classes": names}` with the class names of the precomputed latents, or an empty dict."""
        if self.precomputed_latents is None:
            return {}
        from nanogen_data.precomputed import manifest

        return {"classes": tuple(manifest.read(Path(self.precomputed_latents).expanduser()).classes)}

    def contents(self) -> dict[str, str]:
        """Return hashes of the data at the paths `precomputed_latents` and `init`, by option. Skips unset options.

        The hash of `precomputed_latents` is that of the manifest; the hash of `init` covers all contents. If a file is
        missing, the path replaces the hash.
        """
        found = {}
        if self.precomputed_latents is not None:
            from nanogen_files.hashing import file_hash
            from nanogen_files.storage import MANIFEST

            file = Path(self.precomputed_latents).expanduser() / MANIFEST
            found["precomputed_latents"] = file_hash(file) if file.is_file() else self.precomputed_latents
        if self.init is not None:
            from nanogen_data.contents import path_hash

            weights = user_path(self.init)
            found["init"] = path_hash(weights) if weights.exists() else self.init
        return found

    def before_load(self, pipeline: Pipeline) -> None:
        """Add the layers of the adapter to the backbone of a saved pipeline before its weights are loaded."""
        if self.adapter is not None:
            from nanogen_train.adapters.peft_layers import inject

            inject(pipeline.backbone, self.adapter)

    @property
    def recomputed_every(self) -> int:
        """The number n for which every n-th block is recomputed: 1 for all blocks, 0 for none."""
        every = EVERY.fullmatch(self.activation_checkpointing)
        return int(every[1]) if every else int(self.activation_checkpointing == "all")

    @adapter.validator
    def _can_be_trained(self, _: object, value: Any) -> None:
        if value is not None and self.init is None:
            raise ValueError("adapter: needs pretrained weights. Set train.init to a run, pipeline or file of weights")
        if value is not None and self.strategy == "fsdp":
            raise ValueError("adapter: train.strategy fsdp does not support adapters. Set train.strategy to ddp")

    @grad_accum_steps.validator
    def _divides_the_batch(self, _: object, value: int) -> None:
        if self.batch_size % value:
            raise ValueError(f"grad_accum_steps: {value} does not divide batch_size {self.batch_size}")
