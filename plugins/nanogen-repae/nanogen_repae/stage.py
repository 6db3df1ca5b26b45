"""The stage `repa-e`: trains a VAE and a backbone together (Leng et al., arXiv 2504.10483)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_align.vgg import PerceptualDistance
from nanogen_core.errors import ConfigError, DataError, TrainingError
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Losses, State, where_null
from nanogen_repae.autoencoder import Posterior
from nanogen_repae.config import RepaEConfig
from nanogen_repae.norm import Moments
from nanogen_repae.tokenizer import BatchNormVAE
from nanogen_train.protocols import Auxiliary
from nanogen_train.stages.diffusion import PHASE, Diffusion

TOKENIZER, STATISTICS = "tokenizer", "ema_statistics"
LOG_VARIANCE = "repa-e.log_variance"  # key in `batch.extras`; the mean is `batch.latents`


class RepaE(Diffusion):
    """Trains the VAE of the tokenizer `nets["tokenizer"]` and the backbone `nets["student"]`, with an optimizer each.

    With the posterior sample `z = mean + std noise` of the VAE and its normalised latents BN(z):

        `L(tokenizer) = l1_weight L1 + perceptual_weight LPIPS + kl_weight KL + align_weight L_REPA(BN(z))`
        `L(student) = L_diffusion(BN(sg(z))) + weight L_REPA(BN(sg(z)))` with the `weight` of the auxiliary loss

    L_REPA is the alignment loss: the auxiliary loss that `align` names. Other auxiliary losses train the backbone only.
    In the tokenizer phase, the alignment loss trains the encoder through the backbone; the backbone's weights are
    constant. The diffusion loss does not reach the VAE. Both phases use the same z (computed before the update of the
    VAE), times and noise.

    BN is a batch normalisation without learned parameters. The tokenizer phase uses its running statistics. The student
    phase uses the statistics of the batch over all processes, which then update the running ones. The saved
    pipeline has EMAs of the running statistics and of the backbone. The VAE has no EMA.

    Args:
        config: Options of the stage.
        pipeline: The pipeline to train. Its tokenizer must be a `BatchNormVAE`.
        auxiliaries: Auxiliary losses by name, including the alignment loss.

    Raises:
        ConfigError: The alignment loss is missing, or its weight is 0.
        DataError: The weights of LPIPS are missing.
    """

    phase_names = (TOKENIZER, PHASE)
    config: RepaEConfig

    def __init__(self, config: RepaEConfig, *, pipeline: Pipeline, auxiliaries: Mapping[str, Auxiliary]):
        super().__init__(config, pipeline=pipeline, auxiliaries=auxiliaries)
        self.tokenizer: BatchNormVAE = pipeline.tokenizer
        self.tokenizer.requires_grad_(True)
        self.nets[TOKENIZER] = self.tokenizer
        self.nets[STATISTICS] = deepcopy(self.tokenizer.norm)
        self._align, self._align_factor = _alignment(config, self.auxiliaries)
        self._distance = _distance(config, pipeline)
        self._pending: dict[tuple[int, ...], Moments] = {}  # statistics of the micro-batches of this step

    def parameters_of(self, phase: str) -> Sequence[tuple[str, nn.Parameter]]:
        """Return the parameters of the VAE for the phase "tokenizer", all others for the phase "student"."""
        named = super().parameters_of(phase)
        return [pair for pair in named if pair[0].startswith(f"{TOKENIZER}.") == (phase == TOKENIZER)]

    @torch.no_grad()
    def prepare(self, batch: Batch, step: int | None) -> Batch:
        """Encode the images: `latents` is the mean of the posterior, unnormalised. The images are kept.

        A batch with latents or without images is returned unchanged. Raises TrainingError if `step` is None (cached
        latents): the tokenizer is trained.
        """
        if batch.latents is not None or batch.images is None:
            return batch
        if step is None:
            raise TrainingError("The stage 'repa-e' trains the tokenizer: set train.cache_latents to false.")
        posterior = self.tokenizer.posterior(batch.images)
        extras = {name: value for _, a in self._active(step) for name, value in a.prepare(batch).items()}
        return batch._replace(latents=posterior.mean, extras={**extras, LOG_VARIANCE: posterior.log_variance})

    def loss(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        """Return the loss of a phase.

        Args:
            phase: "tokenizer" or "student".
            batch: A batch from `prepare`.
            rng: Random numbers, one slot per sample.
        """
        if batch.images is None or batch.latents is None:
            raise TrainingError(
                "The stage 'repa-e' trains the tokenizer, but the batch has no images. Train on images, without"
                " train.precomputed_latents."
            )
        return self._tokenizer_loss(batch, rng) if phase == TOKENIZER else self._student_loss(batch, rng)

    # -- the backbone ------------------------------------------------------------------------------------------------

    def _student_loss(self, batch: Batch, rng: KeyedRNG) -> Losses:
        assert batch.latents is not None
        z = self._sample(Posterior(batch.latents, batch.extras[LOG_VARIANCE]), rng)
        latents, self._pending[rng.slots] = self.tokenizer.norm.by_batch(z)
        return super().loss(PHASE, batch._replace(latents=latents), rng)

    def _sample(self, posterior: Posterior, rng: KeyedRNG) -> Tensor:
        return posterior.sample(rng.normal("repa-e.posterior", posterior.mean.shape[1:]))

    # -- the tokenizer -----------------------------------------------------------------------------------------------

    def _tokenizer_loss(self, batch: Batch, rng: KeyedRNG) -> Losses:
        assert batch.images is not None
        posterior = self.tokenizer.posterior(batch.images)
        z = self._sample(posterior, rng)
        output = self.tokenizer.reconstruct(z)
        parts = {"l1": (output - batch.images).abs().mean(), "kl": posterior.divergence()}
        weights = {"l1": self.config.l1_weight, "kl": self.config.kl_weight}
        if self._distance is not None:
            parts["perceptual"] = self._distance(output, batch.images).mean()
            weights["perceptual"] = self.config.perceptual_weight
        total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
        named = {name: value.detach() for name, value in parts.items()}
        if self._align.active(rng.step):
            alignment = self._align_factor * self._alignment_of(self.tokenizer.norm(z), batch, rng)
            total, named["alignment"] = total + alignment, alignment.detach()
        return Losses(total, named)

    def _alignment_of(self, latents: Tensor, batch: Batch, rng: KeyedRNG) -> Tensor:
        """Return the alignment loss [] of latents [B, C, h, w], with gradient to them alone. Drops no conditions.

        The networks are frozen during both passes: activation checkpointing recomputes blocks in the backward pass.
        """
        with frozen(net for name, net in self.nets.items() if name != TOKENIZER):
            condition, null = self._condition(batch), self.pipeline.conditioner.null(len(batch.indices))
            kept = torch.zeros(len(batch.indices), dtype=torch.bool, device=latents.device)
            nets: dict[str, Any] = {**self.nets, PHASE: self._student(rng.step)}
            leaf = latents.detach().requires_grad_(latents.requires_grad)
            clean = State(leaf, self._cls_token(batch))
            losses = self.pipeline.objective.loss(nets, clean, where_null(kept, condition, null), null, rng)
            if losses.forward_pass is None:
                raise TrainingError(
                    "The alignment loss needs the objective's forward pass, but this objective returns none. Choose"
                    " one that returns it, such as `objective: flow`."
                )
            loss = self._align.loss(losses.forward_pass, clean, batch, self.nets, rng).total  # type: ignore[arg-type]
            if not loss.requires_grad:
                return loss
            (gradient,) = torch.autograd.grad(loss, leaf)
        through = (latents * gradient).sum()
        return loss.detach() + (through - through.detach())

    # -- after a step ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Update the statistics of the latents, and the EMAs of the statistics and of the backbone."""
        super().after_step(step)
        if self._pending:
            found = list(self._pending.values())
            self._pending = {}
            self.tokenizer.norm.update(
                Moments(*(torch.stack(values).mean(dim=0) for values in zip(*found, strict=True)))
            )
        current = self.tokenizer.norm.state_dict()
        for name, average in self.nets[STATISTICS].state_dict().items():
            average.lerp_(current[name], 1 - self.config.ema_decay)

    def averaged(self) -> Pipeline:
        """Return the pipeline with the EMA backbone, and the tokenizer with EMA statistics."""
        tokenizer = copy(self.tokenizer)
        tokenizer._modules = {**self.tokenizer._modules, "norm": self.nets[STATISTICS]}
        return _with_learned_tokenizer(super().averaged().with_parts(tokenizer=tokenizer))

    def weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the EMA weights of the backbone, and the weights of the tokenizer with EMA statistics."""
        statistics = {f"norm.{name}": value for name, value in self.nets[STATISTICS].state_dict().items()}
        return {**super().weights(), TOKENIZER: {**self.tokenizer.state_dict(), **statistics}}

    def finish(self) -> Pipeline:
        """Load the EMA weights into the pipeline, freeze its tokenizer and return it."""
        pipeline = super().finish()
        self.tokenizer.norm.load_state_dict(self.nets[STATISTICS].state_dict())
        self.tokenizer.requires_grad_(False)
        return _with_learned_tokenizer(pipeline)


def _with_learned_tokenizer(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline with the tokenizer among the parts whose weights are saved and identify the model."""
    return pipeline.with_parts(learned=tuple(dict.fromkeys([*pipeline.learned, TOKENIZER])))


@contextmanager
def frozen(networks: Iterator[nn.Module]) -> Iterator[None]:
    """Turn off the gradients of the networks' parameters inside a `with` block."""
    trained = [parameter for net in networks for parameter in net.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _alignment(config: RepaEConfig, auxiliaries: Mapping[str, Auxiliary]) -> tuple[Auxiliary, float]:
    """Return the alignment loss, and the factor that replaces its weight by that for the tokenizer."""
    auxiliary = auxiliaries.get(config.align)
    weight = getattr(getattr(auxiliary, "config", None), "weight", 0.0)
    if auxiliary is None or not weight:
        raise ConfigError(
            f"stage.align: there is no auxiliary loss {config.align!r} with a weight above 0. Add it to"
            " `auxiliary`, or raise its `weight`."
        )
    return auxiliary, config.align_weight / weight


def _distance(config: RepaEConfig, pipeline: Pipeline) -> PerceptualDistance | None:
    if config.perceptual == "none":
        return None
    try:
        return PerceptualDistance.load(config.lpips).to(pipeline.device)
    except DataError as error:
        raise DataError(
            f"{error} Set `stage.lpips` to the folder, or train without LPIPS: `stage.perceptual: none`."
        ) from error
