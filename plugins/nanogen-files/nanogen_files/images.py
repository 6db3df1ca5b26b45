"""The one place where tensors become 8-bit pictures, and pictures tensors, and where they are resized."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from nanogen_files.errors import NanoGenError, listing, near_miss

#: How a value between two bytes becomes one. DiffusionBench truncates: half a level darker, on average.
RULES: Mapping[str, Callable[[Tensor], Tensor]] = {"round": torch.round, "truncate": torch.trunc}

#: How images are resized. `-naive` looks at the same few pixels however much smaller the image gets.
KERNELS: Mapping[str, tuple[str, bool]] = {  # of interpolate: the mode, and whether it is widened when shrinking
    "bicubic": ("bicubic", True),
    "bilinear": ("bilinear", True),
    "bicubic-naive": ("bicubic", False),
    "bilinear-naive": ("bilinear", False),
    "nearest": ("nearest-exact", False),
}


def to_uint8(images: Tensor, rule: str = "round") -> Tensor:
    """Images [..., H, W] in [-1, 1] (clamped) -> uint8, by one of `RULES`. Raises NanoGenError for another, and for
    images that are not finite.

    Truncation is for what a decoder answers: of bytes that were made floats before, it lowers every fourth by one.
    """
    return unit_to_uint8((images.detach().float() + 1) / 2, rule)


def unit_to_uint8(values: Tensor, rule: str = "round") -> Tensor:
    """Values in [0, 1] (clamped) -> uint8. The product with 255 has the precision of `values`: in bfloat16, as a
    decoder under autocast answers, it is another one than in float32.

    Raises NanoGenError for an unknown rule, and for values that are not finite.
    """
    refuse_nonfinite(values)
    if rule not in RULES:
        raise NanoGenError(f"There is no rounding rule {rule!r}.{near_miss(rule, RULES)} There are: {listing(RULES)}.")
    return RULES[rule](values.detach().clamp(0, 1) * 255).to(torch.uint8)


def refuse_nonfinite(images: Tensor) -> None:
    """Raises NanoGenError for images [..., C, H, W] with a NaN or an infinity, which would become black or white."""
    if images.isfinite().all():
        return
    rows = images.reshape(-1, *images.shape[-3:]).flatten(1).isfinite().all(dim=1)
    bad = (~rows).nonzero().flatten().tolist()
    raise NanoGenError(
        f"{len(bad)} of {len(rows)} images hold numbers that are not finite, the first of them image {bad[0]}. Likely"
        " causes: a VAE that computes in float16 (set `tokenizer.dtype` to float32 or bfloat16), or weights of a"
        " training that diverged."
    )


def resized(images: Tensor, size: int | tuple[int, int], kernel: str = "bicubic") -> Tensor:
    """Images [B, C, H, W] of any range -> float [B, C, *size], not clamped: a bicubic kernel overshoots at edges.

    Kernels are widened when an image shrinks (antialiased) but for those whose name says otherwise. Images of that size
    come back as they are. Raises NanoGenError for a kernel that is none of `KERNELS`.
    """
    if kernel not in KERNELS:
        names = listing(KERNELS)
        raise NanoGenError(f"There is no resize kernel {kernel!r}.{near_miss(kernel, KERNELS)} There are: {names}.")
    target = (size, size) if isinstance(size, int) else tuple(size)
    if tuple(images.shape[-2:]) == target:
        return images.float()
    mode, widened = KERNELS[kernel]
    return F.interpolate(images.float(), size=target, mode=mode, antialias=widened)


def to_pil(images: Tensor, rule: str = "round") -> list[Image.Image]:
    """Images [B, 3, H, W] in [-1, 1] -> B RGB pictures."""
    rows = to_uint8(images, rule).permute(0, 2, 3, 1).cpu().numpy()  # [B, H, W, 3]
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
