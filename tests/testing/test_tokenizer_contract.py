"""Tokenizers that are wrong in one way, and the test of the contract that says so."""

import pytest
import torch
from contracts import failures

from nanogen_core.specs import LatentSpec
from nanogen_core.testing import TokenizerContract
from nanogen_data.testing.fakes import TinyTokenizer, TinyTokenizerConfig


class Bounded(TokenizerContract):
    variance = (0.3, 2.0)
    reconstruction = 0.01


class WrongShape(TinyTokenizer):
    def latent(self, image_size):
        spec = super().latent(image_size)
        return LatentSpec(spec.channels + 1, spec.height, spec.width, spec.factor)


class WrongFactor(TinyTokenizer):
    def latent(self, image_size):
        spec = super().latent(image_size)
        return LatentSpec(spec.channels, spec.height, spec.width, 2 * spec.factor)


class Half(TinyTokenizer):
    def encode(self, images):
        return super().encode(images).bfloat16()


class WithGradient(TinyTokenizer):
    def encode(self, images):
        return super().encode(images) + 0 * images.mean()


class Posterior(TinyTokenizer):
    """Samples the posterior where the mode is meant."""

    def encode(self, images):
        latents = super().encode(images)
        return latents + 0.1 * torch.randn_like(latents)


class LooseDecoder(TinyTokenizer):
    def decode(self, latents, rng=None):
        images = super().decode(latents)
        return images + 0.001 * torch.randn_like(images)


class BatchNormEncoder(TinyTokenizer):
    """Left in training mode: a sample sees the others through the statistics of the batch."""

    def encode(self, images):
        latents = super().encode(images)
        return (latents - latents.mean()) / latents.std()


class BatchNormDecoder(TinyTokenizer):
    def decode(self, latents, rng=None):
        return super().decode(latents - latents.mean(dim=0))


class Cropped(TinyTokenizer):
    def decode(self, latents, rng=None):
        return super().decode(latents)[..., 1:, 1:]


class BareError(TinyTokenizer):
    def latent(self, image_size):
        assert image_size % self.config.factor == 0
        return super().latent(image_size)


class Unscaled(TinyTokenizer):
    """Latents without their statistics."""

    def encode(self, images):
        return 10 * super().encode(images)


class Trainable(TinyTokenizer):
    trainable = True

    def encode(self, images):
        return super().encode(images) * torch.ones((), requires_grad=True)


class Detached(Trainable):
    """Says that it is trained, but no gradient reaches its weights."""

    def encode(self, images):
        return super().encode(images).detach()


class Unnamed:
    """Follows no protocol."""


BROKEN = {
    WrongShape: {"latents_have_the_shape_of_the_spec"},
    WrongFactor: {"factor_is_pixels_per_cell"},
    Half: {"latents_are_finite_float32_without_gradient", "decode_returns_images"},
    WithGradient: {"latents_are_finite_float32_without_gradient"},
    Detached: {"latents_are_finite_float32_without_gradient"},
    Posterior: {"encode_is_deterministic", "encode_treats_batch_items_independently", "round_trip_reconstructs_images"},
    LooseDecoder: {"decode_uses_only_its_rng", "decode_treats_batch_items_independently"},
    BatchNormEncoder: {"encode_treats_batch_items_independently", "round_trip_reconstructs_images"},
    BatchNormDecoder: {"decode_treats_batch_items_independently", "round_trip_reconstructs_images"},
    Cropped: {"decode_returns_images", "round_trip_reconstructs_images"},
    BareError: {"unsupported_size_raises"},
    Unscaled: {"latents_have_about_unit_variance", "round_trip_reconstructs_images"},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_tokenizer_is_caught(broken):
    assert failures(Bounded, tokenizer=broken(TinyTokenizerConfig())) == BROKEN[broken]


def test_something_else_is_caught():
    assert "implements_the_protocol" in failures(Bounded, tokenizer=Unnamed())


@pytest.mark.parametrize("healthy", [TinyTokenizer, Trainable])
def test_the_healthy_tokenizer_holds(healthy):
    assert failures(Bounded, tokenizer=healthy(TinyTokenizerConfig())) == set()
