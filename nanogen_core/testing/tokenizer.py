"""What every tokenizer must do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Tokenizer
from nanogen_core.randomness import KeyedRNG
from nanogen_core.testing.comparison import apart, global_state_kept


class TokenizerContract:
    """Asks for the fixture `tokenizer`. Override the attributes to suit it; `None` leaves that test out."""

    image_size: int = 32
    wrong_size: int | None = 33  # a size that it must refuse; None: it takes every size
    variance: tuple[float, float] | None = None  # bounds of the variance of the latents of `images()`
    reconstruction: float | None = None  # the largest mean absolute error of a round trip of `images()`
    tolerance: float = 1e-4  # of rows in another batch: matrix products round otherwise there

    def images(self) -> Tensor:
        """Three smooth images in [-1, 1]; override with real ones where the latents' variance is tested."""
        coarse = KeyedRNG(0, range(3)).uniform("images", [3, 4, 4]) * 2 - 1
        return F.interpolate(coarse, size=(self.image_size,) * 2, mode="bilinear")  # [3, 3, S, S]

    def test_it_follows_the_protocol(self, tokenizer: Tokenizer) -> None:
        assert isinstance(tokenizer, Tokenizer)

    def test_latents_have_the_stated_shape(self, tokenizer: Tokenizer) -> None:
        latents = tokenizer.encode(self.images())
        assert tuple(latents.shape) == (3, *tokenizer.latent(self.image_size).shape)

    def test_factor_is_image_pixels_for_a_cell(self, tokenizer: Tokenizer) -> None:
        spec = tokenizer.latent(self.image_size)
        assert (spec.height * spec.factor, spec.width * spec.factor) == (self.image_size, self.image_size)

    def test_latents_are_finite_float32_without_gradient(self, tokenizer: Tokenizer) -> None:
        latents = tokenizer.encode(self.images().requires_grad_())
        assert latents.dtype == torch.float32
        assert latents.isfinite().all()
        assert not latents.requires_grad

    def test_images_come_back(self, tokenizer: Tokenizer) -> None:
        images = tokenizer.decode(tokenizer.encode(self.images()), KeyedRNG(0, range(3)))
        assert images.shape == self.images().shape
        assert images.dtype == torch.float32
        assert images.isfinite().all()

    def test_encode_has_no_chance(self, tokenizer: Tokenizer) -> None:
        with global_state_kept():
            first, second = tokenizer.encode(self.images()), tokenizer.encode(self.images())
        assert torch.equal(first, second)

    def test_decode_draws_from_its_rng_alone(self, tokenizer: Tokenizer) -> None:
        latents = tokenizer.encode(self.images())
        with global_state_kept():
            first, second = (tokenizer.decode(latents, KeyedRNG(7, range(3))) for _ in range(2))
        assert torch.equal(first, second)

    def test_encode_keeps_batch_items_apart(self, tokenizer: Tokenizer) -> None:
        images = self.images()
        assert apart(tokenizer.encode(images)[1:2], tokenizer.encode(images[1:2])) <= self.tolerance

    def test_decode_keeps_batch_items_apart(self, tokenizer: Tokenizer) -> None:
        latents = tokenizer.encode(self.images())
        together = tokenizer.decode(latents, KeyedRNG(7, range(3)))[1:2]
        assert apart(together, tokenizer.decode(latents[1:2], KeyedRNG(7, [1]))) <= self.tolerance

    def test_a_wrong_size_is_refused_in_words(self, tokenizer: Tokenizer) -> None:
        if self.wrong_size is None:
            pytest.skip("it takes every size")
        with pytest.raises(NanoGenError, match=str(self.wrong_size)):
            tokenizer.latent(self.wrong_size)

    def test_latents_have_about_unit_variance(self, tokenizer: Tokenizer) -> None:
        if self.variance is None:
            pytest.skip("no bounds stated")
        lowest, highest = self.variance
        assert lowest <= float(tokenizer.encode(self.images()).var()) <= highest

    def test_a_round_trip_keeps_the_picture(self, tokenizer: Tokenizer) -> None:
        if self.reconstruction is None:
            pytest.skip("no bound stated")
        images = self.images()
        decoded = tokenizer.decode(tokenizer.encode(images), KeyedRNG(0, range(3)))
        assert float((decoded - images).abs().mean()) <= self.reconstruction
