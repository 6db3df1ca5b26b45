"""Sampling on a GPU: smaller batches after an error of memory, TF32 where it is allowed, images written in threads."""

import pytest
import torch

from nanogen_core.errors import NanoGenError
from nanogen_core.tensors import Batch
from nanogen_eval.image_writer import ImageWriter
from nanogen_eval.options import Sampling
from nanogen_eval.sources.sampled import Sampled
from nanogen_files.tf32 import set_tf32, tf32


class Cramped(Sampled):
    """Samples of a model whose memory holds `fits` images."""

    def __init__(self, fits, device="cpu"):
        self.requests, self.asked, self.precisions = Batch(torch.arange(20)), [], []
        self._pipeline, self._sampling, self._seed, self._fitting = self, Sampling(), 0, 4096
        self._fits, self.device = fits, torch.device(device)

    def sample(self, requests, *, batch_size, **options):
        self.precisions.append(torch.get_float32_matmul_precision())
        for chunk in torch.arange(len(requests.indices)).split(batch_size):
            self.asked.append(len(chunk))
            if len(chunk) > self._fits:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(len(requests.indices), 3, 4, 4)


def test_batches_are_halved_until_they_fit_and_stay_so(caplog):
    source = Cramped(fits=3)
    batches = list(source.read([range(10), range(10, 20)]))
    assert [len(batch.images) for batch in batches] == [10, 10]
    assert source.asked == [10, 5, *[2] * 5, *[2] * 5]
    assert "to sample 10 images at once: trying 5" in caplog.text


def test_a_model_that_does_not_fit_at_all_is_an_error():
    with pytest.raises(NanoGenError, match="Not enough GPU memory to sample a single image"):
        list(Cramped(fits=0).read([range(4)]))


def test_tf32_is_for_sampling_on_a_gpu_only():
    set_tf32(False)
    for device, precision in (("cuda", "high"), ("cpu", "highest")):
        source = Cramped(fits=20, device=device)
        list(source.read([range(4)]))
        assert source.precisions == [precision]
        assert torch.get_float32_matmul_precision() == "highest"
    with tf32(True):
        assert torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("products", "convolutions"), [("highest", True), ("high", False), ("medium", True)])
def test_products_and_convolutions_get_their_own_settings_back(products, convolutions, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", convolutions)
    torch.set_float32_matmul_precision(products)
    try:
        for enabled in (True, False):
            with tf32(enabled):
                assert torch.backends.cudnn.allow_tf32 == enabled
            assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == (products, convolutions)
    finally:
        torch.set_float32_matmul_precision("highest")


class Images:
    requests, settings, about = Batch(torch.arange(6)), {}, {}


def test_an_image_that_cannot_be_written_is_an_error_of_the_next_batch(tmp_path):
    writer = ImageWriter(tmp_path / "images", Images(), {}, 0)
    writer.claim()
    (tmp_path / "images" / "00001.png").mkdir()
    writer(Batch(torch.arange(3), images=torch.zeros(3, 3, 4, 4)))
    with pytest.raises(NanoGenError, match=r"00001\.png cannot be written"):
        writer(Batch(torch.arange(3, 6), images=torch.zeros(3, 3, 4, 4)))
    assert {file.name for file in (tmp_path / "images").glob("0000*.png")} == {"00000.png", "00001.png", "00002.png"}


def test_flush_waits_for_every_image(tmp_path):
    writer = ImageWriter(tmp_path / "images", Images(), {}, 0)
    writer.claim()
    writer(Batch(torch.arange(6), images=torch.zeros(6, 3, 256, 256)))
    writer.flush()
    assert len(list((tmp_path / "images").glob("*.png"))) == 6
