import pytest
import torch

from nanogen_openmoji.class_images import MILD, NONE, WIDE, Augmentation, balanced_labels, class_images
from nanogen_openmoji.counter_rng import uniform
from nanogen_openmoji.sprites import sprites

INDICES = torch.arange(48)
LABELS = balanced_labels(INDICES)


def test_an_image_is_the_same_in_any_batch_and_order():
    together = class_images(LABELS, INDICES, seed=3)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(class_images(LABELS[order], INDICES[order], seed=3), together[order])
    alone = [class_images(LABELS[k : k + 1], INDICES[k : k + 1], seed=3)[0] for k in range(48)]
    assert torch.equal(torch.stack(alone), together)


def test_seed_and_index_each_change_the_image():
    label = torch.tensor([5])
    first, other = (class_images(label, torch.tensor([k]), seed=0) for k in (1, 65))
    assert not torch.equal(first, other)
    assert not torch.equal(first, class_images(label, torch.tensor([1]), seed=1))


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_any_size_in_range(size):
    images = class_images(LABELS[:4], INDICES[:4], size=size)
    assert images.shape == (4, 3, size, size)
    assert images.dtype == torch.float32
    assert images.min() >= -1
    assert images.max() <= 1


def test_sizes_show_the_same_picture():
    small = class_images(LABELS, INDICES, size=32)
    large = class_images(LABELS, INDICES, size=128)
    assert (torch.nn.functional.avg_pool2d(large, 4) - small).abs().mean() < 0.07  # another picture: 0.3


def test_without_augmentation_the_drawing_stands_still_on_white():
    images = class_images(LABELS[:3].repeat(2), torch.arange(6), augment=NONE)
    assert torch.equal(images[:3], images[3:])
    assert (images[:, :, 0, 0] == 1).all()


def test_the_sprite_is_kept_where_nothing_moves():
    full = Augmentation(scale=(62 / 64, 62 / 64), shift=0, degrees=0, flip=False, background=(1, 1))
    sprite = sprites(64)[7]
    assert torch.allclose((class_images(torch.tensor([7]), torch.tensor([0]), augment=full)[0] + 1) / 2,
                          sprite[:3] + 1 - sprite[3:], atol=1e-5)  # fmt: skip


def test_backgrounds_are_plain_and_light():
    images = (class_images(LABELS, INDICES, augment=MILD) + 1) / 2
    corner = images[:, :, 0, 0]
    assert (corner >= 0.79).float().mean() > 0.95  # a drawing may reach the corner
    assert (class_images(LABELS, INDICES, augment=WIDE) != class_images(LABELS, INDICES)).any()


def test_half_of_the_images_are_mirrored():
    only_flips = Augmentation(scale=(1, 1), shift=0, degrees=0, flip=True, background=(1, 1))
    images = class_images(torch.full((400,), 44), torch.arange(400), size=16, augment=only_flips)
    same = (images == images[0]).flatten(1).all(dim=1).float().mean()
    assert 0.4 < same < 0.6


def test_keyed_numbers_are_uniform_and_independent():
    numbers = uniform(0, "test", torch.arange(20000), 3)
    assert torch.allclose(numbers.mean(dim=0), torch.full((3,), 0.5), atol=0.01)
    assert torch.allclose(numbers.var(dim=0), torch.full((3,), 1 / 12), atol=0.002)
    assert (torch.corrcoef(numbers.T) - torch.eye(3)).abs().max() < 0.03
    following = torch.corrcoef(torch.stack([numbers[1:, 0], numbers[:-1, 0]]))[0, 1]
    assert following.abs() < 0.03


def test_keyed_numbers_never_change():
    """Published figures belong to these very images: a change here is a change of the data."""
    assert uniform(7, "class image", torch.tensor([0, 123456789]), 2).mul(2**24).long().tolist() == EXPECTED


EXPECTED = [[16738480, 14912647], [8878635, 15230321]]
