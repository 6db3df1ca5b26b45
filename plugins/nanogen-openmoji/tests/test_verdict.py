from nanogen_openmoji.meaning import Group, Meaning
from nanogen_openmoji.scene_reader import Detection
from nanogen_openmoji.verdict import Verdict, rates, verdict

CATS = Meaning(groups=(Group(name="cat", count=2),))
BLUE_CAR = Meaning(groups=(Group(name="car", colour="blue"),))
PAIR = Meaning(groups=(Group(name="apple", colour="red"), Group(name="dog")), relation="left of")


def seen(name, x=0.5, y=0.5, colour=None, score=1.0):
    return Detection(name=name, colour=colour, x=x, y=y, score=score)


def test_a_count_is_exact():
    assert verdict(CATS, [seen("cat"), seen("cat")]).count
    assert not verdict(CATS, [seen("cat")]).count
    assert not verdict(CATS, [seen("cat")] * 3).count
    assert not verdict(CATS, [seen("cat"), seen("dog")]).count


def test_a_colour_needs_its_object():
    assert verdict(BLUE_CAR, [seen("car", colour="blue")]).colour
    assert not verdict(BLUE_CAR, [seen("car")]).colour
    assert not verdict(BLUE_CAR, [seen("dog", colour="blue")]).colour


def test_a_drawing_that_has_the_colour_of_itself_will_do():
    assert verdict(PAIR, [seen("apple", x=0.2), seen("dog", x=0.8)]).colour


def test_a_position_needs_both_and_some_distance():
    assert verdict(PAIR, [seen("apple", x=0.2), seen("dog", x=0.8)]).position
    assert not verdict(PAIR, [seen("apple", x=0.8), seen("dog", x=0.2)]).position
    assert not verdict(PAIR, [seen("apple", x=0.45), seen("dog", x=0.5)]).position
    assert not verdict(PAIR, [seen("apple", x=0.2)]).position
    above = Meaning(groups=PAIR.groups, relation="above")
    assert verdict(above, [seen("apple", y=0.2), seen("dog", y=0.8)]).position


def test_what_the_caption_does_not_say_is_not_judged():
    assert verdict(CATS, []) == Verdict(presence=False, colour=None, count=False, position=None)


def test_presence_needs_every_object():
    assert not verdict(PAIR, [seen("apple")]).presence
    assert verdict(PAIR, [seen("dog"), seen("apple"), seen("cat")]).presence


def test_rates_count_only_what_was_asked():
    verdicts = [verdict(CATS, [seen("cat")] * 2), verdict(BLUE_CAR, []), verdict(CATS, [seen("cat")])]
    assert rates(verdicts) == {"presence": 2 / 3, "colour": 0.0, "count": 0.5}
