"""The manifest keeps the contract of plugins, and the installed cases find their runners."""

import pytest

from nanogen_core.testing import PluginContract
from tests.evaluation_cases import installed


class TestManifest(PluginContract):
    required = frozenset({"reference", "features"})

    @pytest.fixture
    def manifest(self):
        return "nanogen_fidelity.plugin"


def test_unequal_sets_cases_without_options_and_images_of_any_form_are_answered():
    """Further cases of the known kinds: keys left out, other sizes, other words."""
    answer = installed().find
    fewer = {"gen": [[0.0], [1.0]], "ref": [[1.0], [4.0], [2.0]]}
    assert answer("mind", fewer)(fewer) > 0
    pair = {"a": "uint8 2x8x8x3 all 7", "b": "same"}
    assert answer("psnr", pair)({**pair, "b": pair["a"]}) == pytest.approx(100)
    wide = {"image": [[[0.0, 10.0], [20.0, 30.0]]], "size": [2, 4]}
    assert answer("inception_preproc", wide)(wide).tolist() == [[[0, 5, 10, 10], [20, 25, 30, 30]]]
    some = {"order": ["a", "b"], "norm_const": [1.0, 2.0], "fd": [1.0, None]}
    assert "fdr6" not in answer("fdr6", some)(some)
