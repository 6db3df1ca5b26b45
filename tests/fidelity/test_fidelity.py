"""Every fixture of the published recipe is within its tolerance."""

import pytest

from tests.fidelity.__main__ import FIXTURES
from tests.fidelity.kinds import fixtures_in, is_training_curve, measure_of

MEASURED = [path for path in fixtures_in(FIXTURES) if not is_training_curve(path) and measure_of(path)]


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_the_fixture_holds(path):
    found = list(measure_of(path)(path))
    assert found
    assert {m.name: m.error for m in found if not m.holds} == {}
