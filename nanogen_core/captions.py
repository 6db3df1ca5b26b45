"""From the bytes of a caption's file to its text, or the reason why there is none."""

from __future__ import annotations

from nanogen_core.damage import BadExample


def decode_caption(data: bytes, name: str) -> str:
    """The text without white space around it. Raises BadExample, with the caption's `name`, for one that is empty or
    no UTF-8."""
    try:
        text = data.decode("utf-8-sig").strip()  # some editors put a mark before the text
    except UnicodeDecodeError as error:
        raise BadExample("caption no UTF-8", f"The caption {name} is not UTF-8 ({error}): write it again.") from error
    if not text:
        raise BadExample("empty caption", f"The caption {name} is empty: write one, or take the example away.")
    return text
