"""Wheels in clean environments: every distribution works with what it declares, and an outside plugin is found.

A clean environment is a new venv with the wheel that is asked for, unpacked, and the wheels that it requires. The
third-party requirements are links to the packages of the running environment: those alone that the wheels declare, and
what these need in turn. The environment of the example is installed by pip, without an index.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "third_party_method"
PLUGINS = {path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))}
PROJECTS = {"nanogen-core": ROOT, **PLUGINS, "direction-nanogen": EXAMPLE}
NO_PLUGINS = {"nanogen-cluster", "nanogen-files"}  # they have no components or commands of their own
ASK_EVERY_PART = """
from nanogen_core.config import import_object
from nanogen_core.registry import registry
known = registry()
assert not [plugin for plugin in known.plugins if plugin.error], known.plugins
offers = [offer for named in known.components.values() for found in named.values() for offer in found]
for offer in offers:
    for reference in filter(None, (offer.what.target, offer.what.config, offer.what.importer)):
        import_object(reference)
print(*{plugin.distribution for plugin in known.plugins})
"""
IMPORT_EVERY_MODULE = """
import importlib, pkgutil, {package}
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    importlib.import_module(module.name)
"""
#: Builds a wheel of each project into the first folder, as pip does: by the build backend, in the project's folder.
BUILD = """
import os, sys
from hatchling.build import build_wheel
for project in sys.argv[2:]:
    os.chdir(project)
    build_wheel(sys.argv[1])
"""
#: Reads lines `PACKAGES<tab>SCRIPT<tab>OUTPUT`: runs the script in a fork whose site-packages are these.
SERVE = """
import importlib, os, sys, traceback
import torch
for line in sys.stdin:
    packages, script, output = line.rstrip().split("\\t")
    child = os.fork()
    if not child:
        sys.path[-1] = packages
        importlib.invalidate_caches()
        sys.stdout = sys.stderr = open(output, "w")
        status = 1
        try:
            exec(open(script).read(), {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(os.waitpid(child, 0)[1], flush=True)
"""
TRAIN_ONE_STEP = """
import torch
torch.set_num_threads(1)
from nanogen_core import build_pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import State
from nanogen_data.testing import fakes
dataset = fakes.TinyDataset()
pipeline = build_pipeline(
    method="direction", task=fakes.TinyTask(dataset=dataset, image_size=16), dataset=dataset,
    conditioner=fakes.TinyLabels(classes=dataset.classes), tokenizer=fakes.TinyTokenizer(fakes.TinyTokenizerConfig()),
    backbone={"name": "lightning-dit", "size": "tiny"}, image_size=16,
)
batch = next(pipeline.task.batches("train", 4))
clean, condition = State(pipeline.tokenizer.encode(batch.images)), pipeline.conditioner.encode(batch)
optimizer = torch.optim.AdamW(pipeline.backbone.parameters(), lr=1e-3)
losses = []
for step in range(2):
    null, rng = pipeline.conditioner.null(4), KeyedRNG(0, range(4))
    loss = pipeline.objective.loss({"student": pipeline.backbone}, clean, condition, null, rng).total
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[1] < losses[0], losses
print(type(pipeline.objective).__name__, *(image.size for image in pipeline.generate(["red", 2], steps=2)))
"""


# -- wheels ------------------------------------------------------------------------------------------------------------


class Wheels:
    """The wheels of this repository by the name of their distribution. One process builds all of them."""

    def __init__(self, folder: Path):
        self.folder = folder
        run(sys.executable, "-c", BUILD, str(folder), *map(str, PROJECTS.values()))

    def __getitem__(self, name: str) -> Path:
        return next(self.folder.glob(f"{name.replace('-', '_')}-*.whl"))

    def unpacked(self, name: str) -> Path:
        """A folder with what the wheel of this distribution installs."""
        folder = self.folder / name
        if not folder.exists():
            with ZipFile(self[name]) as archive:
                archive.extractall(folder)
        return folder


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Wheels:
    return Wheels(tmp_path_factory.mktemp("wheels"))


def run(*command: str, cwd: Path | None = None) -> str:
    """The output of a command, which must succeed; nothing of this process's Python path or of pip's settings."""
    ran = subprocess.run(command, cwd=cwd, env=environ(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))}


@lru_cache
def metadata(wheel: Path) -> Metadata:
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Metadata.from_email(archive.read(name), validate=False)


def required(lines: Iterable[Requirement | str], extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """The requirements that hold on this machine, with those of some extras."""
    for requirement in (line if isinstance(line, Requirement) else Requirement(line) for line in lines):
        environments = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(requirement.marker.evaluate(e) for e in environments):
            yield requirement


# -- what a distribution brings along ----------------------------------------------------------------------------------


def closure(name: str, extras: Iterable[str], wheels: Wheels) -> set[str]:
    """A distribution, and every one that it needs, directly or not."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(name), frozenset(extras))]
    while waiting:
        needed = waiting.pop()
        if needed not in found:
            found.add(needed)
            lines = list(required(requirements(needed[0], wheels), needed[1]))
            assert [str(line) for line in lines if not satisfied(line, wheels)] == []
            waiting += [(canonicalize_name(line.name), frozenset(line.extras)) for line in lines]
    return {name for name, _ in found}


def requirements(name: str, wheels: Wheels) -> Iterable[Requirement | str]:
    """What a distribution declares: one of this repository in its wheel, another one as it is installed here."""
    lines = metadata(wheels[name]).requires_dist if name in PROJECTS else distribution(name).requires
    return lines or ()


def satisfied(requirement: Requirement, wheels: Wheels) -> bool:
    """Whether the version of a requirement, in this repository or installed here, is one that is asked for."""
    name = canonicalize_name(requirement.name)
    version = metadata(wheels[name]).version if name in PROJECTS else distribution(name).version
    return requirement.specifier.contains(str(version), prereleases=True)


# -- clean environments ------------------------------------------------------------------------------------------------


class Environment:
    """A new venv with links to the packages of some distributions of the running environment."""

    def __init__(self, home: Path, names: Iterable[str] = ()):
        venv.create(home, symlinks=True)
        self.programs = home / "bin"
        found = run(str(self.programs / "python"), "-Ic", "import sysconfig; print(sysconfig.get_path('purelib'))")
        self.packages = Path(found.strip())
        for name in names:
            link(distribution(name), self.packages)


@pytest.fixture(scope="module")
def install(wheels, tmp_path_factory):
    """pip installs one distribution, with extras of it, into a clean environment; the folder of its programs."""

    def make(name: str, *extras: str) -> Path:
        environment = Environment(tmp_path_factory.mktemp(name), closure(name, extras, wheels) - set(PROJECTS))
        pip = [sys.executable, "-m", "pip", "--isolated", "--python", str(environment.programs / "python"), "install"]
        wanted = f"{name}[{','.join(extras)}]" if extras else name
        run(*pip, "--quiet", "--no-index", "--find-links", str(wheels.folder), wanted)
        return environment.programs

    return make


@pytest.fixture(scope="module")
def asked(wheels, preloaded, tmp_path_factory):
    """Runs a script in a clean environment with one distribution; returns what it prints."""

    def ask(name: str, script: str) -> str:
        needed = closure(name, (), wheels)
        environment = Environment(tmp_path_factory.mktemp(name), needed - set(PROJECTS))
        for own in needed & set(PROJECTS):
            for path in wheels.unpacked(own).iterdir():
                (environment.packages / path.name).symlink_to(path)
        if "torch" in needed:
            return preloaded(environment.packages, script)
        return python(environment.programs, script)

    return ask


@pytest.fixture(scope="module")
def preloaded(wheels, tmp_path_factory):
    """Runs scripts in forks of a process that has imported torch, in an environment with no more than that."""
    folder = tmp_path_factory.mktemp("torch")
    programs = Environment(folder, closure("torch", (), wheels)).programs
    command = [str(programs / "python"), "-Ic", SERVE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ()) as process:

        def call(packages: Path, script: str) -> str:
            files = folder / "script", folder / "output"
            files[0].write_text(script)
            process.stdin.write("\t".join(map(str, (packages, *files))) + "\n")
            process.stdin.flush()
            status = process.stdout.readline()
            assert status == "0\n", files[1].read_text()
            return files[1].read_text()

        yield call
        process.stdin.close()


def link(installed: Distribution, packages: Path) -> None:
    """Makes the top-level files and folders of an installed distribution visible in another site-packages."""
    for top in top_level(installed.name):
        target = packages / top
        if not target.exists():  # a namespace that two distributions share
            target.symlink_to(Path(str(installed.locate_file(top))))


@lru_cache
def top_level(name: str) -> set[str]:
    return {file.parts[0] for file in distribution(name).files or ()} - {"..", "__pycache__"}


def python(programs: Path, script: str) -> str:
    return run(str(programs / "python"), "-Ic", script, cwd=programs)


# -- the tests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROJECTS)
def test_a_distribution_works_with_what_it_declares(name, wheels, asked):
    if name in NO_PLUGINS:
        asked(name, IMPORT_EVERY_MODULE.format(package=name.replace("-", "_")))
        return
    found = asked(name, ASK_EVERY_PART).split()
    assert set(found) == closure(name, (), wheels) & set(PROJECTS) - NO_PLUGINS


@pytest.mark.parametrize("name", PROJECTS)
def test_every_import_is_declared(name, wheels):
    declared = {canonicalize_name(r.name) for r in requirements(name, wheels)}
    known = {*sys.stdlib_module_names, name.replace("-", "_"), "pytest"}  # pytest: of those who run the contracts
    known.add("nanogen_placeholder")  # the package of the templates in nanogen-scaffold
    undeclared = {
        module: distributions(module)
        for module in imports(wheels[name]) - known
        if not distributions(module) & declared
    }
    assert undeclared == {}


@pytest.fixture(scope="module")
def outside(install):
    """The environment of the example."""
    return install("direction-nanogen", "test", "demo")


def test_an_outside_method_is_listed(outside):
    listed = run(str(outside / "nanogen"), "plugins")
    assert "direction-nanogen" in listed


def test_an_outside_method_trains(outside):
    assert python(outside, TRAIN_ONE_STEP).split() == ["DirectionFlow", "(16,", "16)", "(16,", "16)"]


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_the_tutorial_trains_on_both_tasks(outside, task, tmp_path):
    short = {
        "train.steps": 2,
        "train.batch_size": 4,
        "train.cache_latents": "false",
        "train.sample_count": 1,
        "sampler.steps": 1,
    }
    settings = [f"--set={key}={value}" for key, value in {**short, "task": task}.items()]
    run(str(outside / "nanogen"), "train", str(EXAMPLE / "direction.yaml"), *settings, "--output", str(tmp_path))
    assert list(tmp_path.rglob("*.safetensors"))


def test_an_outside_plugin_passes_its_own_tests(outside):
    run(str(outside / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"), cwd=outside)


def imports(wheel: Path) -> set[str]:
    """The top-level names that the modules of a wheel import anywhere, also inside functions."""
    with ZipFile(wheel) as archive:
        sources = [archive.read(name) for name in archive.namelist() if name.endswith(".py")]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    absolute = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level and node.module}
    return {name.partition(".")[0] for name in plain | absolute}


def distributions(module: str) -> frozenset[str]:
    """The distributions that bring a module; one that is not installed is taken to be named after it."""
    return frozenset(map(canonicalize_name, brought().get(module, [module])))


brought = lru_cache(packages_distributions)
