"""sCM: continuous-time consistency training and distillation (Lu and Song, arXiv 2410.11081)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nanogen_consistency.config import SCMConfig
from nanogen_consistency.messages import NO_CLS_TOKEN
from nanogen_consistency.teacher import Teacher
from nanogen_consistency.trigflow import QUARTER, SIGMA_DATA, TrigFlow
from nanogen_core.errors import Incompatible
from nanogen_core.protocols import Network
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, ForwardPass, Losses, Prediction, State, Times, per_sample
from nanogen_meanflow.derivative import METHODS, JVPInputs, JVPOutput


class SCM(TrigFlow):
    """Continuous-time consistency model: `f(x, a) = cos(a) x - sin(a) sigma_d F(x / sigma_d, a)`.

    f predicts the data, and is trained to be constant along solutions x(a) of the ODE. The loss is
    `exp(w(a)) |F - sg(F) - g|^2 - w(a)` with the tangent g of Algorithm 1:

    `g = -cos(a)^2 (sigma_d F - dx/da) - r cos(a) sin(a) (x + sigma_d dF/da)`, then `g / (|g| + c)`

    dF/da is taken along the path, in the direction (dx/da, 1), without gradient. dx/da comes from the data and noise
    (consistency training), or from a teacher with guidance (consistency distillation). r grows linearly from 0 to 1 in
    the first `tangent_warmup` steps. For r = 1, the first equation is `g = cos(a) df/da`. Before the normalization g is
    multiplied by 0.5 / sigma_d, since the paper's data has standard deviation 0.5. |g| is the root mean square over the
    latent, as in public code. c is `tangent_constant`. w and sigma_d are as in `TrigFlow`.

    Args:
        config: Options of the objective.
        latent: Shape of the latents. It must have no class token.
        condition: Shape of the condition. The teacher must have the same.

    Raises:
        Incompatible: `latent` has a class token, the teacher's objective is not TrigFlow, or its latents, conditions or
            sigma_d differ.
        DataError: `teacher` has no saved pipeline.
    """

    config: SCMConfig
    name = "scm"

    def __init__(self, config: SCMConfig, *, latent: LatentSpec, condition: ConditionSpec):
        if latent.cls_token_width:
            raise Incompatible(NO_CLS_TOKEN)
        super().__init__(config, latent=latent)
        self._derivative = METHODS[config.derivative](config.fd_step)
        self.teacher = None if config.teacher is None else Teacher(config.teacher, config.teacher_scale)
        if self.teacher is not None:
            self.teacher.check(latent, condition, self.std)

    def loss(
        self, nets: Mapping[str, Network], clean: State, condition: Condition, null: Condition, rng: KeyedRNG
    ) -> Losses:
        """Compute the loss of `nets["student"]` at random times and noise.

        Args:
            nets: The networks by role. Only "student" is used.
            clean: Data: latents [B, C, h, w].
            condition: Conditions of the batch. Rows may be null; the teacher has no guidance there.
            null: The null condition, for the guidance of a teacher.
            rng: Random numbers for times and noise, one slot per sample. `rng.step` determines r.

        Returns:
            The batch mean of the weighted errors, and batch means of the parts. The part `scm` is the unweighted
            squared error, equal to `|g|^2 / (|g| + c)^2`. The part `tangent` is |g| before the normalization.
            Additional heads learn dx/da.
        """
        noise, t = self.noise(rng), self.times(rng)
        state = self.interpolate(clean, noise, t)
        slope = self._slope(clean, noise, state, t, condition, null)
        inputs, angles = self.network_inputs(state, Times(t, t))

        def output_fn(z: Tensor, angle: Tensor) -> Prediction:
            prediction = nets["student"](State(z), Times(angle, angle), condition)
            return prediction._replace(value=prediction.value.map(lambda f: f.to(z.dtype)))

        output = self._derivative(output_fn, JVPInputs(inputs.latent, angles.t, slope))
        tangent = self.tangent(inputs.latent, output, slope, angles.t, self.warmup(rng.step))
        norm = tangent.square().flatten(1).mean(dim=1).sqrt()  # [B]
        normalized = tangent / per_sample(norm + self.config.tangent_constant, tangent)
        value = output.prediction.value.latent
        error = (value - value.detach() - normalized).square().flatten(1).mean(dim=1)
        velocity = self.velocity(output.prediction, state, Times(t, t))
        denoised = self.denoised(velocity.value, state, t)
        forward_pass = ForwardPass(state, Times(t, t), velocity, denoised, noise, condition)
        scaled = QUARTER * self.std * slope
        heads = {name: self._error(head.latent, scaled) for name, head in velocity.heads.items()}
        losses = self.weighted({self.name: error, **heads}, forward_pass)
        return losses._replace(parts={**losses.parts, "tangent": norm.mean()})

    def warmup(self, step: int) -> float:
        """Return r at a training step: `min(1, step / tangent_warmup)`, or 1 without warmup."""
        return min(1.0, step / self.config.tangent_warmup) if self.config.tangent_warmup else 1.0

    def tangent(self, inputs: Tensor, output: JVPOutput, slope: Tensor, angle: Tensor, r: float) -> Tensor:
        """Return g before the normalization, in the units of the paper, whose data has standard deviation 0.5.

        Args:
            inputs: x / sigma_d [B, C, h, w].
            output: F, and dF/da.
            slope: (dx/da) / sigma_d [B, C, h, w].
            angle: a [B].
            r: Factor of the second term.
        """
        cos, sin = (per_sample(values, inputs) for values in (angle.cos(), angle.sin()))
        value = output.prediction.value.latent.detach()
        return SIGMA_DATA * (-cos.square() * (value - slope) - r * cos * sin * (inputs + output.du_dt))

    def _slope(
        self, clean: State, noise: State, state: State, t: Tensor, condition: Condition, null: Condition
    ) -> Tensor:
        """Return (dx/da) / sigma_d [B, C, h, w] without gradient."""
        if self.teacher is None:
            velocity = self.path_velocity(clean, noise, t).latent
        else:
            velocity = self.teacher.velocity(state, Times(t, t), condition, null)
        return velocity.detach() / (QUARTER * self.std)
