"""The tokenizer `rae` (Zheng et al., arXiv 2510.11690): standardised tokens of a frozen encoder, and a decoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from nanogen_core.errors import DataError, Incompatible
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Batch
from nanogen_data.contents import files_of
from nanogen_rae.config import RAEConfig
from nanogen_rae.conv_decoder import ConvDecoder
from nanogen_rae.decoder import Decoder
from nanogen_rae.decoder_files import Output, load_decoder, read_decoder
from nanogen_rae.lookup import vision_encoder
from nanogen_rae.pixels import per_channel
from nanogen_rae.protocol import VisionEncoder
from nanogen_rae.sizes import CONV_SIZES, SIZES
from nanogen_rae.statistics import Statistics, measure, read_statistics


class RAE:
    """Every file (encoder, statistics, decoder) is read when it is first needed: shapes are known without them."""

    def __init__(self, config: RAEConfig, *, image_size: int):
        self.encoder: VisionEncoder = vision_encoder(
            config.encoder, config.encoder_options, "tokenizer.encoder_options"
        )
        self.device = torch.device("cpu")
        self._config = config
        self._image_size = image_size
        self.output: Output = config.decoder.output or "pixels"  # of the decoder; a file may tell otherwise

    def to(self, device: torch.device | str) -> RAE:
        """Where images and latents come from; returns the tokenizer itself."""
        self.device = torch.device(device)
        self.encoder.to(device)
        return self

    def latent(self, image_size: int) -> LatentSpec:
        """From the encoder's table alone. Raises Incompatible for a size that its grid does not divide."""
        grid = self.encoder.grid(image_size)
        if image_size % grid:
            raise Incompatible(
                f"The encoder {self._config.encoder!r} has {grid} x {grid} tokens for {image_size} pixels, which a "
                f"decoder cannot write as equal patches: set `tokenizer.encoder_options.side` so that their number "
                f"divides the image's side, or choose another encoder."
            )
        return LatentSpec(self.encoder.width, grid, grid, factor=image_size // grid)

    def weights(self) -> Mapping[str, Tensor]:
        """The tensors that `encode` depends on. Raises DataError where a file is missing."""
        statistics = {f"statistics.{name}": value for name, value in self._statistics._asdict().items()}
        return {**self.encoder.weights(self._image_size), **statistics}

    def files(self) -> list[Path]:
        """What the encoder reads; the decoder and the statistics are options."""
        return files_of(self.encoder)

    def tokens(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, H] in [-1, 1] -> the encoder's tokens [B, C, h, w] before they are standardised."""
        grid = self.encoder.grid(images.shape[-1])
        tokens = self.encoder.encode(images).tokens  # [B, N, C]
        return tokens.mT.reshape(len(tokens), -1, grid, grid)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, H] in [-1, 1] -> latents [B, C, h, w]. Raises DataError where a file is missing."""
        return self._statistics.to(images.device).apply(self.tokens(images))

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Latents [B, C, h, w] -> images [B, 3, H, W] float32, about [-1, 1], not clamped. Draws nothing."""
        tokens = self._statistics.to(latents.device).denormalize(latents.float())
        return self.decode_tokens(self._decoder.to(latents.device), tokens.to(self._dtype))

    def decode_tokens(self, decoder: nn.Module, tokens: Tensor) -> Tensor:
        """What a decoder of this tokenizer makes of tokens [B, C, h, w]: images [B, 3, H, W], about [-1, 1]."""
        pixels: Tensor = decoder(tokens)
        if self.output == "normalised":
            pixels = pixels * per_channel(self.encoder.std, pixels) + per_channel(self.encoder.mean, pixels)
        return pixels * 2 - 1

    # -- the decoder -------------------------------------------------------------------------------------------------

    def new_decoder(self) -> Decoder | ConvDecoder:
        """A decoder to train: with the weights at `decoder.path`, or with random ones where there is no path.

        Raises DataError for a file that does not fit, ConfigError where nobody says what its decoder writes.
        """
        config = self._config.decoder
        decoder = _decoder_of(config.size, self.latent(self._image_size))
        if config.path is not None:
            file = read_decoder(Path(config.path).expanduser(), config.weights)
            load_decoder(decoder, file)
            self.output = file.output_as(config.output)
        return decoder

    def set_decoder(self, decoder: nn.Module) -> None:
        """Decodes with this one from now on, whatever `decoder.path` says."""
        self._decoder = decoder.to(self._dtype).eval().requires_grad_(False)

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self._config.decoder.dtype)
        return dtype

    @cached_property
    def _decoder(self) -> nn.Module:
        if self._config.decoder.path is None:
            raise DataError(
                "The RAE has no decoder: set `tokenizer.decoder.path` to the decoder.safetensors of a stage 1 run "
                "(`stage: rae-decoder`), or to a published one."
            )
        with torch.random.fork_rng(devices=[]):  # building draws initial weights, which the file then replaces
            decoder = self.new_decoder()
        return decoder.to(self._dtype).eval().requires_grad_(False)

    # -- latent statistics -------------------------------------------------------------------------------------------

    @cached_property
    def _statistics(self) -> Statistics:
        return read_statistics(self._config.statistics, self.latent(self._image_size).shape)

    def compute_statistics(self, batches: Iterable[Batch], file: Path) -> int:
        """Writes the statistics of the latents of these images; returns how many there were. Raises DataError."""
        images = (batch.images for batch in batches if batch.images is not None)
        return measure((self.tokens(chunk.to(self.device)) for chunk in images), file)


def _decoder_of(size: str, spec: LatentSpec) -> Decoder | ConvDecoder:
    """A decoder with random weights for the tokens of a latent."""
    if size in CONV_SIZES:
        return ConvDecoder(spec.channels, spec.factor, CONV_SIZES[size])
    return Decoder(spec.channels, spec.height, spec.factor, SIZES[size])
