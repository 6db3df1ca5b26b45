"""The ordinary stage: a backbone learns to turn noise into the tokenizer's latents."""

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
from nanogen_train.distributed import processes
from nanogen_train.ema.ema import EMA
from nanogen_train.ema.tracked import PowerFunctionEMA
from nanogen_train.protocols import Auxiliary
from nanogen_train.stages.diffusion_settings import DiffusionConfig
from nanogen_train.trainer.cache import rows
from nanogen_train.trainer.step import is_trained

PHASE = "student"
AVERAGE = "ema"
#: The parts that this stage trains -> the name of their module in `nets`, and that of its average.
NETS = {
    "backbone": (PHASE, AVERAGE),
    "conditioner": ("conditioner", "ema_conditioner"),
    "objective": ("objective", "ema_objective"),
}


def learning_parts(pipeline: Pipeline) -> dict[str, nn.Module]:
    """The backbone, and the conditioner and the objective where they have parameters to train."""
    found = {part: getattr(pipeline, part) for part in NETS}
    return {part: module for part, module in found.items() if part == "backbone" or _learns(module)}


def _learns(part: Any) -> bool:
    return isinstance(part, nn.Module) and is_trained(part)


class Diffusion:
    """Trains the backbone, `nets["student"]`, by the objective and the auxiliary losses.

    A conditioner or an objective with parameters is trained too, as `nets["conditioner"]` and `nets["objective"]`, and
    so are the `nets` of an auxiliary, under its name. Averages of the weights (`nets["ema"]` of the backbone) are
    what is sampled and saved.
    """

    phase_names = (PHASE,)

    def __init__(self, config: DiffusionConfig, *, pipeline: Pipeline, auxiliaries: Mapping[str, Auxiliary]):
        self.config = config
        self.pipeline = pipeline
        self.auxiliaries = dict(auxiliaries)
        learning = learning_parts(pipeline)
        self._averages = {part: EMA(module) for part, module in learning.items()}
        self.nets = nn.ModuleDict({NETS[part][0]: module for part, module in learning.items()})
        self.nets.update({NETS[part][1]: average.net for part, average in self._averages.items()})
        self.nets.update({name: a.nets for name, a in self.auxiliaries.items() if a.nets is not None})
        self._powers = PowerFunctionEMA(
            config.ema_snapshots, pipeline.backbone, pipeline.config.sections["train"].steps
        )
        self.nets.update(self._powers.nets)
        self._intermediates = tuple(dict.fromkeys(tap for a in self.auxiliaries.values() for tap in a.intermediates))

    def phases(self, step: int) -> Sequence[str]:
        """One optimiser moves at every step."""
        return self.phase_names

    def parameters_of(self, phase: str) -> Sequence[tuple[str, nn.Parameter]]:
        """Everything that learns. Averages need no gradient."""
        return [(name, tensor) for name, tensor in self.nets.named_parameters() if tensor.requires_grad]

    @torch.no_grad()
    def prepare(self, batch: Batch) -> Batch:
        """The batch with its latents and what the auxiliaries need, which is all that the step needs of the images."""
        if batch.latents is not None or batch.images is None:
            return batch
        latents = self.pipeline.tokenizer.encode(batch.images).float()  # [B, C, h, w]
        extras = {name: value for a in self.auxiliaries.values() for name, value in a.prepare(batch).items()}
        return batch._replace(latents=latents, extras=extras, images=None)

    def loss(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        """The objective's loss, a part of the samples having lost their condition, and those of the auxiliaries."""
        assert batch.latents is not None, "prepare() comes before loss()"
        null = self.pipeline.conditioner.null(len(batch.indices))
        condition = self._condition(batch, length=null.tokens.shape[1])
        dropped = rng.uniform("condition.dropout") < self.config.condition_dropout  # [B]
        clean = State(batch.latents, self._token(batch))
        nets: dict[str, Any] = {**self.nets, PHASE: self._tapped()}
        losses = self.pipeline.objective.loss(nets, clean, where_null(dropped, condition, null), null, rng)
        return self._with_auxiliaries(losses, clean, batch, rng)

    def _condition(self, batch: Batch, *, length: int) -> Condition:
        if batch.condition is not None:
            return batch.condition.padded(length)
        encoded: Condition = self.pipeline.conditioner.encode(batch)
        return encoded

    def _tapped(self) -> Any:
        """The student, with the block outputs that auxiliaries look at."""
        return partial(self.nets[PHASE], intermediates=self._intermediates) if self._intermediates else self.nets[PHASE]

    def _token(self, batch: Batch) -> Tensor | None:
        tokens = [token for a in self.auxiliaries.values() if (token := a.cls_token(batch)) is not None]
        return torch.cat(tokens, dim=1) if tokens else None  # [B, width]

    def _with_auxiliaries(self, losses: Losses, clean: State, batch: Batch, rng: KeyedRNG) -> Losses:
        if not self.auxiliaries:
            return Losses(losses.total, losses.parts)
        if losses.forward_pass is None:
            raise TrainingError(
                f"The objective {self.pipeline.config.slots['objective'].name!r} does not say what it looked at"
                " (Losses.seen), which auxiliary losses need: leave them out, or choose another objective."
            )
        total, parts = losses.total, dict(losses.parts)
        for name, auxiliary in self.auxiliaries.items():
            more = auxiliary.loss(losses.forward_pass, clean, batch, rng)
            total = total + more.total
            parts.update({name: more.total.detach(), **{f"{name}.{part}": v for part, v in more.parts.items()}})
        return Losses(total, parts)

    def after_step(self, step: int) -> None:
        for average in self._averages.values():
            average.update(self.config.ema_decay)
        self._powers.update(step + 1)

    def snapshots(self, step: int) -> Mapping[float, Mapping[str, Tensor]]:
        return self._powers.due(step)

    def samples(self, count: int) -> tuple[Tensor, Sequence[str]]:
        """Pictures of the task's own questions, by the averaged weights; every process draws as many."""
        questions = self.pipeline.task.eval_batch(count)
        mine = rows(questions, processes.places(count))
        averaged = self.pipeline.with_modules(**{part: average.net for part, average in self._averages.items()})
        images = averaged.sample(mine, seed=self.pipeline.config.seed)
        return torch.cat(processes.gathered(images.cpu()))[:count], self.pipeline.task.captions(questions)

    def weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        return {part: average.net.state_dict() for part, average in self._averages.items()}

    def finish(self) -> Pipeline:
        """The pipeline with the averaged weights."""
        for part, average in self._averages.items():
            getattr(self.pipeline, part).load_state_dict(average.net.state_dict())
        return self.pipeline
