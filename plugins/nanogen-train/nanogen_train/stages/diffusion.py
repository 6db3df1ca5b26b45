"""The default stage: trains a backbone with an objective on the tokenizer's latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_core.errors import TrainingError
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Condition, Losses, State, where_null
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
}


def learning_parts(pipeline: Pipeline) -> dict[str, nn.Module]:
    """Return the backbone, and the conditioner and objective if they have trainable parameters."""
    parts = {part: getattr(pipeline, part) for part in NETS}
    return {part: module for part, module in parts.items() if part == "backbone" or _learns(module)}


def _learns(part: Any) -> bool:
    return isinstance(part, nn.Module) and is_trained(part)


class Diffusion:
    """Trains the backbone, `nets["student"]`, with the objective and auxiliary losses.

    A conditioner or objective with parameters is trained too, as `nets["conditioner"]` and `nets["objective"]`, and so
    are the `nets` of auxiliaries, under their names. EMA weights (`nets["ema"]` for the backbone) are sampled and
    saved.

    Args:
        config: Options of the stage.
        pipeline: The pipeline to train.
        auxiliaries: Auxiliary losses by name.
    """

    phase_names = (PHASE,)

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
        self._intermediates = tuple(dict.fromkeys(name for a in self.auxiliaries.values() for name in a.intermediates))

    def phases(self, step: int) -> Sequence[str]:
        """Return the only phase; it updates at every step."""
        return self.phase_names

    def parameters_of(self, phase: str) -> Sequence[tuple[str, nn.Parameter]]:
        """Return all trainable parameters."""
        return [(name, tensor) for name, tensor in self.nets.named_parameters() if tensor.requires_grad]

    @torch.no_grad()
    def prepare(self, batch: Batch) -> Batch:
        """Replace the images of a batch by latents and the extras that auxiliaries need."""
        if batch.latents is not None or batch.images is None:
            return batch
        latents = self.pipeline.tokenizer.encode(batch.images).float()  # [B, C, h, w]
        extras = {name: value for a in self.auxiliaries.values() for name, value in a.prepare(batch).items()}
        return batch._replace(latents=latents, extras=extras, images=None)

    def loss(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        """Return the loss of the objective and the auxiliaries. Drops the condition of a random share of samples."""
        assert batch.latents is not None, "prepare() comes before loss()"
        null = self.pipeline.conditioner.null(len(batch.indices))
        condition = self._condition(batch)
        dropped = rng.uniform("condition.dropout") < self.config.condition_dropout  # [B]
        clean = State(batch.latents, self._cls_token(batch))
        nets: dict[str, Any] = {**self.nets, PHASE: self._student()}
        condition = where_null(dropped, condition, null)
        losses = self.pipeline.objective.loss(nets, clean, condition, null, rng)
        return self._with_auxiliaries(losses, clean, condition, batch, rng)

    def _condition(self, batch: Batch) -> Condition:
        """Return the condition of a batch, padded to one of few lengths, so that compiled graphs are reused."""
        conditioner = self.pipeline.conditioner
        condition: Condition = conditioner.encode(batch) if batch.condition is None else batch.condition
        return condition.padded(bucket_length(condition.tokens.shape[1], conditioner.spec.length))

    def _student(self) -> Any:
        """Return the backbone, with the intermediates that auxiliaries need."""
        return partial(self.nets[PHASE], intermediates=self._intermediates) if self._intermediates else self.nets[PHASE]

    def _cls_token(self, batch: Batch) -> Tensor | None:
        tokens = [token for a in self.auxiliaries.values() if (token := a.cls_token(batch)) is not None]
        return torch.cat(tokens, dim=1) if tokens else None  # [B, width]

    def _with_auxiliaries(
        self, losses: Losses, clean: State, condition: Condition, batch: Batch, rng: KeyedRNG
    ) -> Losses:
        if not self.auxiliaries:
            return Losses(losses.total, losses.parts)
        if losses.forward_pass is None:
            raise TrainingError(
                f"The objective {self.pipeline.config.slots['objective'].name!r} returns no forward pass"
                " (Losses.forward_pass), which auxiliary losses need: remove them, or choose another objective."
            )
        forward_pass = losses.forward_pass._replace(condition=condition)
        total, parts = losses.total, dict(losses.parts)
        for name, auxiliary in self.auxiliaries.items():
            more = auxiliary.loss(forward_pass, clean, batch, rng)
            total = total + more.total
            parts.update({name: more.total.detach(), **{f"{name}.{part}": v for part, v in more.parts.items()}})
        return Losses(total, parts)

    def after_step(self, step: int) -> None:
        """Update the EMA weights."""
        for ema_ in self._emas.values():
            ema_.update(self.config.ema_decay)
        self._power_emas.update(step + 1)

    def snapshots(self, step: int) -> Mapping[float, Mapping[str, Tensor]]:
        """Return the EMA snapshots that are due, by width."""
        return self._power_emas.due(step)

    def samples(self, count: int) -> tuple[Tensor, Sequence[str]]:
        """Draw the task's evaluation examples with the EMA weights. Every process draws an equal share."""
        questions = self.pipeline.task.eval_batch(count)
        own_share = rows(questions, processes.split_indices(count))
        averaged = self.pipeline.with_modules(**{part: ema_.net for part, ema_ in self._emas.items()})
        images = averaged.sample(own_share, seed=self.pipeline.config.seed)
        return torch.cat(processes.all_gather(images.cpu()))[:count], self.pipeline.task.captions(questions)

    def weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the EMA weights of the trained parts."""
        return {part: ema_.net.state_dict() for part, ema_ in self._emas.items()}

    def finish(self) -> Pipeline:
        """Load the EMA weights into the pipeline and return it."""
        for part, ema_ in self._emas.items():
            getattr(self.pipeline, part).load_state_dict(ema_.net.state_dict())
        return self.pipeline
