"""The shipped networks on fresh data: the figures of their model cards, with the bound that a small sample allows."""

import pytest
import torch

from nanogen_openmoji.class_images import balanced_labels, class_images
from nanogen_openmoji.classifier import REJECT, Classifier
from nanogen_openmoji.layers import parameter_count
from nanogen_openmoji.make.corruptions import blobs, corrupt
from nanogen_openmoji.make.degrade import reconstructed
from nanogen_openmoji.render import render
from nanogen_openmoji.scene_reader import SceneReader
from nanogen_openmoji.scenes import scenes
from nanogen_openmoji.scoring import check_scene, skill_accuracies
from nanogen_openmoji.vae import TinyVAE, psnr
from nanogen_openmoji.weights_files import FOLDER

FRESH = 777  # neither the seed of training nor that of the model cards
INDICES = torch.arange(512)
LABELS = balanced_labels(INDICES)


@pytest.fixture(scope="module")
def drawings():
    return class_images(LABELS, INDICES, seed=FRESH)


@pytest.fixture(scope="module")
def composed():
    return scenes(range(512), seed=FRESH)


@pytest.fixture(scope="module")
def vae():
    return TinyVAE.load()


@pytest.fixture(scope="module")
def classifier():
    return Classifier.load()


@pytest.fixture(scope="module")
def reader():
    return SceneReader.load()


def test_the_files_are_small():
    assert all(path.stat().st_size < 1.3e6 for path in FOLDER.glob("*.safetensors"))


def test_every_network_has_a_card_with_its_command():
    for path in FOLDER.glob("*.safetensors"):
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert f"python -m nanogen_openmoji.make.{path.stem}" in card
        assert "CC-BY-SA-4.0" in card


def test_the_vae_keeps_drawings_and_scenes(vae, drawings, composed):
    images = render(composed[:256])
    assert psnr(vae.decode(vae.encode(drawings[:256])), drawings[:256]) > 26
    assert psnr(vae.decode(vae.encode(images)), images) > 26


def test_latents_have_zero_mean_and_unit_variance(vae, drawings, composed):
    latents = vae.encode(torch.cat([drawings, render(composed)]))
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.05
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 0.05


@pytest.mark.parametrize("size", [32, 96, 128])
def test_the_vae_serves_other_sizes(vae, size):
    images = class_images(LABELS[:8], INDICES[:8], size=size)
    latents = vae.encode(images)
    assert latents.shape == (8, 8, size // 8, size // 8)
    assert vae.decode(latents).shape == images.shape


def test_encoding_is_deterministic_and_frozen(vae, drawings):
    assert torch.equal(vae.encode(drawings[:4]), vae.encode(drawings[:4]))
    assert not any(parameter.requires_grad for parameter in vae.parameters())
    assert parameter_count(vae) < 600_000


def test_the_classifier_names_new_images(classifier, drawings):
    assert _share(classifier.classify(drawings) == LABELS) >= 0.98


def test_the_classifier_is_robust_to_the_vae(classifier, vae, drawings):
    assert _share(classifier.classify(reconstructed(drawings, vae)) == LABELS) >= 0.96


def test_the_classifier_does_not_need_colour(classifier, drawings):
    assert _share(classifier.classify(drawings.mean(dim=1, keepdim=True).expand_as(drawings)) == LABELS) >= 0.95


def test_the_classifier_rejects_corrupted_images(classifier, drawings):
    generator = torch.Generator().manual_seed(FRESH)
    mixed_up = drawings[torch.randperm(512, generator=generator)]
    assert _share(classifier.classify(corrupt(mixed_up, generator)) == REJECT) >= 0.85


def test_the_classifier_does_not_name_colour_blobs(classifier, drawings):
    assert _share(classifier.classify(blobs(drawings, torch.Generator())) == LABELS) < 0.05


def test_the_classifier_takes_any_size(classifier):
    images = class_images(LABELS[:256], INDICES[:256], size=128)
    assert _share(classifier.classify(images) == LABELS[:256]) >= 0.97
    assert classifier.features(images[:2]).shape == (2, 128)


def test_the_reader_reads_real_scenes(reader, composed):
    assert min(_rates(reader, composed, render(composed)).values()) >= 0.95


def test_the_reader_sees_through_the_vae(reader, vae, composed):
    assert min(_rates(reader, composed, reconstructed(render(composed), vae)).values()) >= 0.93


def test_the_reader_finds_centres(reader, composed):
    right = [
        min(abs(item.x - found.x) + abs(item.y - found.y) for found in objects) < 0.08
        for scene, objects in zip(composed, reader.read(render(composed)), strict=True)
        for item in scene.objects
    ]
    assert sum(right) / len(right) > 0.97


def test_the_reader_does_not_say_yes_to_everything(reader, composed):
    wrong = _rates(reader, composed, render(composed).roll(1, dims=0))
    assert max(wrong.values()) < 0.35


def test_the_reader_sees_no_objects_in_blobs(reader, composed):
    found = reader.read(blobs(render(composed[:128]), torch.Generator()))
    assert sum(len(objects) for objects in found) < 6


def test_weights_that_are_missing_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"vae\.safetensors"):
        TinyVAE.load(tmp_path)


def _share(right):
    return right.float().mean().item()


def _rates(reader, composed, images):
    return skill_accuracies(
        [check_scene(s.description, found) for s, found in zip(composed, reader.read(images), strict=True)]
    )
