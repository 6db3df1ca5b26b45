"""The page on protocols: its tuples are those of the code, and its examples pass their contracts."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from contracts import failures

from nanogen_core import build_pipeline, tensors
from nanogen_core.testing import ObjectiveContract, SamplerContract
from nanogen_train.testing import AuxiliaryContract
from tests.processes import forked

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(# \w+\.py\n.*?)```", PAGE, re.S)
FILES = {text.splitlines()[0].removeprefix("# "): text for text in BLOCKS}


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Return a function that writes a file of the page and imports it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(name):
        path = tmp_path / name
        path.write_text(FILES[name], encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_the_page_names_every_field_of_every_tuple():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.split("| Tuple |")[1].split("\n\n")[0], re.M)
    named = {name: tuple(re.findall(r"`(\w+)`", fields)) for name, fields in rows}
    assert named == {name: getattr(tensors, name)._fields for name in named}
    assert {"Times", "State", "Condition", "Prediction", "ForwardPass", "Losses", "Batch"} == set(named)


def test_the_objective_passes_its_contract(example):
    module, test = example("arc_flow.py"), example("test_arc_flow.py")
    assert issubclass(test.TestArcFlow, ObjectiveContract)
    assert failures(test.TestArcFlow, objective=module.ArcFlow(module.ArcConfig())) == set()


def test_the_sampler_passes_its_contract(example):
    module = example("noisy_euler.py")
    contract = type("Contract", (SamplerContract,), {"order": 0, "steps": 200})
    assert failures(contract, sampler=module.NoisyEuler(module.NoisyEulerConfig())) == set()


def test_the_auxiliary_passes_its_contract(example, small):
    module = example("earlier_alignment.py")
    pipeline = build_pipeline(
        {**small, "backbone": {**small["backbone"], "depth": 2}, "train": {**small["train"], "steps": 2}},
    )
    auxiliary = module.Earlier(module.EarlierConfig(), objective=pipeline.objective)
    with_it = build_pipeline(pipeline.config, auxiliary={"earlier": auxiliary})
    assert failures(AuxiliaryContract, pipeline=with_it) == set()


TOGETHER = """
import json
from pathlib import Path
from nanogen_core import build_pipeline, register
from nanogen_train import Run
for name in ("arc_flow.py", "noisy_euler.py", "earlier_alignment.py"):
    register(name)
trained = Run(build_pipeline(json.loads(Path("config.json").read_text())), Path("run")).train()
assert trained.generate([0, 1], tensors=True).isfinite().all()
"""


def test_the_examples_train_and_sample_together(small, tmp_path):
    """In another process, because registered plugins stay."""
    for name in ("arc_flow.py", "noisy_euler.py", "earlier_alignment.py"):
        (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    small["backbone"]["depth"] = 2
    parts = {"objective": "arc-flow", "sampler": {"name": "noisy-euler", "steps": 3}, "auxiliary": "earlier"}
    (tmp_path / "config.json").write_text(json.dumps({**small, **parts}), encoding="utf-8")
    done = forked.python(TOGETHER, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
