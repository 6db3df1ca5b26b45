"""Drifting (arXiv 2602.04770), written outside of the library from its documentation alone.

A generator of one step. Its samples move towards real samples of their condition and away from each other; the loss is
their distance to where they moved.
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from attrs import field, frozen
from torch import nn

from nanogen_core import Component, Losses, State, Times, hookimpl, velocity_field
from nanogen_core.validators import between, count, decay
from nanogen_train import gather_rows

NANOGEN_API = 1


@frozen(kw_only=True)
class DriftingConfig:
    """Options of the stage `my-drifting`.

    Args:
        generated: Samples that are generated for each condition.
        positives: Stored examples that attract them, besides the example itself.
        memory: Examples that are stored.
        temperature: Width of the kernel, in root mean square distances of features.
        condition_temperature: How fast the weight of a stored example falls with the cosine of its condition.
        ema_decay: EMA decay per step.
    """

    generated: int = field(default=16, validator=between(2, 4096))
    positives: int = field(default=32, validator=count)
    memory: int = field(default=1024, validator=count)
    temperature: float = field(default=0.2, validator=between(1e-3, 1e3))
    condition_temperature: float = field(default=0.05, validator=between(1e-3, 1e3))
    ema_decay: float = field(default=0.999, validator=decay)


def features(latents):
    """Return the vectors [..., F] of latents [..., C, h, w] in which samples drift: all cells, and means of 2 x 2."""
    pooled = F.avg_pool2d(latents.flatten(0, -4), 2, ceil_mode=True)
    return latents.flatten(-3), pooled.unflatten(0, latents.shape[:-3]).flatten(-3)


def mean_shift(x, y, logits, temperature):
    """Return the kernel-weighted means [B, G, F] of `y` [B, P, F] around each of `x` [B, G, F].

    `logits` [B, 1 or G, P] are logarithms of further weights.
    """
    distance = torch.cdist(x, y) / x.shape[-1] ** 0.5
    return (logits - distance / temperature).softmax(dim=-1) @ y


def drift(x, positives, weights, temperature):
    """Return the drift [B, G, F] of generated vectors: attraction to `positives` [B, P, F] minus that to each other.

    Args:
        x: Generated vectors [B, G, F] with G >= 2.
        positives: Real vectors [B, P, F].
        weights: Logarithms of their weights [B, P].
        temperature: Width of the kernel.
    """
    itself = torch.zeros(x.shape[1], x.shape[1], device=x.device).fill_diagonal_(-torch.inf)
    return mean_shift(x, positives, weights[:, None], temperature) - mean_shift(x, x, itself[None], temperature)


def condition_keys(condition):
    """Return the mean token of each condition as a vector of length 1: [B, D]."""
    tokens = condition.tokens.float()
    if condition.mask is not None:
        tokens = tokens * condition.mask[..., None]
    return F.normalize(tokens.sum(dim=1), dim=-1)


class Memory(nn.Module):
    """The latest real latents and the keys of their conditions, as buffers of a checkpoint."""

    def __init__(self, size, shape, width):
        super().__init__()
        self.register_buffer("latents", torch.zeros(size, *shape))
        self.register_buffer("keys", torch.zeros(size, width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def add(self, latents, keys):
        """Replace the oldest examples."""
        size = len(self.latents)
        places = (self.seen + torch.arange(len(latents), device=latents.device)) % size
        self.latents[places[-size:]] = latents[-size:]
        self.keys[places[-size:]] = keys[-size:]
        self.seen += len(latents)

    def nearest(self, keys, number, temperature):
        """Return `number` latents [B, P, C, h, w] for conditions with the most similar keys, and their log weights."""
        logits = (keys @ self.keys.T - 1) / temperature
        empty = torch.arange(len(self.keys), device=keys.device) >= self.seen
        logits, places = logits.masked_fill(empty, -torch.inf).topk(min(number, len(self.keys)), dim=1)
        return self.latents[places], logits


class Drifting:
    """Trains a generator of one step, `nets["student"]`. `nets["memory"]` contains real samples."""

    phase_names = ("student",)

    def __init__(self, config, *, pipeline):
        self.config, self.pipeline, self.recent = config, pipeline, {}
        ema = deepcopy(pipeline.backbone).eval().requires_grad_(False)
        memory = Memory(config.memory, pipeline.latent.shape, pipeline.conditioner.spec.width)
        self.nets = nn.ModuleDict({"student": pipeline.backbone, "ema": ema, "memory": memory})

    def parameters_of(self, phase):
        return [(name, p) for name, p in self.nets["student"].named_parameters() if p.requires_grad]

    def phases(self, step):
        return self.phase_names

    @torch.no_grad()
    def prepare(self, batch, step):
        if batch.latents is not None or batch.images is None:
            return batch
        return batch._replace(latents=self.pipeline.tokenizer.encode(batch.images).float(), images=None)

    def loss(self, phase, batch, rng):
        condition = self.pipeline.conditioner.encode(batch) if batch.condition is None else batch.condition
        generated = self.generate(condition, rng)  # [B, G, C, h, w]
        real, weights = self.real(batch, condition_keys(condition))
        losses = [self.loss_of(x, y, weights) for x, y in zip(features(generated), features(real), strict=True)]
        total = torch.stack(losses).sum()
        return Losses(total, {"drift": total.detach().sqrt()})

    def loss_of(self, x, y, weights):
        """Return the mean squared distance of vectors [B, G, F] to where they drift."""
        moved = x.detach() + drift(x.detach(), y, weights, self.config.temperature)
        return F.mse_loss(x, moved)

    def generate(self, condition, rng):
        """Return latents [B, G, C, h, w] that one sampling step makes of noise."""
        number, shape = self.config.generated, self.pipeline.latent.shape
        normal = State(rng.normal("my-drifting.noise", (number, *shape)).flatten(0, 1))  # [B * G, C, h, w]
        ones = torch.ones(len(normal.latent), device=normal.latent.device)
        objective = self.pipeline.objective
        noise = objective.interpolate(normal.map(torch.zeros_like), normal, ones)
        velocity_fn = velocity_field(objective, self.nets["student"])
        repeated = condition.map(lambda rows: rows.repeat_interleave(number, dim=0))
        state = objective.step(velocity_fn, noise, Times(ones, torch.zeros_like(ones)), repeated)
        return state.latent.unflatten(0, (-1, number))

    @torch.no_grad()
    def real(self, batch, keys):
        """Return real latents [B, P, C, h, w] of each condition, the example itself first, and their log weights."""
        self.recent[tuple(batch.indices.tolist())] = batch.latents, keys
        stored, weights = self.nets["memory"].nearest(keys, self.config.positives, self.config.condition_temperature)
        own = torch.zeros_like(weights[:, :1])  # the weight 1
        return torch.cat((batch.latents[:, None], stored), dim=1), torch.cat((own, weights), dim=1)

    @torch.no_grad()
    def after_step(self, step):
        for average, value in zip(self.nets["ema"].parameters(), self.nets["student"].parameters(), strict=True):
            average.lerp_(value, 1 - self.config.ema_decay)
        latents, keys = (torch.cat(rows) for rows in zip(*self.recent.values(), strict=True))
        self.nets["memory"].add(gather_rows(latents), gather_rows(keys))
        self.recent = {}

    def averaged(self):
        return self.pipeline.with_parts(backbone=self.nets["ema"])

    def samples(self, count):
        requests = self.pipeline.task.eval_batch(count)
        return self.averaged().sample(requests).cpu(), self.pipeline.task.captions(requests)

    def weights(self):
        return {"backbone": self.nets["ema"].state_dict()}

    def finish(self):
        self.pipeline.backbone.load_state_dict(self.nets["ema"].state_dict())
        return self.pipeline


@hookimpl
def nanogen_components():
    return [
        Component(
            kind="stage",
            name="my-drifting",
            target="drifting:Drifting",
            config="drifting:DriftingConfig",
            summary="a generator of one step whose samples drift towards real ones",
            defaults={"sampler": {"name": "euler", "steps": 1}, "guidance": {"cfg": None}},
        )
    ]


@hookimpl
def nanogen_check(parts, config):
    if parts["stage"].component.name != "my-drifting" or parts["sampler"].options.get("steps") == 1:
        return []
    return ["The stage 'my-drifting' trains a generator of one step: set sampler.steps to 1."]
