"""CLIPScore against CLIP called directly, and the rows that all metrics of this plugin keep."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from torch import Tensor

from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_files.hashing import file_hash
from nanogen_files.images import to_tensor
from nanogen_textscore.clip import Clip
from nanogen_textscore.clipscore import CLIPScore, cosines
from nanogen_textscore.config import CLIPScoreConfig

CAPTIONS = ["a red dog", "photo of a mouse", "dog", "a red dog", "yes no " * 20]


def noise(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """A picture of random pixels, width by height."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


@pytest.fixture
def images() -> Tensor:
    return torch.stack([to_tensor(noise(seed)) for seed in range(5)])


def test_clipscore_is_the_logit_of_clip_without_its_scale(clip_folder, images):
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    metric = CLIPScore(CLIPScoreConfig(path=str(clip_folder)))
    metric.update(images, Batch(torch.arange(5), captions=CAPTIONS))
    network, processor = CLIPModel.from_pretrained(clip_folder), CLIPImageProcessorPil.from_pretrained(clip_folder)
    words = AutoTokenizer.from_pretrained(clip_folder)(
        CAPTIONS, padding=True, truncation=True, max_length=12, return_tensors="pt"
    )
    pixels = processor(images=[noise(seed) for seed in range(5)], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        logits = network(pixel_values=pixels, **words).logits_per_image.diag() / network.logit_scale.exp()
    mean = float(logits.double().mean())
    assert metric.compute() == pytest.approx({"clipscore": mean, "clipscore_x100": max(100 * mean, 0)}, rel=1e-5)
    assert metric.units == 4  # two captions are equal
    assert metric.settings["clip"]["weights"] == file_hash(clip_folder / "model.safetensors")
    json.dumps(metric.settings)


def test_it_depends_on_no_batch_order_or_process(clip_folder, images):
    asked = Batch(torch.arange(5), captions=CAPTIONS)
    whole, one, other = (CLIPScore(CLIPScoreConfig(path=str(clip_folder))) for _ in range(3))
    whole.update(images, asked)
    for index in (4, 0, 2):
        one.update(images[index : index + 1], asked.part(index, index + 1))
    other.update(images[[3, 1]], Batch(torch.tensor([3, 1]), captions=[CAPTIONS[3], CAPTIONS[1]]))
    one.merge(other.state())
    assert one.compute() == pytest.approx(whole.compute(), rel=1e-6)
    units = torch.tensor([3, 0, 0, 1])
    assert one.resampled(units) == pytest.approx(whole.resampled(units), rel=1e-6)


def test_clipscore_is_signed_and_clipscore_x100_is_clamped_at_zero(clip_folder):
    metric = CLIPScore(CLIPScoreConfig(path=str(clip_folder)))
    rows = {"score": torch.tensor([-0.25], dtype=torch.float64)}
    assert metric.score(rows) == {"clipscore": -0.25, "clipscore_x100": 0.0}
    assert cosines(torch.tensor([[3.0, 4.0]]), torch.tensor([[-6.0, -8.0]])).tolist() == pytest.approx([-1.0])


def test_captions_are_needed(clip_folder, images):
    with pytest.raises(NanoGenError, match="clipscore needs captions"):
        CLIPScore(CLIPScoreConfig(path=str(clip_folder))).update(images, Batch(torch.arange(5)))


def test_a_model_that_is_no_whole_clip_is_a_sentence(tmp_path, clip_folder):
    (tmp_path / "model.safetensors").write_bytes((clip_folder / "model.safetensors").read_bytes())
    with pytest.raises(DataError, match=f"{tmp_path} has no config.json. Set the option `path`"):
        Clip(str(tmp_path), option="path").texts(["a dog"])
    (tmp_path / "config.json").write_text(
        (clip_folder / "config.json").read_text().replace('"projection_dim": 8', '"projection_dim": 9')
    )
    with pytest.raises(DataError, match=f"{tmp_path} cannot be read as CLIPModel .*Set the option `path`"):
        Clip(str(tmp_path), option="path").texts(["a dog"])
