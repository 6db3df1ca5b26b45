"""The manifest: what it offers, that its strings lead somewhere, and that it loads no torch."""

from __future__ import annotations

import subprocess
import sys

from nanogen_core.config import import_object
from nanogen_t2i.plugin import NANOGEN_API, nanogen_components


def test_every_target_and_config_can_be_imported() -> None:
    assert NANOGEN_API == 1
    for component in nanogen_components():
        assert import_object(component.target)
        assert component.config is None or import_object(component.config)


def test_the_manifest_and_the_options_load_no_torch() -> None:
    code = "import sys, nanogen_t2i.plugin, nanogen_t2i.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
