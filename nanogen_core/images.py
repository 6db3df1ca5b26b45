"""The one place where tensors become 8-bit pictures, and pictures tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Images [..., H, W] in [-1, 1] (clamped) -> uint8, rounded to the nearest value."""
    return ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_pil(images: Tensor) -> list[Image.Image]:
    """Images [B, 3, H, W] in [-1, 1] -> B RGB pictures."""
    rows = to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()  # [B, H, W, 3]
    return [Image.fromarray(row) for row in rows]


def to_tensor(picture: Image.Image) -> Tensor:
    """A picture -> float32 [3, H, W] in [-1, 1]."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)  # [H, W, 3]
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1).contiguous()


def grid(rows: Sequence[Sequence[Image.Image]], labels: Sequence[str], *, tile: int = 96) -> Image.Image:
    """Rows of pictures, one column for each label, which stands above it; `tile` is the side of a picture in pixels."""
    font = ImageFont.load_default(size=max(10, tile // 8))
    lines = [_wrapped(label, font, tile) for label in labels]
    head = (font.size + 3) * max(len(line) for line in lines) + 6
    sheet = Image.new("RGB", (tile * len(labels), head + tile * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, words in enumerate(lines):
        draw.multiline_text((column * tile + 3, 2), "\n".join(words), fill="black", font=font, spacing=2)
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            sheet.paste(picture.resize((tile, tile), Image.Resampling.LANCZOS), (across * tile, head + down * tile))
    return sheet


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The text in lines that fit `width` pixels, broken between words."""
    lines = [""]
    for word in text.split() or [""]:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width - 6:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
