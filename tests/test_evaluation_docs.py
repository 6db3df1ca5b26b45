"""docs/evaluation.md names existing commands, options and modules, and the rows of the benchmark."""

import re
from pathlib import Path
from pkgutil import resolve_name

import torch

from benchmarks import image_rules
from nanogen_eval.cli.evaluate import evaluate
from nanogen_eval.pixels import on_grid

PAGE = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text()


def test_every_documented_option_exists():
    options = {word for parameter in evaluate.params for word in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE)) - {"--nproc", "--no-python"}
    assert {"--metrics", "--seed", "--keep-images", "--guidance-search"} <= named
    assert named - options == set()


def test_every_documented_module_and_class_exists():
    modules = set(re.findall(r"python -m\s+([\w.]+)", PAGE)) | set(re.findall(r"nanogen_eval\.[\w.]*\w", PAGE))
    assert len(modules) >= 5
    for name in modules:
        resolve_name(name)


def test_the_table_has_the_rows_of_the_benchmark():
    rows = re.findall(r"^\| ([^|]+?) \| \d\.\d{3} \| \d\.\d{3} \|$", PAGE, flags=re.M)
    assert rows == [*image_rules.STORED, *image_rules.RESIZED]
    assert f"| {image_rules.COUNT} drawings, {image_rules.SIZE} px |" in PAGE


def test_the_benchmark_stores_and_resizes_as_named():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    stored = {name: rule(images) for name, rule in image_rules.STORED.items()}
    assert torch.equal(stored["PNG, rounded"], on_grid(images))
    darker = (stored["PNG, rounded"] - stored["PNG, truncated"]).mean()
    assert abs(float(darker) * 127.5 - 0.5) < 0.02  # half a level
    lost = [float((stored[f"JPEG, quality {q}"] - images).abs().mean()) for q in (95, 75)]
    assert 0 < lost[0] < lost[1]
    checks = torch.ones(1, 1, 256, 256)
    checks[..., 1::2, ::2] = checks[..., ::2, 1::2] = -1  # a chessboard, grey from afar
    small = {name: rule(checks.expand(1, 3, -1, -1)) for name, rule in image_rules.RESIZED.items()}
    assert {tuple(image.shape) for image in small.values()} == {(1, 3, 64, 64)}
    assert float(small["256 to 64 px, bicubic"].abs().max()) < 0.01
    assert float(small["256 to 64 px, nearest"].abs().min()) == 1
