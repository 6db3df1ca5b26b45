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


def grid(pictures: Sequence[Image.Image], captions: Sequence[str], *, columns: int = 8, tile: int = 96) -> Image.Image:
    """A sheet of pictures in rows of `columns`, each under its caption; `tile` is the side of a picture in pixels."""
    size = max(10, tile // 8)  # pixels
    font = ImageFont.load_default(size=size)
    texts = [_wrapped(caption, font, tile) for caption in captions]
    head = (size + 4) * max(len(lines) for lines in texts) + 4
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (tile * min(columns, len(pictures)), (head + tile) * rows), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, lines) in enumerate(zip(pictures, texts, strict=True)):
        left, top = index % columns * tile, index // columns * (head + tile)
        draw.multiline_text((left + 3, top + 1), "\n".join(lines), fill="black", font=font, spacing=2)
        sheet.paste(picture.resize((tile, tile), Image.Resampling.LANCZOS), (left, top + head))
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
