"""The tokenizer `rae` (Zheng et al., arXiv 2510.11690): normalised tokens of a frozen encoder, and a decoder."""

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
    """Representation autoencoder. Files (encoder, statistics, decoder) are read on first use.

    Args:
        config: Options of the tokenizer.
        image_size: Side of the images in pixels.
    """

    def __init__(self, config: RAEConfig, *, image_size: int):
        self.encoder: VisionEncoder = vision_encoder(
            config.encoder, config.encoder_options, "tokenizer.encoder_options"
        )
        self.device = torch.device("cpu")
        self._config = config
        self._image_size = image_size
        self.output: Output = config.decoder.output or "pixels"  # output of the decoder; a decoder's file may change it

    def to(self, device: torch.device | str) -> RAE:
        """Move the encoder to a device. Returns the tokenizer itself."""
        self.device = torch.device(device)
        self.encoder.to(device)
        return self

    def latent(self, image_size: int) -> LatentSpec:
        """Return the shape of the latent. Does not load weights. Raises Incompatible for an unsupported image size."""
        grid = self.encoder.grid(image_size)
        if image_size % grid:
            raise Incompatible(
                f"The encoder {self._config.encoder!r} has {grid} x {grid} tokens for images of {image_size} pixels, "
                f"and {grid} does not divide {image_size}. Choose another `image_size`, "
                f"`tokenizer.encoder_options.side` or encoder."
            )
        return LatentSpec(self.encoder.width, grid, grid, factor=image_size // grid)

    def weights(self) -> Mapping[str, Tensor]:
        """Return the tensors that `encode` depends on. Raises DataError if a file is missing."""
        statistics = {f"statistics.{name}": value for name, value in self._statistics._asdict().items()}
        return {**self.encoder.weights(self._image_size), **statistics}

    def files(self) -> list[Path]:
        """Return the files of the encoder.

        The files of the decoder and of the statistics are left out, because options name them.
        """
        return files_of(self.encoder)

    def tokens(self, images: Tensor) -> Tensor:
        """Encode images [B, 3, H, H] in [-1, 1] to tokens [B, C, h, w] without normalisation."""
        grid = self.encoder.grid(images.shape[-1])
        tokens = self.encoder.encode(images).tokens  # [B, N, C]
        return tokens.mT.reshape(len(tokens), -1, grid, grid)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode images [B, 3, H, H] in [-1, 1] to latents [B, C, h, w]. Raises DataError if a file is missing."""
        return self._statistics.to(images.device).apply(self.tokens(images))

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Decode latents [B, C, h, w] to images [B, 3, H, W], float32, about [-1, 1], not clamped. `rng` is unused."""
        tokens = self._statistics.to(latents.device).denormalize(latents.float())
        return self.decode_tokens(self._decoder.to(latents.device), tokens.to(self._dtype))

    def decode_tokens(self, decoder: nn.Module, tokens: Tensor) -> Tensor:
        """Decode tokens [B, C, h, w] with the given decoder to images [B, 3, H, W], about [-1, 1]."""
        pixels: Tensor = decoder(tokens)
        if self.output == "normalised":
            pixels = pixels * per_channel(self.encoder.std, pixels) + per_channel(self.encoder.mean, pixels)
        return pixels * 2 - 1

    # -- the decoder -------------------------------------------------------------------------------------------------

    def new_decoder(self) -> Decoder | ConvDecoder:
        """Build a decoder to train, with the weights at `decoder.path` if it is set.

        Raises:
            DataError: The file is missing or does not match.
            ConfigError: Neither the file nor the option declares the output of the decoder, or they disagree.
        """
        config = self._config.decoder
        decoder = _decoder_of(config.size, self.latent(self._image_size))
        if config.path is not None:
            file = read_decoder(Path(config.path).expanduser(), config.weights)
            load_decoder(decoder, file)
            self.output = file.output_as(config.output)
        return decoder

    def set_decoder(self, decoder: nn.Module) -> None:
        """Replace the decoder."""
        self._decoder = decoder.to(self._dtype).eval().requires_grad_(False)

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self._config.decoder.dtype)
        return dtype

    @cached_property
    def _decoder(self) -> nn.Module:
        if self._config.decoder.path is None:
            raise DataError(
                "The RAE has no decoder. Set `tokenizer.decoder.path` to the decoder.safetensors of a stage 1 run "
                "(`stage: rae-decoder`), or to a published one."
            )
        with torch.random.fork_rng(devices=[]):  # building the model draws random numbers
            decoder = self.new_decoder()
        return decoder.to(self._dtype).eval().requires_grad_(False)

    # -- latent statistics -------------------------------------------------------------------------------------------

    @cached_property
    def _statistics(self) -> Statistics:
        return read_statistics(self._config.statistics, self.latent(self._image_size).shape)

    def compute_statistics(self, batches: Iterable[Batch], file: Path) -> int:
        """Measure the latent statistics of images and write them.

        Args:
            batches: Batches with images.
            file: The file to write.

        Returns:
            The number of images.

        Raises:
            DataError: There are no images, or tokens are not finite.
        """
        images = (batch.images for batch in batches if batch.images is not None)
        return measure((self.tokens(chunk.to(self.device)) for chunk in images), file)


def _decoder_of(size: str, spec: LatentSpec) -> Decoder | ConvDecoder:
    """Return a decoder with random weights for a latent."""
    if size in CONV_SIZES:
        return ConvDecoder(spec.channels, spec.factor, CONV_SIZES[size])
    return Decoder(spec.channels, spec.height, spec.factor, SIZES[size])
