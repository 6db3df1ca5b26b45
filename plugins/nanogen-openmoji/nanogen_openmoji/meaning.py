"""What a caption says, as structure: the truth that a picture is judged by, and the English for it."""

from itertools import permutations

import attrs

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
RELATIONS = ("left of", "right of", "above", "below")
NOUNS = {  # what counts as one of them, where the class name is a plural or a mass
    "cherries": "pair of cherries",
    "grapes": "bunch of grapes",
    "corn": "ear of corn",
    "broccoli": "head of broccoli",
}
PLURALS = {"mouse": "mice", "cactus": "cacti", "fish": "fish", "octopus": "octopuses"}


@attrs.frozen(kw_only=True)
class Group:
    """`count` objects of one class: "two blue cars". Without `colour` they look as OpenMoji drew them."""

    name: str
    colour: str | None = None
    count: int = 1


@attrs.frozen(kw_only=True)
class Meaning:
    """One group, or two of them with the relation of the first to the second."""

    groups: tuple[Group, ...]
    relation: str | None = None


def caption(meaning: Meaning) -> str:
    """The English for it: "a cat", "a blue car", "two cats", "a red apple left of a dog"."""
    joint = f" {meaning.relation} " if meaning.relation else " and "
    return joint.join(_phrase(group) for group in meaning.groups)


def plural(noun: str) -> str:
    """The plural of a noun phrase: "cats", "foxes", "strawberries", "mice", "ears of corn"."""
    head, of, rest = noun.partition(" of ")
    return _plural_word(head) + of + rest


def article(word: str) -> str:
    """ "an" before a vowel sound, else "a", for the words of this vocabulary."""
    return "an" if word[0] in "aeiou" else "a"


def prompts(objects: tuple[str, ...], colours: tuple[str, ...], counts: tuple[int, ...]) -> dict[str, list[Meaning]]:
    """Every prompt of each of four families, in a fixed order.

    "plain": each object; "coloured": with each colour; "counted": in each number; "related": each ordered pair of two
    objects in each relation. Take some out of the training data (`World.held_out`) and judge on them.
    """
    return {
        "plain": [_one(name) for name in objects],
        "coloured": [_one(name, colour=colour) for name in objects for colour in colours],
        "counted": [_one(name, count=count) for name in objects for count in counts],
        "related": [
            Meaning(groups=(Group(name=first), Group(name=second)), relation=relation)
            for first, second in permutations(objects, 2)
            for relation in RELATIONS
        ],
    }


def _one(name: str, *, colour: str | None = None, count: int = 1) -> Meaning:
    return Meaning(groups=(Group(name=name, colour=colour, count=count),))


def _phrase(group: Group) -> str:
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
