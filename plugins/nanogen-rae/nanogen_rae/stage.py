"""Stage 1 of a RAE: trains a decoder from tokens of a frozen encoder to images (arXiv 2510.11690, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from nanogen_align.vgg import PerceptualDistance
from nanogen_core.errors import DataError
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Losses, per_sample
from nanogen_rae.augment import DiffAugment
from nanogen_rae.decoder_files import marked
from nanogen_rae.dino import load_dino
from nanogen_rae.discriminator import Heads, adaptive_weight, frozen, generator_loss, hinge
from nanogen_rae.features import DinoFeatures, EncoderFeatures, Features
from nanogen_rae.pixels import in_8_bits
from nanogen_rae.quality import psnr
from nanogen_rae.stage_config import DecoderStageConfig
from nanogen_rae.tokenizer import RAE
from nanogen_train.distributed import processes
from nanogen_train.ema.ema import EMA

DECODER, DISCRIMINATOR = "decoder", "discriminator"
IMAGES = "rae.images"  # key in `batch.extras` of the target images, which are cached with their tokens

Distance = Callable[[Tensor, Tensor], Tensor]


class DecoderTraining:
    """Training of a RAE's decoder with L1 and, by default, a perceptual loss and a GAN loss.

    `nets["decoder"]` and `nets["discriminator"]` (absent without a GAN loss) have one optimizer each. `nets["ema"]` is
    the EMA of the decoder.
    The L1 loss is on the scale of images in [0, 1]. Checkpoints do not contain the frozen networks of the losses.

    Args:
        config: Options of the stage.
        pipeline: The pipeline. Its tokenizer must be a RAE.

    Raises:
        DataError: Weights of LPIPS, DINO or the decoder are missing or do not match.
    """

    def __init__(self, config: DecoderStageConfig, *, pipeline: Pipeline):
        self.config, self.pipeline = config, pipeline
        self.tokenizer: RAE = pipeline.tokenizer
        decoder = self.tokenizer.new_decoder().to(self.tokenizer.device)
        self._average = EMA(decoder)
        self.nets = nn.ModuleDict({DECODER: decoder, "ema": self._average.net})
        self._distance = _distance(config, self.tokenizer)
        self.features = _features(config, self.tokenizer)
        self.augment = DiffAugment(config.augment_probability, config.cutout)
        if self.features is not None:
            heads = Heads(self.features.width, self.features.levels)
            self.nets[DISCRIMINATOR] = heads.to(self.tokenizer.device)
        self.phase_names = (DECODER,) if self.features is None else (DECODER, DISCRIMINATOR)

    def phases(self, step: int) -> Sequence[str]:
        """Return "decoder", and also "discriminator" if the discriminator is trained in this step.

        With a GAN loss, the training of the discriminator starts at the fraction `discriminator_from` of all steps.
        """
        return self.phase_names if self._reached(step, self.config.discriminator_from) else (DECODER,)

    def _reached(self, step: int, fraction: float) -> bool:
        steps: int = self.pipeline.config.sections["train"].steps
        return step / steps >= fraction

    def parameters_of(self, phase: str) -> Sequence[tuple[str, nn.Parameter]]:
        """Return the named parameters of the network that a phase trains."""
        return [(f"{phase}.{name}", tensor) for name, tensor in self.nets[phase].named_parameters()]

    def prepare(self, batch: Batch, step: int | None) -> Batch:
        """Encode the images: the tokens [B, C, h, w] become `latents`, the images move to `extras`.

        A batch that has latents, or no images, is returned unchanged.
        """
        if batch.latents is not None or batch.images is None:
            return batch
        tokens = self.tokenizer.tokens(batch.images)
        return batch._replace(latents=tokens, images=None, extras={**batch.extras, IMAGES: batch.images})

    def loss(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        """Compute the loss of a phase.

        The decoder reconstructs images from noisy tokens. The discriminator compares the images with reconstructions
        from tokens without noise. These are decoded after the decoder's update in the same step.

        Args:
            phase: "decoder" or "discriminator".
            batch: A batch from `prepare`.
            rng: Random numbers, one slot per sample.
        """
        assert batch.latents is not None, "call prepare() before loss()"
        part = self._decoder_loss if phase == DECODER else self._discriminator_loss
        return part(batch.latents, batch.extras[IMAGES], rng)

    # -- the decoder -------------------------------------------------------------------------------------------------

    def _decoder_loss(self, tokens: Tensor, images: Tensor, rng: KeyedRNG) -> Losses:
        output = self.tokenizer.decode_tokens(self.nets[DECODER], self._noisy(tokens, rng))  # [B, 3, H, W]
        parts = {"l1": (output - images).abs().mean() / 2, **self._perceptual(output, images)}
        total = parts["l1"] + self.config.perceptual_weight * parts.get("perceptual", torch.zeros_like(parts["l1"]))
        if self.features is not None and self._reached(rng.step, self.config.adversarial_from):
            parts["adversarial"] = self._adversarial(output, rng)
            last = self.nets[DECODER].get_parameter("head.weight")  # FSDP gathers it during the loss
            parts["weight"] = adaptive_weight(total, parts["adversarial"], last)
            total = total + self.config.adversarial_weight * parts["weight"] * parts["adversarial"]
        parts["psnr"] = psnr(output.detach(), images).mean()
        return Losses(total, {name: value.detach() for name, value in parts.items()})

    def _noisy(self, tokens: Tensor, rng: KeyedRNG) -> Tensor:
        """Add noise `sigma N(0, 1)` with `sigma = tau U(0, 1)` per sample, as robustness to errors of diffusion."""
        sigma = self.config.noise * rng.uniform("rae.sigma")  # [B]
        return tokens + per_sample(sigma, tokens) * rng.normal("rae.noise", tokens.shape[1:])

    def _perceptual(self, output: Tensor, images: Tensor) -> Mapping[str, Tensor]:
        return {} if self._distance is None else {"perceptual": self._distance(output, images)}

    def _adversarial(self, output: Tensor, rng: KeyedRNG) -> Tensor:
        """Adversarial loss [] of the output, neither clamped nor rounded, with the discriminator frozen."""
        with frozen(self.nets[DISCRIMINATOR]):
            return generator_loss(self._logits(output, rng, "decoder"))

    # -- the discriminator -------------------------------------------------------------------------------------------

    def _discriminator_loss(self, tokens: Tensor, images: Tensor, rng: KeyedRNG) -> Losses:
        fake, real = self._logits(self._reconstructed(tokens), rng, "fake"), self._logits(images, rng, "real")
        total = hinge(real, fake)
        means = {"logits.real": real.mean(), "logits.fake": fake.mean(), "discriminator": total}
        return Losses(total, {name: value.detach() for name, value in means.items()})

    @torch.no_grad()
    def _reconstructed(self, tokens: Tensor) -> Tensor:
        """Return the reconstructions of tokens without noise, rounded to 8 bits."""
        return in_8_bits(self.tokenizer.decode_tokens(self.nets[DECODER], tokens))

    def _logits(self, images: Tensor, rng: KeyedRNG, purpose: str) -> Tensor:
        assert self.features is not None
        logits: Tensor = self.nets[DISCRIMINATOR](self.features(self.augment(images, rng, purpose)))
        return logits

    # -- after a step ------------------------------------------------------------------------------------------------

    def after_step(self, step: int) -> None:
        """Update the EMA of the decoder."""
        self._average.update(self.config.ema_decay)

    @torch.no_grad()
    def samples(self, count: int) -> tuple[Tensor, Sequence[str]]:
        """Return about `count` images, and a label for each.

        Each held-out image is followed by the reconstruction of the EMA decoder. The labels are "original" and, with
        the PSNR, "decoded, 22.7 dB".
        """
        pairs = -(-max(1, count // 2) // processes.world())  # per process
        decoded = self._decoded(next(iter(self.pipeline.task.iter_once("val", pairs)), None))
        images, captions = zip(*(part for part in processes.all_gather(decoded) if part is not None), strict=True)
        return torch.cat(images), [text for part in captions for text in part]

    def _decoded(self, batch: Batch | None) -> tuple[Tensor, list[str]] | None:
        """Return the images and reconstructions in turn, on the CPU. None if the process has no images."""
        if batch is None:
            return None
        batch = batch.to(self.tokenizer.device)
        assert batch.images is not None
        decoded = self.tokenizer.decode_tokens(self.nets["ema"], self.tokenizer.tokens(batch.images)).clamp(-1, 1)
        ratios = psnr(decoded, batch.images).tolist()
        captions = [text for ratio in ratios for text in ("original", f"decoded, {ratio:.1f} dB")]
        return torch.stack([batch.images, decoded], dim=1).flatten(0, 1).cpu(), captions

    def weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the EMA decoder, which is saved as `decoder.safetensors` in the run's folder."""
        return {DECODER: marked(self.nets["ema"].state_dict(), self.tokenizer.output)}

    def finish(self) -> Pipeline:
        """Return the pipeline with the EMA decoder in its tokenizer."""
        self.tokenizer.set_decoder(self.nets["ema"])
        return self.pipeline


def _distance(config: DecoderStageConfig, tokenizer: RAE) -> Distance | None:
    if config.perceptual == "lpips":
        network = _lpips(config.lpips).to(tokenizer.device)
        return lambda output, images: network(output, images).mean()
    if config.perceptual == "encoder":
        return lambda output, images: _token_distance(tokenizer, output, images)
    return None


def _lpips(folder: str | None) -> PerceptualDistance:
    try:
        return PerceptualDistance.load(folder)
    except DataError as error:
        raise DataError(
            f"{error} Set `stage.lpips` to the folder, or train without LPIPS: `stage.perceptual: encoder` or `none`."
        ) from error


def _token_distance(tokenizer: RAE, output: Tensor, images: Tensor) -> Tensor:
    """Mean squared error of the tokens of two batches of images: []."""
    predicted, target = tokenizer.encoder.forward_features(output).tokens, tokenizer.encoder.encode(images).tokens
    return (predicted - target).square().mean()


def _features(config: DecoderStageConfig, tokenizer: RAE) -> Features | None:
    if config.discriminator == "dino":
        return DinoFeatures(load_dino(config.dino).to(tokenizer.device))
    return EncoderFeatures(tokenizer.encoder) if config.discriminator == "encoder" else None
