"""Contract tests for tokenizers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Tokenizer
from nanogen_core.randomness import KeyedRNG
from nanogen_core.testing.comparison import global_rng_untouched, max_difference


class TokenizerContract:
    """Contract of a tokenizer. An attribute that is None skips its test.

    Fixtures:
        tokenizer: The tokenizer.

    Attributes:
        image_size: Side of the test images in pixels.
        wrong_size: An image size that the tokenizer must refuse.
        variance: Bounds of the variance of the latents of `images()`.
        reconstruction: Largest allowed mean absolute error of the reconstructed `images()`.
        tolerance: Largest allowed difference of a sample's output between two batches (rounding).
    """

    image_size: int = 32
    wrong_size: int | None = 33
    variance: tuple[float, float] | None = None
    reconstruction: float | None = None
    tolerance: float = 1e-4

    def images(self) -> Tensor:
        """Return three smooth images in [-1, 1]. Override with real images to test the variance of the latents."""
        coarse = KeyedRNG(0, range(3)).uniform("images", [3, 4, 4]) * 2 - 1
        return F.interpolate(coarse, size=(self.image_size,) * 2, mode="bilinear")  # [3, 3, S, S]

    def test_implements_the_protocol(self, tokenizer: Tokenizer) -> None:
        assert isinstance(tokenizer, Tokenizer)

    def test_latents_have_the_shape_of_the_spec(self, tokenizer: Tokenizer) -> None:
        latents = tokenizer.encode(self.images())
        assert tuple(latents.shape) == (3, *tokenizer.latent(self.image_size).shape)

    def test_factor_is_pixels_per_cell(self, tokenizer: Tokenizer) -> None:
        spec = tokenizer.latent(self.image_size)
        assert (spec.height * spec.factor, spec.width * spec.factor) == (self.image_size, self.image_size)

    def test_latents_are_finite_float32_without_gradient(self, tokenizer: Tokenizer) -> None:
        latents = tokenizer.encode(self.images().requires_grad_())
        assert latents.dtype == torch.float32
        assert latents.isfinite().all()
        assert latents.requires_grad == bool(getattr(tokenizer, "trainable", False))

    def test_decode_returns_images(self, tokenizer: Tokenizer) -> None:
        images = tokenizer.decode(tokenizer.encode(self.images()), KeyedRNG(0, range(3)))
        assert images.shape == self.images().shape
        assert images.dtype == torch.float32
        assert images.isfinite().all()

    def test_encode_is_deterministic(self, tokenizer: Tokenizer) -> None:
        with global_rng_untouched():
            first, second = tokenizer.encode(self.images()), tokenizer.encode(self.images())
        assert torch.equal(first, second)

    def test_decode_uses_only_its_rng(self, tokenizer: Tokenizer) -> None:
        latents = tokenizer.encode(self.images())
        with global_rng_untouched():
            first, second = (tokenizer.decode(latents, KeyedRNG(7, range(3))) for _ in range(2))
        assert torch.equal(first, second)

    def test_encode_treats_batch_items_independently(self, tokenizer: Tokenizer) -> None:
        images = self.images()
        assert max_difference(tokenizer.encode(images)[1:2], tokenizer.encode(images[1:2])) <= self.tolerance

    def test_decode_treats_batch_items_independently(self, tokenizer: Tokenizer) -> None:
        latents = tokenizer.encode(self.images())
        together = tokenizer.decode(latents, KeyedRNG(7, range(3)))[1:2]
        assert max_difference(together, tokenizer.decode(latents[1:2], KeyedRNG(7, [1]))) <= self.tolerance

    def test_unsupported_size_raises(self, tokenizer: Tokenizer) -> None:
        if self.wrong_size is None:
            pytest.skip("the tokenizer supports every size")
        with pytest.raises(NanoGenError, match=str(self.wrong_size)):
            tokenizer.latent(self.wrong_size)

    def test_latents_have_about_unit_variance(self, tokenizer: Tokenizer) -> None:
        if self.variance is None:
            pytest.skip("the attribute `variance` is None")
        lowest, highest = self.variance
        assert lowest <= float(tokenizer.encode(self.images()).detach().var()) <= highest

    def test_round_trip_reconstructs_images(self, tokenizer: Tokenizer) -> None:
        if self.reconstruction is None:
            pytest.skip("the attribute `reconstruction` is None")
        images = self.images()
        decoded = tokenizer.decode(tokenizer.encode(images), KeyedRNG(0, range(3)))
        assert float((decoded.detach() - images).abs().mean()) <= self.reconstruction
