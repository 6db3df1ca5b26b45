"""Convert tensors to 8-bit images and back, resize images, draw grids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from nanogen_files.errors import DataError, NanoGenError, listing, near_miss

#: Rounding of pixel values to bytes. DiffusionBench truncates, which is half a level darker on average.
RULES: Mapping[str, Callable[[Tensor], Tensor]] = {"round": torch.round, "truncate": torch.trunc}

#: Resize kernels. `-naive` kernels do not antialias: they read equally few pixels at any reduction.
KERNELS: Mapping[str, tuple[str, bool]] = {  # mode and antialias of `F.interpolate`
    "bicubic": ("bicubic", True),
    "bilinear": ("bilinear", True),
    "bicubic-naive": ("bicubic", False),
    "bilinear-naive": ("bilinear", False),
    "nearest": ("nearest-exact", False),
}


def to_uint8(images: Tensor, rule: str = "round") -> Tensor:
    """Convert images from [-1, 1] (clamped) to uint8.

    Use `truncate` for decoder outputs only: it changes about a quarter of the bytes of images that were uint8 before.

    Args:
        images: Float images [..., H, W] in [-1, 1].
        rule: Rounding rule, a key of `RULES`.

    Raises:
        NanoGenError: The rule is unknown, or an image is not finite.
    """
    return unit_to_uint8((images.detach().float() + 1) / 2, rule)


def unit_to_uint8(values: Tensor, rule: str = "round") -> Tensor:
    """Convert values from [0, 1] (clamped) to uint8.

    Multiplies by 255 in the dtype of `values`, so bfloat16 outputs of a decoder give other bytes than float32 outputs.

    Args:
        values: Float tensor in [0, 1].
        rule: Rounding rule, a key of `RULES`.

    Raises:
        NanoGenError: The rule is unknown, or a value is not finite.
    """
    refuse_nonfinite(values)
    if rule not in RULES:
        raise NanoGenError(f"Unknown rounding rule {rule!r}.{near_miss(rule, RULES)} Available: {listing(RULES)}.")
    return RULES[rule](values.detach().clamp(0, 1) * 255).to(torch.uint8)


def refuse_nonfinite(images: Tensor) -> None:
    """Raise NanoGenError if an image [..., C, H, W] contains NaN or infinity, which would become black or white."""
    if images.isfinite().all():
        return
    rows = images.reshape(-1, *images.shape[-3:]).flatten(1).isfinite().all(dim=1)
    bad = (~rows).nonzero().flatten().tolist()
    raise NanoGenError(
        f"{len(bad)} of {len(rows)} images contain NaN or infinite values (first: image {bad[0]}). Likely"
        " causes: a VAE running in float16 (set `tokenizer.dtype` to float32 or bfloat16), or a model"
        " whose training diverged."
    )


def resized(images: Tensor, size: int | tuple[int, int], kernel: str = "bicubic") -> Tensor:
    """Resize images without clamping; a bicubic kernel can overshoot the input range at edges.

    Args:
        images: Images [B, C, H, W] of any range. Images of the target size are only converted to float32.
        size: Target side, or (height, width), in pixels.
        kernel: A key of `KERNELS`. Only `bicubic` and `bilinear` antialias when shrinking.

    Returns:
        float32 images [B, C, height, width].

    Raises:
        NanoGenError: The kernel is unknown.
    """
    if kernel not in KERNELS:
        names = listing(KERNELS)
        raise NanoGenError(f"Unknown resize kernel {kernel!r}.{near_miss(kernel, KERNELS)} Available: {names}.")
    target = (size, size) if isinstance(size, int) else tuple(size)
    if tuple(images.shape[-2:]) == target:
        return images.float()
    mode, antialias = KERNELS[kernel]
    return F.interpolate(images.float(), size=target, mode=mode, antialias=antialias)


def to_pil(images: Tensor, rule: str = "round") -> list[Image.Image]:
    """Convert images to PIL images.

    Args:
        images: Images [B, 3, H, W] in [-1, 1].
        rule: Rounding rule, a key of `RULES`.

    Returns:
        B RGB images.
    """
    rows = to_uint8(images, rule).permute(0, 2, 3, 1).cpu().numpy()  # [B, H, W, 3]
    return [Image.fromarray(row) for row in rows]


def to_tensor(image: Image.Image) -> Tensor:
    """Convert a PIL image to float32 [3, H, W] in [-1, 1]."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)  # [H, W, 3]
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1).contiguous()


def grid(images: Sequence[Image.Image], captions: Sequence[str], *, columns: int = 8, tile: int = 96) -> Image.Image:
    """Draw images in a grid, each below its caption.

    Args:
        images: Images of any size.
        captions: One caption per image. A caption may be "".
        columns: Images per row.
        tile: Side in pixels of the square that each image is resized to.

    Returns:
        An RGB image.
    """
    size = max(10, tile // 8)  # pixels
    font = ImageFont.load_default(size=size)
    texts = [_wrapped(caption, font, tile) for caption in captions]
    heads = [_head(texts[start : start + columns], size) for start in range(0, len(texts), columns)]
    sheet = Image.new("RGB", (tile * min(columns, len(images)), sum(heads) + tile * len(heads)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (image, lines) in enumerate(zip(images, texts, strict=True)):
        row, left = index // columns, index % columns * tile
        top = sum(heads[: row + 1]) + row * tile
        draw.multiline_text((left + 3, top - heads[row] + 1), "\n".join(lines), fill="black", font=font, spacing=2)
        sheet.paste(image.resize((tile, tile), Image.Resampling.LANCZOS), (left, top))
    return sheet


def _head(row: Sequence[list[str]], size: int) -> int:
    """Return the height in pixels of a row's captions, or 2 if all are empty."""
    lines = max(len(text) for text in row)
    return (size + 4) * lines + 4 if any(word for text in row for word in text) else 2


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Split a text into lines that fit `width` pixels, between words."""
    lines = [""]
    for word in text.split() or [""]:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width - 6:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def write_new_png(path: Path, picture: Image.Image) -> None:
    """Write a new PNG file. Leaves no partial file. Raises DataError if the file exists or cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}): choose another --output.") from error
    try:
        with file:
            picture.save(file, format="PNG")
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DataError(
                f"{path} cannot be written ({error.strerror or error}): free disk space, or choose another --output."
            ) from error
        raise
