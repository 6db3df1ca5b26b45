"""One step of the first adversarial epoch, with the losses of the stage and the optimizers of the training loop.

A value between two 8-bit levels may round differently, so that the discriminator's step uses the recorded output of the
decoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from attrs import evolve
from torch import Tensor, nn

from nanogen_core.assembly import Assembly
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch
from nanogen_files import storage
from nanogen_rae.decoder import Decoder
from nanogen_rae.decoder_files import to_decoder_names
from nanogen_rae.sizes import Size
from nanogen_rae.stage import DECODER, DISCRIMINATOR, IMAGES, DecoderTraining
from nanogen_train.optim.optimization import Optimization
from nanogen_train.optim.schedules import Constant
from nanogen_train.optim.settings import ConstantConfig
from tests.fidelity.measurement import Measurement
from tests.fidelity.recorded import RecordedRNG, compared, read, under
from tests.fidelity.stage1 import published, training

EPOCHS, STEPS_PER_EPOCH = 16, 10
BEFORE, STEP = 79, 80  # the last step before the adversarial loss, and the first one with it
ROWS = 4  # every fourth row of augmented images is recorded
TOLERANCE, AFTER = 1e-4, 1e-3  # AFTER: gradients and all values after the optimizer step
LATER = ("gradient", "grad_norm", "last_weight", "decoded_again", "logits_fake", "logits_real", "discriminator_loss")


class Recorder:
    """Records outputs of the networks in order, and inputs and outputs of DiffAugment by purpose."""

    def __init__(self, stage: DecoderTraining):
        self.decoded: list[Tensor] = []
        self.logits: list[Tensor] = []
        self.given: dict[str, Tensor] = {}
        self.augmented: dict[str, Tensor] = {}
        self.replacement: Tensor | None = None  # replaces the output of the decoder
        self._augment, stage.augment = stage.augment, self._record_augmented
        stage.nets[DECODER].register_forward_hook(self._record_decoded)
        stage.nets[DISCRIMINATOR].register_forward_hook(lambda net, given, logits: self.logits.append(logits.detach()))

    def _record_decoded(self, net: nn.Module, given: object, output: Tensor) -> Tensor:
        self.decoded.append(output.detach())
        return output if self.replacement is None else self.replacement

    def _record_augmented(self, images: Tensor, rng: KeyedRNG, purpose: str) -> Tensor:
        changed: Tensor = self._augment(images, rng, purpose)
        self.given[purpose], self.augmented[purpose] = images.detach(), changed.detach()
        return changed


def measure(path: Path) -> Iterator[Measurement]:
    """Every recorded output."""
    facts, tensors = read(path)
    with TemporaryDirectory() as folder:
        stage, optimization = _prepared(Path(folder), facts, tensors)
    found = _step(stage, optimization, tensors)
    ours = {f"out.{name}": value.reshape(tensors[f"out.{name}"].shape) for name, value in found.items()}
    for measured in compared(ours, tensors, TOLERANCE):
        yield evolve(measured, tolerance=AFTER if any(word in measured.name for word in LATER) else TOLERANCE)


def _prepared(folder: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[DecoderTraining, Any]:
    storage.write_json(folder / "config.json", {"num_attention_heads": facts["dino"]["num_heads"]})
    storage.write_tensors(folder / "model.safetensors", under(tensors, "dino."))
    steps = EPOCHS * STEPS_PER_EPOCH
    resolved = published(steps, STEPS_PER_EPOCH, perceptual="none", dino=str(folder))
    stage = training(_decoder(facts["decoder"], under(tensors, "decoder.")), resolved)
    stage.nets[DISCRIMINATOR].load_state_dict(under(tensors, "disc."))
    schedule = Constant(ConstantConfig())
    return stage, Optimization(
        stage, Assembly(resolved)["optimizer"], schedule, resolved.sections["train"].gradient_clip
    )


def _decoder(facts: Mapping[str, Any], state: Mapping[str, Tensor]) -> Decoder:
    size = Size(facts["hidden"], facts["layers"], facts["heads"], facts["mlp"])
    decoder = Decoder(facts["token_width"], facts["image_side"] // facts["patch"], facts["patch"], size)
    decoder.load_state_dict(to_decoder_names(state))
    return decoder


def _step(stage: DecoderTraining, optimization: Any, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Compute the outputs under their recorded names."""
    batch, recorder = _batch(tensors), Recorder(stage)
    last = stage.nets[DECODER].get_submodule("head").weight
    early = stage.loss(DECODER, batch, _draws(tensors, BEFORE))
    (reconstruction,) = torch.autograd.grad(early.total, last)

    losses = stage.loss(DECODER, batch, _draws(tensors, STEP))
    losses.total.backward()
    gradient = last.grad.clone()
    found = {
        "decoded_noisy": recorder.decoded[-1],
        "l1": losses.parts["l1"],
        "logits_decoder_step": recorder.logits[-1],
        "adversarial": losses.parts["adversarial"],
        "adaptive_weight": losses.parts["weight"],
        "total": losses.total.detach(),
        "last_gradient_reconstruction": reconstruction,
        "last_gradient_total": gradient,
        "last_gradient_adversarial": (gradient - reconstruction)
        / (stage.config.adversarial_weight * losses.parts["weight"]),
        "grad_norm_decoder": optimization.update(DECODER, STEP)["grad_norm"],
        "last_weight_after": last.detach().clone(),
    }

    recorder.replacement = tensors["out.decoded_again"]
    discriminator_losses = stage.loss(DISCRIMINATOR, batch, _draws(tensors, STEP))
    discriminator_losses.total.backward()
    found |= {
        "decoded_again": recorder.decoded[-1],
        "fake_for_discriminator": recorder.given["fake"],
        "fake_augmented": recorder.augmented["fake"][:, :, ::ROWS],
        "logits_fake": recorder.logits[-2],
        "logits_real": recorder.logits[-1],
        "discriminator_loss": discriminator_losses.total.detach(),
        "grad_norm_discriminator": optimization.update(DISCRIMINATOR, STEP)["grad_norm"],
    }
    stage.after_step(STEP)
    found["last_weight_average"] = stage.nets["ema"].get_submodule("head").weight
    return found


def _batch(tensors: Mapping[str, Tensor]) -> Batch:
    images = tensors["in.images"] * 2 - 1
    return Batch(torch.arange(len(images)), latents=_cells(tensors["in.tokens"]), extras={IMAGES: images})


def _cells(tokens: Tensor) -> Tensor:
    """[B, N, C] -> [B, C, h, w]."""
    side = round(tokens.shape[1] ** 0.5)
    return tokens.mT.unflatten(2, (side, side))


def _draws(tensors: Mapping[str, Tensor], step: int) -> RecordedRNG:
    numbers = {
        "rae.sigma": tensors["in.noise_u"],
        "rae.noise": _cells(tensors["in.noise_n"]),
        "augment.decoder": tensors["in.draws.decoder_step_fake"].T,
        "augment.fake": tensors["in.draws.discriminator_step_fake"].T,
        "augment.real": tensors["in.draws.discriminator_step_real"].T,
    }
    return RecordedRNG(numbers, samples=len(tensors["in.images"]), step=step)
