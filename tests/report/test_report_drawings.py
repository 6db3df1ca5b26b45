"""Scales, marks, names beside points, and lines with their bands, against what others compute or geometry says."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogen_bench.correlation.study import study
from nanogen_bench.correlation.table import Table
from nanogen_bench.report.curves import curves
from nanogen_bench.report.families import marks
from nanogen_bench.report.fit import fit
from nanogen_bench.report.groups import Group
from nanogen_bench.report.labels import Box, labels, shortened
from nanogen_bench.report.scales import Scale, around, number, place
from nanogen_bench.report.slopes import Ranked, slopes

FINITE = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))


def test_a_scale_maps_its_ends_and_may_run_backwards():
    assert [Scale(1, 3, 0, 100)(value) for value in (1, 2, 3)] == [0, 50, 100]
    assert [Scale(1, 3, 100, 0)(value) for value in (1, 2, 3)] == [100, 50, 0]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1.3, 6.7, [2, 4, 6]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (59_000, 61_000, [59_000, 59_500, 60_000, 60_500, 61_000]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert Scale(low, high, 0, 1).ticks() == pytest.approx(ticks)


@given(st.lists(FINITE, min_size=1, max_size=9))
def test_every_value_is_inside_and_a_few_ticks_are(values):
    scale = around(values, 0, 100)
    assert all(0 < scale(value) < 100 for value in values)
    assert 1 <= len(scale.ticks()) <= 7
    texts = [scale.tick_text(tick) for tick in scale.ticks()]
    assert len(set(texts)) == len(texts)


def test_long_numbers_at_an_axis_have_an_exponent():
    assert Scale(0, 1.6e9, 0, 1).tick_text(1.5e9) == "1.5e9"
    assert Scale(0, 2e-7, 0, 1).tick_text(5e-8) == "5e−8"
    assert Scale(0, 600_000, 0, 1).tick_text(200_000) == "200000"


def test_numbers_have_a_true_minus_and_no_minus_zero():
    assert number(-0.5549, 3) == "−0.555"
    assert number(-0.0004, 3) == "0.000"
    assert place(-0.01) == "0.0"


def test_families_differ_by_shape_and_colour_and_the_first_ones_by_both():
    looks = list(marks(map(str, range(56))).values())
    assert len({(mark.shape, mark.colour) for mark in looks}) == 56
    assert len({mark.shape for mark in looks[:7]}) == len({mark.colour for mark in looks[:7]}) == 7


# -- the line ----------------------------------------------------------------------------------------------------


def test_the_band_is_that_of_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    x = rng.normal(size=21)
    y = 0.3 * x + rng.normal(size=21)
    at = np.linspace(-2, 2, 9)
    expected = api.OLS(y, api.add_constant(x)).fit().get_prediction(api.add_constant(at)).conf_int(alpha=0.05)
    found = fit(list(x), list(y))
    for value, (low, high) in zip(at, expected, strict=True):
        assert found.at(value) - found.half_width(value) == pytest.approx(low, abs=1e-12)
        assert found.at(value) + found.half_width(value) == pytest.approx(high, abs=1e-12)


def test_no_line_through_too_little():
    assert fit([1, 2], [1, 2]) is None
    assert fit([1, 1, 1], [1, 2, 3]) is None


# -- names -------------------------------------------------------------------------------------------------------

ROOM = Box(0, 0, 300, 200)


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 200), st.text("abc", min_size=1, max_size=40)), max_size=30))
def test_names_meet_neither_each_other_nor_points_nor_leave_the_room(points):
    found = labels(points, ROOM, range(len(points)))
    for i, one in enumerate(found):
        assert one.box.inside(ROOM)
        assert not any(one.box.meets(other.box) for other in found[i + 1 :])
        assert not any(one.box.left < x < one.box.right and one.box.top < y < one.box.bottom for x, y, _ in points)


def test_a_lonely_point_has_its_name_and_a_long_one_is_shortened():
    (label,) = labels([(100, 100, "a" * 50)], ROOM, [0])
    assert label.text == "a" * 21 + "…"
    assert shortened("short") == "short"


# -- rankings ----------------------------------------------------------------------------------------------------


def ends(drawing):
    return [tuple(map(float, pair)) for pair in re.findall(r'class="slope[^>]*y1="([\d.]+)" y2="([\d.]+)"', drawing)]


def crossings(lines):
    return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for i, a in enumerate(lines) for b in lines[:i])


def test_lines_cross_exactly_where_two_models_change_places():
    found = marks([""])
    turned = [Ranked("a", "", 1, 3), Ranked("b", "", 2, 2), Ranked("c", "", 3, 1)]
    assert crossings(ends(slopes(turned, found, left="x", right="y", summary=""))) == 3
    tied = [Ranked("a", "", 1, 2), Ranked("b", "", 2, 2), Ranked("c", "", 3, 2)]
    assert crossings(ends(slopes(tied, found, left="x", right="y", summary=""))) == 0


# -- curves ------------------------------------------------------------------------------------------------------


def test_a_curve_is_thinned_without_losing_its_end_and_skips_what_is_no_number():
    series = [(step, float(step)) for step in range(1, 1001)]
    drawing = curves("loss", (series, [(1, math.nan), (2, 5.0), (3, 4.0)]), ("imagenet", "t2i"))
    first, second = (found.split() for found in re.findall(r'points="([^"]*)"', drawing))
    assert len(first) <= 80
    assert len(second) == 2
    assert "imagenet from" in drawing
    assert "to 1e+03" in drawing


def test_an_empty_curve_keeps_its_label():
    series = [(1, 3.0), (2, 2.0)]
    assert "steps: imagenet without values, t2i from 3 to 2" in curves("loss", [[], series], ("imagenet", "t2i"))
    alone = curves("loss", [series], ["t2i"])
    assert "steps: t2i from 3 to 2" in alone
    assert alone.count("<polyline") == 1
    with pytest.raises(ValueError, match="zip"):
        curves("loss", [[], series], ["t2i"])


def test_nothing_is_drawn_of_nothing():
    assert curves("loss", ([], []), ("a", "b")) is None
    assert curves("loss", ([(1, 2.0)], [(1, math.nan)]), ("a", "b")) is None


# -- groups ------------------------------------------------------------------------------------------------------


def test_the_power_of_a_group_is_that_of_all_its_studies():
    """Of 30 models, 6 lack the second x."""
    rows = [
        {"method": f"m{n}", "first": float(n), "second": None if n < 6 else float(n % 7), "y": float(n * n % 11)}
        for n in range(30)
    ]
    table = Table.of(rows, source="test")
    options = {"ys": ["y"], "directions": dict.fromkeys(("first", "second", "y"), "lower"), "draws": 50}
    studies = [study(table, x=x, **options) for x in ("first", "second", "first")]
    group = Group(studies, "other")
    assert [(one.n, one.over) for one in group.power] == [(30, "models"), (24, "models")]
