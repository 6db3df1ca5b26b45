"""Tensors to 8-bit pictures and back, and sheets of them."""

import pytest
import torch
from PIL import Image

from nanogen_core.errors import NanoGenError
from nanogen_files.images import KERNELS, grid, resized, to_pil, to_tensor, to_uint8, unit_to_uint8


@pytest.mark.parametrize(
    ("value", "byte"),
    [(-1, 0), (1, 255), (0, 128), (-2, 0), (7, 255), (2 * 100.4 / 255 - 1, 100), (2 * 100.6 / 255 - 1, 101)],
)
def test_values_are_rounded_and_clamped(value, byte):
    assert int(to_uint8(torch.tensor([float(value)]))) == byte


def test_every_byte_comes_back():
    images = torch.arange(256, dtype=torch.float32).reshape(1, 1, 16, 16).expand(1, 3, 16, 16) / 127.5 - 1
    assert torch.equal(to_uint8(to_tensor(to_pil(images)[0])[None]), to_uint8(images))


@pytest.mark.parametrize(("value", "byte"), [(-0.1, 0), (0.998, 254), (0.999, 254), (1.0, 255), (1.2, 255), (0.5, 127)])
def test_the_published_rule_truncates(value, byte):
    assert int(unit_to_uint8(torch.tensor([value]), "truncate")) == byte
    assert int(to_uint8(torch.tensor([2 * value - 1]), "truncate")) == byte


def test_in_bfloat16_the_product_is_rounded_before_it_is_cut():
    """0.69921875 * 255 = 178.3 lies between the bfloat16 numbers 178 and 179; 0.30078125 * 255 = 76.7 becomes 76.5."""
    values = torch.tensor([0.69921875, 0.30078125], dtype=torch.bfloat16)
    assert unit_to_uint8(values, "truncate").tolist() == [178, 76]
    assert unit_to_uint8(values).tolist() == [178, 76]  # half to even
    assert unit_to_uint8(values.float()).tolist() == [178, 77]


def test_a_rule_or_a_kernel_that_does_not_exist_is_named():
    with pytest.raises(NanoGenError, match="Did you mean 'truncate'"):
        to_uint8(torch.zeros(1), "truncated")
    with pytest.raises(NanoGenError, match="Did you mean 'bicubic'"):
        resized(torch.zeros(1, 3, 4, 4), 2, "bicubik")


def test_shrinking_averages_unless_the_kernel_is_naive():
    """Stripes one pixel wide become grey; a naive kernel keeps what it happens to hit."""
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 1, 64, 64)
    for kernel, (_, widened) in KERNELS.items():
        small = resized(stripes, 9, kernel)
        assert small.shape == (1, 1, 9, 9)
        assert (small[..., 2:-2].std() < 0.05) == widened, kernel


def test_images_of_the_right_size_stay_and_values_are_not_clamped():
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 255
    assert torch.equal(resized(edge.byte(), (8, 8)), edge)
    assert resized(edge, 12).max() > 255 > resized(edge, 12, "bilinear").max() - 1


def test_a_sheet_has_a_row_for_every_eight_and_room_for_captions():
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    sheet = grid([red] * 8 + [blue], ["a caption that does not fit on one line"] + ["x"] * 7 + [""], tile=32)
    assert sheet.width == 8 * 32
    assert sheet.getpixel((8 * 32 - 2, sheet.height - 32 - 2 - 2)) == (255, 0, 0)
    assert sheet.getpixel((2, sheet.height - 2)) == (0, 0, 255)
    assert grid([red], ["long words only"], tile=32).height > grid([red], ["x"], tile=32).height
