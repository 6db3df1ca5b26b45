"""The published prompts of VQAScore, and the preprocessing of prompts and images. Another wording changes the
scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

ANSWER = "Yes"
IMAGE = "<image>"  # placeholder of the image in a prompt
IMAGE_TOKEN = -200  # its token id

FLAN_QUESTION = 'Does this figure show "{}"? Please answer yes or no.'
CHAT_QUESTION = 'Does this image show "{}"?'

_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def flan_prompt(text: str) -> str:
    """Return the prompt that asks CLIP-FlanT5 if an image shows a text. `<image>` stands for the image."""
    return f"{_SYSTEM} USER: {IMAGE}\n{FLAN_QUESTION.format(text)} ASSISTANT: "


def tokenize_prompt(prompt: str, tokenize: Callable[[str], Sequence[int]]) -> list[int]:
    """Tokenize a prompt, with IMAGE_TOKEN for its image.

    The parts before and after the image are tokenized separately. Each keeps its end token, as in training.

    Args:
        prompt: A prompt with `<image>`.
        tokenize: Returns the token ids of a text.
    """
    first, *others = prompt.split(IMAGE)
    ids = list(tokenize(first))
    for part in others:
        ids += [IMAGE_TOKEN, *tokenize(part)]
    return ids


def padded_square(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Centre an image on a square of one colour. The side of the square is the longer edge of the image."""
    side = max(image.size)
    if image.size == (side, side):
        return image
    square = Image.new(image.mode, (side, side), background)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
