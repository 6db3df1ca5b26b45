"""A number that is none never becomes a picture, a score or a file: it is refused where it enters, with the cause."""

import pytest
import torch
from click.testing import CliRunner

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import NanoGenError
from nanogen_eval import evaluate_pipeline
from nanogen_eval.pixels import on_grid
from nanogen_files.images import to_pil, to_uint8, unit_to_uint8

NUMBERS = [float("nan"), float("inf"), float("-inf")]
SENTENCE = r"1 of 3 images contain NaN or infinite values \(first: image 1\)\. .*`tokenizer\.dtype` to float32"


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("convert", [to_uint8, unit_to_uint8, to_pil, on_grid])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_no_picture_is_made_of_it(number, convert, dtype):
    images = torch.zeros(3, 3, 8, 8, dtype=dtype)
    images[1, 2, 3, 4] = number
    with pytest.raises(NanoGenError, match=SENTENCE):
        convert(images)


def test_a_single_image_is_named_too():
    with pytest.raises(NanoGenError, match="1 of 1 images"):
        to_uint8(torch.full((3, 4, 4), float("nan")))


def test_large_numbers_are_clamped_as_ever():
    images = torch.tensor([-1e30, -1.0, 0.0, 1.0, 1e30]).reshape(1, 1, 1, 5)
    assert to_uint8(images).flatten().tolist() == [0, 0, 128, 255, 255]


@pytest.fixture
def half(small, monkeypatch):
    """A pipeline whose decoder gives this number in one pixel of every picture from the second on."""
    from nanogen_openmoji.tokenizer import OpenMojiVAE

    decode = OpenMojiVAE.decode

    def decoded(self, latents, rng=None):
        images = decode(self, latents, rng).clone()
        images[rng.slots[0] == 0 :, 0, 0, 0] = decoded.number
        return images

    monkeypatch.setattr(OpenMojiVAE, "decode", decoded)
    return decoded


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("tensors", [False, True])
def test_a_pipeline_gives_none(small, half, number, tensors):
    half.number = number
    with pytest.raises(NanoGenError, match=SENTENCE.replace("1 of 3", "2 of 3")):
        build_pipeline(small).generate([0, 1, 2], tensors=tensors)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_pipeline_gives_no_score(small, half, number):
    half.number = number
    with pytest.raises(NanoGenError, match="NaN or infinite"):
        evaluate_pipeline(build_pipeline({**small, "metric": ["openmoji-accuracy"]}), 4, draws=0)


def test_the_commands_write_no_file(small, half, tmp_path):
    from nanogen_core.cli.sample import sample
    from nanogen_eval.cli.evaluate import evaluate

    half.number = float("nan")
    build_pipeline({**small, "metric": ["openmoji-accuracy"]}).save(tmp_path / "run")
    drawn = CliRunner().invoke(sample, [str(tmp_path / "run"), "--label", "dog", "--count", "3"])
    assert "NaN or infinite" in str(drawn.exception)
    words = [str(tmp_path / "run"), "--count", "4", "--keep-images", "--output", str(tmp_path / "scores")]
    judged = CliRunner().invoke(evaluate, words)
    assert "NaN or infinite" in str(judged.exception)
    assert not list(tmp_path.rglob("*.png"))
    assert not list(tmp_path.rglob("scores.json*"))


def test_weights_of_a_training_that_diverged_draw_nothing(small):
    pipeline = build_pipeline(small)
    with torch.no_grad():
        for parameter in pipeline.backbone.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(NanoGenError, match="a model whose training diverged"):
        pipeline.generate([0])
    assert isinstance(pipeline, Pipeline)
