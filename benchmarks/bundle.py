"""A folder for a CUDA machine without a package index: `python -m benchmarks.bundle FOLDER`.

FOLDER gets the wheels of all distributions, the pure wheels that a bare machine lacks, the CUDA tests, the benchmarks
and `run.sh`. A bare machine has Python, torch, torchvision, transformers, accelerate, safetensors, numpy, scipy and
pytest. gradio is left out: it would fill half of the folder, and only `nanogen app` needs it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PRESENT = ("torch", "torchvision", "pillow", "transformers", "accelerate", "safetensors", "numpy", "scipy", "pytest")
LEFT_OUT = ("gradio",)
EXTRAS = ("torchao",)  # for float8. It also has a pure wheel, which computes float8 with torch's own kernels
PYTHON = "3.12"  # of the CUDA machine
LARGEST = 60_000_000  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default=PYTHON, help="The Python version of the machine that runs the bundle.")
    options = parser.parse_args()
    make(options.folder, options.python)


def make(folder: Path, python: str = PYTHON) -> None:
    """Write the bundle. Raises SystemExit for a folder that is not empty and for a bundle above 60 MB."""
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty: give a new folder.")
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    _pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), *map(str, sources()))
    lacking = missing()
    pure = [f"{name}=={found.version}" for name, found in lacking.items() if is_pure(found)]
    target = ("--platform", "any", "--python-version", python, "--only-binary", ":all:")
    _pip("download", "--no-deps", *target, "-d", str(wheels), *pure)
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").mkdir()
    shutil.copy2(ROOT / "tests" / "test_cuda.py", folder / "tests")
    shutil.copy2(ROOT / "benchmarks" / "bundle.sh", folder / "run.sh")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {len(list(wheels.iterdir()))} wheels, {size / 1e6:.1f} MB. Run {folder}/run.sh on the machine.")
    print(
        "Left out, because they are compiled:", ", ".join(n for n, d in lacking.items() if not is_pure(d)) or "nothing"
    )
    if size > LARGEST:
        raise SystemExit(f"The bundle is larger than {LARGEST / 1e6:.0f} MB.")


def sources() -> list[Path]:
    """Return the folders of all distributions of this repository."""
    return [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/nanogen-*/pyproject.toml"))]


def missing() -> dict[str, Distribution]:
    """Return what the distributions of this repository need beyond what a bare machine has, by name."""
    ours = [str(found.metadata["Name"]) for found in distributions() if normalised(found).startswith("nanogen")]
    present = closure(PRESENT)
    needed = closure([*ours, *EXTRAS], without=LEFT_OUT)
    lacking = {name: found for name, found in sorted(needed.items()) if name not in present}
    return {name: found for name, found in lacking.items() if not name.startswith("nanogen")}


def closure(names: Iterable[str], without: Collection[str] = ()) -> dict[str, Distribution]:
    """Return the installed distributions of these names, with all that they require, by normalised name.

    What only the distributions in `without` require is left out too.
    """
    found: dict[str, Distribution] = {}
    left = list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found or name in without:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        wanted = [Requirement(line) for line in found[name].requires or ()]
        left += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def normalised(found: Distribution) -> str:
    """Return the name of a distribution, in lower case with hyphens."""
    return re.sub(r"[-_.]+", "-", str(found.metadata["Name"])).lower()


def is_pure(found: Distribution) -> bool:
    """Return whether a distribution has a wheel without compiled code, which fits every machine."""
    return normalised(found) in EXTRAS or "Root-Is-Purelib: true" in (found.read_text("WHEEL") or "")


def _pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words], check=True)


if __name__ == "__main__":
    main()
