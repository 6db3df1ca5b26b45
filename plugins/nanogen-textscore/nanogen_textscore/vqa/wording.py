"""What a judge is asked, in the published words: another wording is another metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

ANSWER = "Yes"
IMAGE = "<image>"  # where the picture's tokens go
IMAGE_TOKEN = -200  # the number that stands for it

FIGURE = 'Does this figure show "{}"? Please answer yes or no.'  # CLIP-FlanT5
PICTURE = 'Does this image show "{}"?'  # chat models

_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def flan_prompt(text: str) -> str:
    """The whole prompt of CLIP-FlanT5 about a text, with `<image>` in it."""
    return f"{_SYSTEM} USER: {IMAGE}\n{FIGURE.format(text)} ASSISTANT: "


def tokens(prompt: str, tokenize: Callable[[str], Sequence[int]]) -> list[int]:
    """Token numbers of a prompt, with IMAGE_TOKEN for its picture.

    Each part around the picture is made into tokens on its own and keeps the end token that it gets: so it was trained.
    """
    first, *others = prompt.split(IMAGE)
    numbers = list(tokenize(first))
    for part in others:
        numbers += [IMAGE_TOKEN, *tokenize(part)]
    return numbers


def squared(picture: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The picture in the middle of a square of its longer side."""
    side = max(picture.size)
    if picture.size == (side, side):
        return picture
    square = Image.new(picture.mode, (side, side), background)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square
