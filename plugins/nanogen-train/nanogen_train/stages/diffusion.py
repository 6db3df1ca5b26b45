"""The default stage: trains a backbone with an objective on the tokenizer's latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_core.errors import TrainingError
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Condition, Losses, Prediction, State, Times, where_null
from nanogen_train.adapters.base import base_parameters
from nanogen_train.distributed import processes
from nanogen_train.ema.ema import EMA
from nanogen_train.ema.tracked import PowerFunctionEMA
from nanogen_train.protocols import Auxiliary
from nanogen_train.stages.diffusion_settings import DiffusionConfig
from nanogen_train.stages.lengths import bucket_length
from nanogen_train.trainer.cache import rows
from nanogen_train.trainer.step import is_trained

PHASE = "student"
EMA_NAME = "ema"
#: Trained parts -> names of their module and of its EMA in `nets`.
NETS = {
    "backbone": (PHASE, EMA_NAME),
    "conditioner": ("conditioner", "ema_conditioner"),
    "objective": ("objective", "ema_objective"),
    "tokenizer": ("tokenizer", "ema_tokenizer"),
}


def learning_parts(pipeline: Pipeline) -> dict[str, nn.Module]:
    """Return the backbone, and the conditioner, objective and trainable tokenizer if they have parameters to train."""
    parts = {part: getattr(pipeline, part) for part in NETS}
    frozen = set() if getattr(pipeline.tokenizer, "trainable", False) else {"tokenizer"}
    return {
        part: module
        for part, module in parts.items()
        if part == "backbone" or (part not in frozen and isinstance(module, nn.Module) and is_trained(module))
    }


class Diffusion:
    """Trains the backbone, `nets["student"]`, with the objective and auxiliary losses.

    Also trains a conditioner or objective with trainable parameters (`nets["conditioner"]`, `nets["objective"]`), a
    tokenizer with `trainable = True` (`nets["tokenizer"]`), and the `nets` of auxiliaries, under the names of the
    auxiliaries. Sampling and saved pipelines use the EMA weights (`nets["ema"]` for the backbone).

    Args:
        config: Options of the stage.
        pipeline: The pipeline to train.
        auxiliaries: Auxiliary losses by name.
    """

    phase_names: Sequence[str] = (PHASE,)

    def __init__(self, config: DiffusionConfig, *, pipeline: Pipeline, auxiliaries: Mapping[str, Auxiliary]):
        self.config = config
        self.pipeline = pipeline
        self.auxiliaries = dict(auxiliaries)
        learning = learning_parts(pipeline)
        self._emas = {part: EMA(module, base_parameters(module)) for part, module in learning.items()}
        self.nets = nn.ModuleDict({NETS[part][0]: module for part, module in learning.items()})
        self.nets.update({NETS[part][1]: ema_.net for part, ema_ in self._emas.items()})
        self.nets.update({name: a.nets for name, a in self.auxiliaries.items() if a.nets is not None})
        self._power_emas = PowerFunctionEMA(
            config.ema_snapshots, pipeline.backbone, pipeline.config.sections["train"].steps
        )
        self.nets.update(self._power_emas.nets)
        self._learns_latents = "tokenizer" in learning
        readers = (pipeline.conditioner, pipeline.objective, *self.auxiliaries.values())
        self._keeps_images = self._learns_latents or any(getattr(part, "needs_images", False) for part in readers)

    def phases(self, step: int) -> Sequence[str]:
        """Return the only phase; it updates at every step."""
        return self.phase_names

    def parameters_of(self, phase: str) -> Sequence[tuple[str, nn.Parameter]]:
        """Return all trainable parameters."""
        return [(name, tensor) for name, tensor in self.nets.named_parameters() if tensor.requires_grad]

    @torch.no_grad()
    def prepare(self, batch: Batch, step: int | None) -> Batch:
        """Replace the images of a batch by latents and the extras that auxiliaries need.

        The images are kept if a part needs them (`needs_images`), or if the tokenizer is trained. A batch that has
        latents is returned unchanged.
        """
        if batch.latents is not None or batch.images is None:
            return batch
        latents = self.pipeline.tokenizer.encode(batch.images).float()  # [B, C, h, w]
        extras = {name: value for _, a in self._active(step) for name, value in a.prepare(batch).items()}
        return batch._replace(latents=latents, extras=extras, images=batch.images if self._keeps_images else None)

    def _active(self, step: int | None) -> list[tuple[str, Auxiliary]]:
        """Return the auxiliaries that are used at a step; all for None."""
        return [(name, a) for name, a in self.auxiliaries.items() if step is None or a.active(step)]

    def loss(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        """Return the loss of the objective and the auxiliaries. Drops the condition of a random share of samples."""
        assert batch.latents is not None, "prepare() comes before loss()"
        null = self.pipeline.conditioner.null(len(batch.indices))
        condition = self._condition(batch)
        dropped = rng.uniform("condition.dropout") < self.config.condition_dropout  # [B]
        clean = State(self._latents(batch), self._cls_token(batch))
        nets: dict[str, Any] = {**self.nets, PHASE: self._student(rng.step)}
        losses = self.pipeline.objective.loss(nets, clean, where_null(dropped, condition, null), null, rng)
        return self._with_auxiliaries(losses, clean, batch, rng)

    def _latents(self, batch: Batch) -> Tensor:
        """Return the latents, with gradient if the tokenizer is trained."""
        assert batch.latents is not None
        if not self._learns_latents:
            return batch.latents
        if batch.images is None:
            raise TrainingError(
                "The tokenizer is trained, but the batch has precomputed latents and no images. Remove"
                " train.precomputed_latents."
            )
        latents: Tensor = self.pipeline.tokenizer.encode(batch.images)
        return latents.float()

    def _condition(self, batch: Batch) -> Condition:
        """Return the condition of a batch, padded to one of few lengths, so that CUDA graphs are reused."""
        conditioner = self.pipeline.conditioner
        condition: Condition = conditioner.encode(batch) if batch.condition is None else batch.condition
        if not conditioner.spec.padded:
            condition = condition._replace(mask=None)
        return condition.padded(bucket_length(condition.tokens.shape[1], conditioner.spec.length))

    def _student(self, step: int) -> Any:
        """Return the backbone, with the intermediates that the auxiliaries of a step need."""
        names = tuple(dict.fromkeys(name for _, a in self._active(step) for name in a.intermediates))
        return with_intermediates(self.nets[PHASE], names) if names else self.nets[PHASE]

    def _cls_token(self, batch: Batch) -> Tensor | None:
        tokens = [token for a in self.auxiliaries.values() if (token := a.cls_token(batch)) is not None]
        return torch.cat(tokens, dim=1) if tokens else None  # [B, width]

    def _with_auxiliaries(self, losses: Losses, clean: State, batch: Batch, rng: KeyedRNG) -> Losses:
        if not self.auxiliaries:
            return Losses(losses.total, losses.parts)
        if losses.forward_pass is None:
            raise TrainingError(
                f"The objective {self.pipeline.config.slots['objective'].name!r} returns no forward pass"
                " (Losses.forward_pass), but auxiliary losses need one. Remove the auxiliaries, or choose an"
                " objective that returns it, such as `flow`."
            )
        total, parts = losses.total, dict(losses.parts)
        for name, auxiliary in self._active(rng.step):
            more = auxiliary.loss(losses.forward_pass, clean, batch, self.nets, rng)  # type: ignore[arg-type]
            total = total + more.total
            parts.update({name: more.total.detach(), **{f"{name}.{part}": v for part, v in more.parts.items()}})
        return Losses(total + self._zero_of_inactive(rng.step), parts)

    def _zero_of_inactive(self, step: int) -> Tensor | float:
        """Return 0, with zero gradients for the networks of inactive auxiliaries: DDP waits for all gradients."""
        active = dict(self._active(step))
        idle = [a.nets for name, a in self.auxiliaries.items() if name not in active and a.nets is not None]
        return sum((0.0 * parameter.sum() for net in idle for parameter in net.parameters()), 0.0)

    def after_step(self, step: int) -> None:
        """Update the EMA weights."""
        for ema_ in self._emas.values():
            ema_.update(self.config.ema_decay)
        self._power_emas.update(step + 1)

    def snapshots(self, step: int) -> Mapping[float, Mapping[str, Tensor]]:
        """Return the EMA snapshots that are due, by width."""
        return self._power_emas.due(step)

    def averaged(self) -> Pipeline:
        """Return the pipeline with the EMA weights."""
        return self.pipeline.with_parts(**{part: ema_.net for part, ema_ in self._emas.items()})

    def samples(self, count: int) -> tuple[Tensor, Sequence[str]]:
        """Sample images for the task's evaluation batch with the EMA weights. Every process samples an equal share."""
        questions = self.pipeline.task.eval_batch(count)
        own_share = rows(questions, processes.split_indices(count))
        images = self.averaged().sample(own_share, seed=self.pipeline.config.seed)
        return torch.cat(processes.all_gather(images.cpu()))[:count], self.pipeline.task.captions(questions)

    def weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the EMA weights of the trained parts."""
        return {part: ema_.net.state_dict() for part, ema_ in self._emas.items()}

    def finish(self) -> Pipeline:
        """Load the EMA weights into the pipeline and return it."""
        for part, ema_ in self._emas.items():
            getattr(self.pipeline, part).load_state_dict(ema_.net.state_dict())
        return self.pipeline


def with_intermediates(net: Callable[..., Prediction], names: Sequence[str]) -> Callable[..., Prediction]:
    """Wrap a network so that it returns the intermediates `names` in addition to those that a call requests."""

    def network(state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()) -> Prediction:
        return net(state, times, condition, intermediates=tuple(dict.fromkeys((*names, *intermediates))))

    return network
