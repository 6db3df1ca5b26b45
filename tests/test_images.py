"""Tensors to 8-bit pictures and back, and sheets of them."""

import pytest
import torch
from PIL import Image

from nanogen_core.images import grid, to_pil, to_tensor, to_uint8


@pytest.mark.parametrize(
    ("value", "byte"),
    [(-1, 0), (1, 255), (0, 128), (-2, 0), (7, 255), (2 * 100.4 / 255 - 1, 100), (2 * 100.6 / 255 - 1, 101)],
)
def test_values_are_rounded_and_clamped(value, byte):
    assert int(to_uint8(torch.tensor([float(value)]))) == byte


def test_every_byte_comes_back():
    images = torch.arange(256, dtype=torch.float32).reshape(1, 1, 16, 16).expand(1, 3, 16, 16) / 127.5 - 1
    assert torch.equal(to_uint8(to_tensor(to_pil(images)[0])[None]), to_uint8(images))


def test_a_sheet_has_a_row_for_every_eight_and_room_for_captions():
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    sheet = grid([red] * 8 + [blue], ["a caption that does not fit on one line"] + ["x"] * 7 + [""], tile=32)
    assert sheet.width == 8 * 32
    assert sheet.getpixel((8 * 32 - 2, sheet.height - 32 - 2 - 2)) == (255, 0, 0)
    assert sheet.getpixel((2, sheet.height - 2)) == (0, 0, 255)
    assert grid([red], ["long words only"], tile=32).height > grid([red], ["x"], tile=32).height
