"""Self-Flow (arXiv 2603.06507), written outside of the library from its documentation alone.

Flow matching with two times for each sample: a share of its tokens has the second one. The features of the student are
aligned with those of its EMA, which reads the whole sample at the earlier time.
"""

import torch
import torch.nn.functional as F
from attrs import field, frozen
from torch import nn

from nanogen_align import intermediate_shape
from nanogen_core import Component, Losses, Method, NanoGenError, Times, hookimpl, network_inputs
from nanogen_core.validators import count, factor, unit
from nanogen_flow import Flow, FlowConfig
from nanogen_train import Auxiliary

NANOGEN_API = 1


@frozen(kw_only=True)
class MixedConfig(FlowConfig):
    """Options of the objective `my-self-flow`: those of `flow`, and one more.

    Args:
        share: Share of the tokens that have the second time.
    """

    share: float = field(default=0.25, validator=unit)


class MixedFlow(Flow):
    """Flow matching in which every token of the image has its own one of two times."""

    def __init__(self, config, *, latent, backbone, condition):
        super().__init__(config, latent=latent)
        if latent.cls_token_width:
            raise NanoGenError("The objective 'my-self-flow' has no class tokens: remove the auxiliary that adds one.")
        self.share = config.share
        self.tokens, _ = intermediate_shape(backbone, "block.1", latent, condition)

    def token_times(self, rng):
        """Draw the times [B, N]. The same number of tokens of each sample has the second time."""
        first, second = self.times(rng), self.times_of(rng.normal("my-self-flow.second", ()))  # [B] each
        order = rng.uniform("my-self-flow.order", (self.tokens,)).argsort(dim=1).argsort(dim=1)  # [B, N]
        return torch.where(order < round(self.share * self.tokens), second[:, None], first[:, None])

    def loss(self, nets, clean, condition, null, rng):
        forward = self.forward_at(nets["student"], clean, self.noise(rng), self.token_times(rng), condition)
        errors = {name: error.mean() for name, error in self.errors(forward, clean).items()}
        return Losses(sum(errors.values()), {name: error.detach() for name, error in errors.items()}, forward)


@frozen(kw_only=True)
class TeacherConfig:
    """Options of the auxiliary `my-self-flow`.

    Args:
        block: Block of the student whose output is aligned.
        teacher_block: Block of the EMA network whose output is the target.
        weight: Weight of the loss.
    """

    block: int = field(default=8, validator=count)
    teacher_block: int = field(default=20, validator=count)
    weight: float = field(default=0.8, validator=factor)


class Teacher(Auxiliary):
    """1 minus the cosine between the projected features of the student and those of the EMA at the earlier time."""

    def __init__(self, config, *, objective, backbone, latent, condition):
        self.config, self.objective = config, objective
        self.intermediates = (f"block.{config.block}",)
        self.target = f"block.{config.teacher_block}"
        _, width = intermediate_shape(backbone, self.intermediates[0], latent, condition)
        _, target_width = intermediate_shape(backbone, self.target, latent, condition)
        self.nets = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, target_width))

    def loss(self, forward_pass, clean, batch, nets, rng):
        projected = self.nets(forward_pass.prediction.features[self.intermediates[0]])  # [B, N, width]
        cosine = F.cosine_similarity(projected.float(), self.teacher(forward_pass, clean, nets["ema"]).float(), dim=-1)
        loss = (1 - cosine).mean()
        return Losses(self.config.weight * loss, {"alignment": loss.detach()})

    @torch.no_grad()
    def teacher(self, forward_pass, clean, ema):
        """Return the features [B, N, width] of the EMA network at the earliest time of each sample."""
        t = forward_pass.times.t.amin(dim=1) if forward_pass.times.t.ndim == 2 else forward_pass.times.t
        state = self.objective.interpolate(clean, forward_pass.noise, t)
        inputs = network_inputs(self.objective, state, Times(t, t))
        return ema(*inputs, forward_pass.condition, intermediates=(self.target,)).features[self.target]


@hookimpl
def nanogen_components():
    return [
        Component(
            kind="objective",
            name="my-self-flow",
            target="self_flow:MixedFlow",
            config="self_flow:MixedConfig",
            provides={"instantaneous-velocity"},
            needs={"backbone": {"token-times", "features"}},
        ),
        Component(
            kind="auxiliary",
            name="my-self-flow",
            target="self_flow:Teacher",
            config="self_flow:TeacherConfig",
            needs={"backbone": {"features"}},
        ),
    ]


@hookimpl
def nanogen_methods():
    parts = {"objective": "my-self-flow", "auxiliary": "my-self-flow", "backbone": "dit", "tokenizer": "vae"}
    return [Method(name="my-self-flow", defaults=parts)]
