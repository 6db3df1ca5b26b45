import re
from collections import Counter

import pytest
import torch

from nanogen_openmoji.captions import ObjectGroup, SceneDescription, caption, plural, prompts
from nanogen_openmoji.colours import COLOURS
from nanogen_openmoji.emojis import class_names
from nanogen_openmoji.render import render
from nanogen_openmoji.scenes import World, scene, scenes

WORLD = World()
SCENES = scenes(range(400), seed=5)


@pytest.mark.parametrize(
    ("groups", "relation", "english"),
    [
        ([ObjectGroup(name="cat")], None, "a cat"),
        ([ObjectGroup(name="apple")], None, "an apple"),
        ([ObjectGroup(name="car", colour="blue")], None, "a blue car"),
        ([ObjectGroup(name="cat", count=2)], None, "two cats"),
        ([ObjectGroup(name="mouse", colour="purple", count=4)], None, "four purple mice"),
        ([ObjectGroup(name="apple", colour="red"), ObjectGroup(name="dog")], "left of", "a red apple left of a dog"),
        ([ObjectGroup(name="owl"), ObjectGroup(name="ice cream")], "below", "an owl below an ice cream"),
        ([ObjectGroup(name="corn", count=3)], None, "three ears of corn"),
    ],
)
def test_captions(groups, relation, english):
    assert caption(SceneDescription(groups=tuple(groups), relation=relation)) == english


def test_plurals():
    words = {"fox": "foxes", "bus": "buses", "strawberry": "strawberries", "butterfly": "butterflies", "key": "keys",
             "cactus": "cacti", "fish": "fish", "donut": "donuts", "bunch of grapes": "bunches of grapes",
             "house": "houses", "ice cream": "ice creams", "octopus": "octopuses"}  # fmt: skip
    assert {word: plural(word) for word in words} == words


def test_every_caption_keeps_to_the_grammar():
    nouns = "|".join(WORLD.objects)
    many = "|".join(plural(noun) for noun in WORLD.objects)
    paint = f"(?:(?:{'|'.join(COLOURS)}) )?"
    one = rf"(?:an (?=[aeiou])|a (?![aeiou])){paint}(?:{nouns})"
    sentence = re.compile(rf"{one}|{one} (?:left of|right of|above|below) {one}|(?:two|three|four) {paint}(?:{many})")
    wrong = [caption(each.description) for each in SCENES if not sentence.fullmatch(caption(each.description))]
    assert wrong == []


def test_a_scene_depends_on_seed_and_index_only():
    assert scenes([7, 3], seed=5) == [SCENES[7], SCENES[3]]
    assert scene(7, seed=6) != SCENES[7]


def test_the_objects_are_those_of_the_caption():
    for each in SCENES:
        asked = Counter({(group.name, group.colour): group.count for group in each.description.groups})
        assert Counter((item.name, item.colour) for item in each.objects) == asked


def test_relations_hold():
    related = [each for each in SCENES if each.description.relation]
    assert {each.description.relation for each in related} == {"left of", "right of", "above", "below"}
    for each in related:
        first, second = each.objects
        holds = {
            "left of": first.x < second.x - 0.3,
            "right of": first.x > second.x + 0.3,
            "above": first.y < second.y - 0.3,
            "below": first.y > second.y + 0.3,
        }
        assert holds[str(each.description.relation)], each


def test_objects_stay_inside_and_apart():
    for each in SCENES:
        for k, item in enumerate(each.objects):
            assert item.size / 2 < min(item.x, item.y, 1 - item.x, 1 - item.y) + 0.03
            for other in each.objects[:k]:
                assert max(abs(item.x - other.x), abs(item.y - other.y)) > 0.4


def test_families_occur_as_weighted():
    only = World(families={"counted": 1.0})
    assert all(each.description.groups[0].count > 1 for each in scenes(range(50), world=only))


def test_held_out_captions_never_occur():
    held_out = frozenset({"a cat", "a dog", "a car"})
    captions = {caption(each.description) for each in scenes(range(1000), world=World(held_out=held_out))}
    assert not captions & held_out
    assert "an apple" in captions


def test_prompts_cover_the_world():
    every = prompts(WORLD.objects, WORLD.colours, WORLD.counts)
    assert {family: len(some) for family, some in every.items()} == {
        "plain": 8, "coloured": 40, "counted": 24, "related": 224,
    }  # fmt: skip
    assert len({caption(each) for some in every.values() for each in some}) == 296


def test_a_picture_is_the_same_in_any_batch():
    together = render(SCENES[:40])
    assert torch.equal(render(SCENES[17:23]), together[17:23])
    assert torch.equal(torch.cat([render([each]) for each in SCENES[:5]]), together[:5])


@pytest.mark.parametrize("size", [32, 64, 128])
def test_pictures_of_any_size(size):
    images = render(SCENES[:8], size)
    assert images.shape == (8, 3, size, size)
    assert images.abs().max() <= 1


def test_ink_lies_where_the_objects_are_and_nowhere_else():
    """The truth against the pixels: what differs from the background is inside the objects' squares, and in each."""
    images = (render(SCENES[:100]) + 1) / 2
    centre = (torch.arange(64) + 0.5) / 64
    for each, image in zip(SCENES[:100], images, strict=True):
        ink = (image - torch.tensor(each.background)[:, None, None]).abs().amax(dim=0) > 0.1  # [64, 64]
        outside = ink.clone()
        for item in each.objects:
            rows, columns = ((centre - at).abs() < 0.55 * item.size for at in (item.y, item.x))
            assert ink[rows][:, columns].float().mean() > 0.1
            outside &= ~(rows[:, None] & columns[None])
        assert not outside.any()


def test_colours_are_those_of_the_caption():
    """By hue, independently of how drawings are tinted."""
    hues = {"red": 0, "yellow": 52, "green": 128, "blue": 218, "purple": 282}
    chosen = [each for each in SCENES if each.description.groups[0].colour and len(each.description.groups) == 1]
    for each, image in zip(chosen, (render(chosen) + 1) / 2, strict=True):
        assert _distance(_hue(image), hues[str(each.description.groups[0].colour)]) < 20, each


def test_all_drawings_can_be_in_scenes():
    everything = World(objects=class_names())
    assert render(scenes(range(64), world=everything)).shape == (64, 3, 64, 64)


def _hue(image):
    """The mean hue in degrees of an image's saturated pixels."""
    red, green, blue = image.flatten(1)
    vivid = (image.flatten(1).amax(dim=0) - image.flatten(1).amin(dim=0)) > 0.4
    x, y = red - (green + blue) / 2, (green - blue) * 3**0.5 / 2
    return torch.atan2(y[vivid].mean(), x[vivid].mean()).rad2deg().item()


def _distance(hue, other):
    return abs((hue - other + 180) % 360 - 180)
