"""Structured scene descriptions, and their captions in English."""

from __future__ import annotations

from itertools import permutations

import attrs

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
RELATIONS = ("left of", "right of", "above", "below")
NOUNS = {  # countable nouns for class names that are plural or uncountable
    "cherries": "pair of cherries",
    "grapes": "bunch of grapes",
    "corn": "ear of corn",
    "broccoli": "head of broccoli",
}
PLURALS = {"mouse": "mice", "cactus": "cacti", "fish": "fish", "octopus": "octopuses"}


@attrs.frozen(kw_only=True)
class ObjectGroup:
    """`count` objects of one class, such as "two blue cars". Without `colour`, they have their natural colour."""

    name: str
    colour: str | None = None
    count: int = 1


@attrs.frozen(kw_only=True)
class SceneDescription:
    """One group, or two groups with the relation of the first to the second."""

    groups: tuple[ObjectGroup, ...]
    relation: str | None = None


def caption(description: SceneDescription) -> str:
    """Return the caption in English: "a cat", "a blue car", "two cats", "a red apple left of a dog"."""
    joint = f" {description.relation} " if description.relation else " and "
    return joint.join(_phrase(group) for group in description.groups)


def plural(noun: str) -> str:
    """Return the plural of a noun phrase: "cats", "foxes", "strawberries", "mice", "ears of corn"."""
    head, of, rest = noun.partition(" of ")
    return _plural_word(head) + of + rest


def article(word: str) -> str:
    """Return the article of a word: "an" before a, e, i, o and u, else "a"."""
    return "an" if word[0] in "aeiou" else "a"


def prompts(
    objects: tuple[str, ...], colours: tuple[str, ...], counts: tuple[int, ...]
) -> dict[str, list[SceneDescription]]:
    """List all evaluation prompts by family, in a fixed order.

    `World.held_out` can exclude some of them from training.

    Args:
        objects: Class names.
        colours: Colours.
        counts: Counts above one.

    Returns:
        "plain": each object. "coloured": each object in each colour. "counted": each object in each count. "related":
        each ordered pair of different objects in each relation.
    """
    return {
        "plain": [_one(name) for name in objects],
        "coloured": [_one(name, colour=colour) for name in objects for colour in colours],
        "counted": [_one(name, count=count) for name in objects for count in counts],
        "related": [
            SceneDescription(groups=(ObjectGroup(name=first), ObjectGroup(name=second)), relation=relation)
            for first, second in permutations(objects, 2)
            for relation in RELATIONS
        ],
    }


def _one(name: str, *, colour: str | None = None, count: int = 1) -> SceneDescription:
    return SceneDescription(groups=(ObjectGroup(name=name, colour=colour, count=count),))


def _phrase(group: ObjectGroup) -> str:
    noun = NOUNS.get(group.name, group.name)
    words = [group.colour] if group.colour else []
    if group.count > 1:
        return " ".join([NUMBERS[group.count], *words, plural(noun)])
    words.append(noun)
    return " ".join([article(words[0]), *words])


def _plural_word(word: str) -> str:
    if word in PLURALS:
        return PLURALS[word]
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")
