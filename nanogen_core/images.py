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
    heads = [_head(texts[start : start + columns], size) for start in range(0, len(texts), columns)]
    sheet = Image.new("RGB", (tile * min(columns, len(pictures)), sum(heads) + tile * len(heads)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, lines) in enumerate(zip(pictures, texts, strict=True)):
        row, left = index // columns, index % columns * tile
        top = sum(heads[: row + 1]) + row * tile
        draw.multiline_text((left + 3, top - heads[row] + 1), "\n".join(lines), fill="black", font=font, spacing=2)
        sheet.paste(picture.resize((tile, tile), Image.Resampling.LANCZOS), (left, top))
    return sheet


def _head(row: Sequence[list[str]], size: int) -> int:
    """The height of a row's captions in pixels; a row without any lies close to the one above."""
    lines = max(len(text) for text in row)
    return (size + 4) * lines + 4 if any(word for text in row for word in text) else 2


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
