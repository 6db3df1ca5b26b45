"""A plugin in one file: `--plugin FILE` and `register`, and kinds, verbs and sections of an outside plugin."""

import re
from pathlib import Path

import pytest
import yaml

from tests.processes import forked

METHOD = """
from nanogen_core import Component, Kind, hookimpl
from nanogen_flow import Flow
import attrs, click

NANOGEN_API = 1

class Doubled(Flow):
    def loss(self, nets, clean, condition, null, rng):
        losses = super().loss(nets, clean, condition, null, rng)
        return losses._replace(total=2 * losses.total)

class Palette:
    def __init__(self):
        self.colours = ("red", "green")

@attrs.frozen(kw_only=True)
class Notes:
    author: str = "nobody"

@click.command()
def hello():
    click.echo("hello from a plugin")

@hookimpl
def nanogen_kinds():
    return [Kind(name="palette", place="slot", default="two-colours")]

@hookimpl
def nanogen_sections():
    return {"notes": "my_method:Notes"}

@hookimpl
def nanogen_commands():
    return {"hello": ("my_method:hello", "Say hello.")}

@hookimpl
def nanogen_components():
    flow = "nanogen_flow.config:FlowConfig"
    return [
        Component(kind="objective", name="doubled", target="my_method:Doubled", config=flow, needs={"palette": ()}),
        Component(kind="palette", name="two-colours", target="my_method:Palette"),
    ]
"""


@pytest.fixture
def folder(small, tmp_path):
    (tmp_path / "my_method.py").write_text(METHOD)
    for task in ("imagenet", "t2i"):
        config = {**small, "task": task, "objective": "doubled", "notes": {"author": "me"}}
        config["train"] = {**small["train"], "steps": 2, "checkpoint_every": 1}
        (tmp_path / f"{task}.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def nanogen(folder, *words):
    return forked.nanogen(*words, cwd=folder)


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_a_method_in_one_file_trains_and_resumes_and_samples(folder, task):
    done = nanogen(folder, "train", f"{task}.yaml", "--output", "run", "--plugin", "my_method.py")
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    assert written["objective"]["name"] == "doubled"
    assert written["palette"] == {"name": "two-colours"}
    assert written["notes"] == {"author": "me"}
    more = nanogen(folder, "--plugin=my_method.py", "train", "run", "--resume", "--set", "train.steps=3")
    assert more.returncode == 0, more.stderr
    asked = "--label=apple" if task == "imagenet" else "--prompt=a cat"
    sampled = nanogen(folder, "sample", "run", asked, "--plugin", "my_method.py")
    assert sampled.returncode == 0, sampled.stderr
    assert list((folder / "run" / "generated").glob("*.png"))


def test_its_loss_is_its_own(folder, small):
    """Twice the loss of flow matching on the same numbers."""
    code = """
import sys, yaml
from pathlib import Path
from nanogen_core import build_pipeline, register
from nanogen_train import Run
register("my_method.py")
config = yaml.safe_load(Path("imagenet.yaml").read_text())
losses = [
    Run(build_pipeline({**config, "objective": name}), Path(name)).first_step()[1]["loss"]
    for name in ("flow", "doubled")
]
assert abs(losses[1] / losses[0] - 2) < 1e-5, losses
"""
    done = forked.python(code, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_its_verb_is_listed_and_runs(folder):
    listed = nanogen(folder, "--plugin", "my_method.py", "--help").stdout
    assert "Commands of my_method" in listed
    assert "Say hello." in listed
    assert nanogen(folder, "hello", "--plugin", "my_method.py").stdout == "hello from a plugin\n"


def test_its_section_is_read_strictly(folder):
    done = nanogen(folder, "config", "show", "imagenet.yaml", "--plugin", "my_method.py", "--set", "notes.auther=x")
    assert done.returncode == 1
    assert "notes.auther: unknown key. Did you mean 'author'" in done.stderr


def test_a_section_whose_class_has_no_fields_is_a_sentence(folder):
    """So is the error for an unknown key, which is compared with the fields of every section."""
    plain = METHOD.replace("@attrs.frozen(kw_only=True)\nclass Notes", "class Notes")
    (folder / "my_method.py").write_text(plain)
    for words in ((), ("--set", "stepps=3")):
        done = nanogen(folder, "config", "show", "imagenet.yaml", "--plugin", "my_method.py", *words)
        assert done.returncode == 1
        assert "my_method:Notes must be an attrs class. Fix the plugin" in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("nothing.py", None, "expected an existing Python file whose name is a Python identifier"),
        ("my-method.py", METHOD, "expected an existing Python file whose name is a Python identifier"),
        ("json.py", METHOD, "the module name 'json' is taken"),
        ("torch.py", METHOD, "the module name 'torch' is taken"),
        ("statsmodels.py", METHOD, "the module name 'statsmodels' is taken"),  # which is not imported yet
        ("broken.py", "import nothing_at_all", "ModuleNotFoundError: No module named 'nothing_at_all'"),
        ("plain.py", "x = 1", "its manifest has NANOGEN_API = None"),
        ("twice.py", METHOD.replace('"palette"', '"sampler"'), "already has the kind 'sampler'"),
        ("verb.py", METHOD.replace('"hello"', '"train"'), "nanogen-train already has the command 'train'"),
        ("section.py", METHOD.replace('"notes"', '"train"'), "the name 'train' is taken"),
        ("section2.py", METHOD.replace('"my_method:Notes"', "Notes"), "must be a string 'module:Class'"),
    ],
)
def test_a_file_that_cannot_be_a_plugin_is_a_sentence(tmp_path, file, text, sentence):
    if text is not None:
        (tmp_path / file).write_text(text)
    code = f"from nanogen_core import register; register({str(tmp_path / file)!r})"
    done = forked.python(code)
    assert done.returncode == 1
    assert re.match(r"nanogen_files.errors.NanoGenError: (Cannot load the|The) plugin ", done.stderr.splitlines()[-1])
    assert sentence in done.stderr.splitlines()[-1]


def test_a_missing_verb_or_section_says_what_brings_it(tmp_path):
    """From the extras of the core's metadata alone."""
    code = """
import attrs
from nanogen_core.cli import lazy
known = lazy.registry()
lazy.registry = lambda: attrs.evolve(known, commands={})
group = lazy.PluginGroup("nanogen")
print(group.advice("train"), group.advice("evaluate"), group.advice("bench"))
"""
    done = forked.python(code)
    assert done.stdout.split("`")[1::2] == [
        "pip install nanogen-train",
        "pip install nanogen-eval",
        "pip install nanogen-bench",
    ], done.stderr


DOCS = Path(__file__).parents[2] / "docs"
PAGES = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("plugins.md", "method.md"))
FILES = dict(re.findall(r"```python[^\n]*\n# (\w+\.py)\n(.*?)```", PAGES, flags=re.S))


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_the_files_of_the_pages_on_plugins_work(folder, task):
    assert FILES.keys() == {"huber_flow.py", "count_verb.py"}
    for name, text in FILES.items():
        (folder / name).write_text(text)
    words = ["train", f"{task}.yaml", "--output", "run", "--plugin", "my_method.py", "--plugin", "huber_flow.py"]
    done = nanogen(folder, *words, "--set", "objective=huber-flow", "--set", "objective.delta=0.5")
    assert done.returncode == 0, done.stderr
    assert "huber" in (folder / "run" / "log.jsonl").read_text()
    counted = nanogen(folder, "count", "run", *words[4:], "--plugin", "count_verb.py")
    assert counted.returncode == 0, counted.stderr
    assert int(counted.stdout) > 1000
