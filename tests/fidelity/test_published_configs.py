"""The check of the published configurations detects every difference."""

import copy
import json
from pathlib import Path

import pytest

from tests.fidelity.checks.published_configs import NOT_COMPARED, compared, leaves

FILE = Path(__file__).parent / "fixtures" / "published_configs.json"
ROWS = {row["file"]: row for row in json.loads(FILE.read_text())["rows"]}
DDT = "ddt-en28d1152hd72-dn2d2048hd128"
CHANGED = [
    f"sampling/imagenet/{DDT}-rae-dinov2-reg0.03-rmsnorm-vpred-t4c8-cfg6.2-t0.0-0.9.yaml",
    f"training/imagenet/mf-{DDT}-sdvae-mse-vpred-t4c8-kappa0.0.yaml",
    f"training/imagenet/pixelgen-{DDT}-xpred-t4c8-0.1lpips-0.01pdino-thresh0.7.yaml",
    f"sampling/t2i/t2i-pixnerd-{DDT}-vpred-t4.yaml",
]


def missed(row):
    return {measurement.name for measurement in compared(row) if not measurement.holds}


def changed(row, field, value):
    """The row with another value of one field, or without the field."""
    row = copy.deepcopy(row)
    *path, last = field.split(".")
    place = row
    for name in path:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return row


def other(value):
    """Another value of the same kind."""
    if isinstance(value, bool) or value is None:
        return "another" if value is None else not value
    if isinstance(value, int | float):
        return value + 2e-5
    if isinstance(value, list):
        return [*value[:-1], other(value[-1])]
    return f"{value} of another kind"


@pytest.mark.parametrize("file", CHANGED)
def test_every_field_of_a_row_is_read(file):
    row = ROWS[file]
    before = missed(row)
    fields = [name for name in leaves(row) if name not in NOT_COMPARED]
    assert len(fields) > 60
    unread = [name for name in fields if missed(changed(row, name, other(leaves(row)[name]))) == before]
    assert unread == []
    assert [name for name in fields if missed(changed(row, name, None)) == before] == []


def test_a_field_that_the_check_does_not_know_is_missed():
    row = ROWS[CHANGED[0]]
    for field in ("noise_offset", "training.warmup", "meanflow"):
        value = {"fm_ratio": 0.75} if field == "meanflow" else 0.1
        more = missed(changed(row, field, value)) - missed(row)
        assert any(CHANGED[0] in name for name in more), field


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("tokenizer.name", "sdvae-xl", "sdvae-xl"),
        ("image_size", 1024, "dinov2-b-reg-1024"),
    ],
)
def test_a_row_without_a_recipe_is_named(field, value, words):
    (name,) = missed(changed(ROWS[CHANGED[0]], field, value))
    assert name.startswith(CHANGED[0])
    assert "no recipe" in name
    assert words in name
