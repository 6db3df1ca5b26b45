from nanogen_openmoji.captions import ObjectGroup, SceneDescription
from nanogen_openmoji.scene_reader import Detection
from nanogen_openmoji.scoring import SceneResult, check_scene, skill_accuracies

CATS = SceneDescription(groups=(ObjectGroup(name="cat", count=2),))
BLUE_CAR = SceneDescription(groups=(ObjectGroup(name="car", colour="blue"),))
PAIR = SceneDescription(groups=(ObjectGroup(name="apple", colour="red"), ObjectGroup(name="dog")), relation="left of")


def seen(name, x=0.5, y=0.5, colour=None, score=1.0):
    return Detection(name=name, colour=colour, x=x, y=y, score=score)


def test_a_count_is_exact():
    assert check_scene(CATS, [seen("cat"), seen("cat")]).count
    assert not check_scene(CATS, [seen("cat")]).count
    assert not check_scene(CATS, [seen("cat")] * 3).count
    assert not check_scene(CATS, [seen("cat"), seen("dog")]).count


def test_a_colour_needs_its_object():
    assert check_scene(BLUE_CAR, [seen("car", colour="blue")]).colour
    assert not check_scene(BLUE_CAR, [seen("car")]).colour
    assert not check_scene(BLUE_CAR, [seen("dog", colour="blue")]).colour


def test_a_drawing_that_has_the_colour_of_itself_will_do():
    assert check_scene(PAIR, [seen("apple", x=0.2), seen("dog", x=0.8)]).colour


def test_a_position_needs_both_and_some_distance():
    assert check_scene(PAIR, [seen("apple", x=0.2), seen("dog", x=0.8)]).position
    assert not check_scene(PAIR, [seen("apple", x=0.8), seen("dog", x=0.2)]).position
    assert not check_scene(PAIR, [seen("apple", x=0.45), seen("dog", x=0.5)]).position
    assert not check_scene(PAIR, [seen("apple", x=0.2)]).position
    above = SceneDescription(groups=PAIR.groups, relation="above")
    assert check_scene(above, [seen("apple", y=0.2), seen("dog", y=0.8)]).position


def test_what_the_caption_does_not_say_is_not_judged():
    assert check_scene(CATS, []) == SceneResult(presence=False, colour=None, count=False, position=None)


def test_presence_needs_every_object():
    assert not check_scene(PAIR, [seen("apple")]).presence
    assert check_scene(PAIR, [seen("dog"), seen("apple"), seen("cat")]).presence


def test_rates_count_only_what_was_asked():
    verdicts = [check_scene(CATS, [seen("cat")] * 2), check_scene(BLUE_CAR, []), check_scene(CATS, [seen("cat")])]
    assert skill_accuracies(verdicts) == {"presence": 2 / 3, "colour": 0.0, "count": 0.5}
