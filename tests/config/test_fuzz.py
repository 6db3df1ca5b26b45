"""Generated configurations, files and `--set` lines: a sentence or a configuration without nonsense, never a traceback.

`NANOGEN_TORTURE=10` generates ten times as many (5,000).
"""

import copy
import datetime
import faulthandler
import json
import math
import os
import random
import warnings

import pytest

from nanogen_core import build_pipeline
from nanogen_core.cli.options import override_layer
from nanogen_core.config import layered, load_config, resolve
from nanogen_core.errors import ConfigWarning, NanoGenError
from nanogen_core.registry import registry
from nanogen_files import yaml_files

CASES = 500 * int(os.environ.get("NANOGEN_TORTURE", "1"))
CHUNK = 125  # cases of one test
HANG = 60  # seconds after which a case is taken to hang, and the process ends with its stack

BASES = [
    {
        "task": "imagenet",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 32, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        "objective": "flow",
        "guidance": {"cfg": {"scale": 2.0}},
        "optimizer": {"name": "muon", "lr": 1e-3},
        "schedule": {"name": "cosine", "warmup_steps": 2, "end_step": 9},
        "train": {"steps": 6, "batch_size": 8, "trackers": ["auto"]},
        "per_task": {"imagenet": {"train": {"log_every": 2}}, "t2i": {"seed": 3}},
    },
    {
        "task": {"name": "imagenet"},
        "image_size": 32,
        "dataset": "openmoji",
        "tokenizer": "pixel",
        "backbone": {"name": "ddt", "size": "tiny"},
        "objective": {"name": "meanflow", "kappa": 0.0},
        "stage": {"name": "diffusion", "ema_snapshots": {"every": 3}},
        "auxiliary": {"repa": {"teacher": {"name": "openmoji-classifier"}, "block": 1}},
        "metric": ["openmoji-accuracy"],
    },
    {"task": "t2i", "dataset": "openmoji", "method": "vae", "tokenizer": "openmoji-vae", "backbone": {"size": "tiny"}},
    {"task": "imagenet", "method": "jit", "image_size": 32, "dataset": "openmoji"},
]
PLAIN = [
    None, True, False, 0, 1, -1, 2, 7, 16, 10**6, 10**12, -(10**12), 2**63, 10**5000, -0.0, 0.5, 1.0, 1.5, 1e-30, 1e30,
    math.nan, math.inf, -math.inf, "", " ", "x", "tiny", "XXL", "ddt", "flow", "cfg", "null", "no", "1e3", "2024", "[",
    "{", "{a: b}", "[a, b]", "a: b", "#", "x" * 10_000, "\u2028", "\x85", "\0", "../../x", "nanogen-core:cfg", ":",
    "a:", [], {}, [1], ["cfg"], [[]], [None], {"name": None}, {"name": "ddt"}, {"name": 3}, {"x": {"y": {}}},
    {"": 1}, ["a"] * 300,
]  # fmt: skip
ONLY_PYTHON = [
    datetime.date(2024, 1, 1),
    b"x",
    {1: 2},
    {None: 1},
    (1, 2),
    {3},
    object(),
    int,
    len,
    "\ud800",
    1j,
    range(3),
]
WORDS = [
    "name",
    "steps",
    "size",
    "scale",
    "lr",
    "batch_size",
    "depth",
    "hidden",
    "t_max",
    "teacher",
    "x",
    "path",
    "0",
    "",
]
SIGNS = list("[]{}:,#&*!|>'\"%@`-?~\n\t 0a\u00e9\\")


def nested(value, depth):
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value


def places(tree, path=()):
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield from places(value, (*path, key))


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


class Generator:
    """Cases that depend on their number alone."""

    def __init__(self, number):
        self.random = random.Random(number)

    def name(self):
        kind = self.random.choice(sorted(registry().components))
        return self.random.choice(sorted(registry().components[kind]) or ["x"])

    def value(self, pool):
        kind = self.random.random()
        if kind < 0.15:
            return self.name()
        if kind < 0.2:
            return nested(self.random.choice(pool), self.random.choice([5, 60, 300]))
        return copy.deepcopy(self.random.choice(pool))

    def mutated(self, pool):
        """A sound configuration with a few changes: in every second case of a kind that may be meant."""
        tree = copy.deepcopy(self.random.choice(BASES))
        mild = self.random.random() < 0.5
        for _ in range(self.random.randint(1, 4)):
            path = self.random.choice([path for path in places(tree) if path])
            parent, key = at(tree, path[:-1]), path[-1]
            if mild:
                self.change(parent, key, path)
            else:
                self.spoil(parent, key, pool)
        return tree

    def change(self, parent, key, path):
        value = parent[key]
        kind = path[0] if key == "name" or len(path) == 1 else None
        if isinstance(value, bool):
            parent[key] = not value
        elif isinstance(value, int):
            parent[key] = self.random.choice([1, 2, 3, 4, 8, 16, 24, 32, 64, 100, 1000])
        elif isinstance(value, float):
            parent[key] = self.random.choice([0.0, 0.1, 0.5, 0.999, 1.0, 1.5, 10])
        elif isinstance(value, str) and registry().components.get(kind):
            parent[key] = self.random.choice(sorted(registry().components[kind]))
        elif isinstance(parent, dict) and self.random.random() < 0.3 and key not in ("task", "dataset"):
            del parent[key]

    def spoil(self, parent, key, pool):
        change = self.random.random()
        if change < 0.5:
            parent[key] = self.value(pool)
        elif change < 0.6:
            del parent[key]
        elif isinstance(parent, dict):
            words = [*WORDS, *BASES[0], *WORDS, self.name()]
            parent[self.random.choice(words)] = self.value(pool)

    def line(self):
        base = copy.deepcopy(self.random.choice(BASES))
        path = self.random.choice([path for path in places(base) if path])
        if self.random.random() < 0.5:
            self.change(at(base, path[:-1]), path[-1], path)
            kept = path if path in places(base) else ("seed",)
            return f"{'.'.join(map(str, kept))}={at(base, kept) if kept == path else 3}"
        text = self.text(self.value(PLAIN))
        more = "." + self.random.choice(WORDS) if self.random.random() < 0.3 else ""
        equals = "=" if self.random.random() < 0.97 else ""
        return f"{'.'.join(map(str, path))}{more}{equals}{text}"

    def text(self, value):
        form = self.random.random()
        if form > 0.8:
            return "".join(self.random.choices(SIGNS, k=self.random.randint(1, 12)))
        try:
            return str(value) if form < 0.6 else json.dumps(value)
        except ValueError:  # Python writes no number of 5,000 digits
            return "9" * 5000

    def file(self):
        """A YAML text: a mutated configuration, with a few letters changed."""
        text = json.dumps(
            self.mutated([each for each in PLAIN if each != 10**5000]), indent=self.random.choice([None, 1])
        )
        if self.random.random() < 0.5:
            text = yaml_files.dump(self.random.choice(BASES))
        for _ in range(self.random.choice([0, 0, 1, 3])):
            place = self.random.randrange(len(text))
            end = place + self.random.choice([0, 0, 1, 5])
            text = text[:place] + self.random.choice([*SIGNS, "9" * 5000, "!!binary ", "<<: ", "1"]) + text[end:]
        return text


def layers(number, folder):
    """One generated case: what a user gives."""
    generator = Generator(number)
    channel = number % 4
    if channel == 0:
        return layered(generator.mutated([*PLAIN, *ONLY_PYTHON]))
    if channel == 1:
        return layered(generator.mutated(PLAIN), generator.mutated(PLAIN))
    if channel == 2:
        lines = tuple(generator.line() for _ in range(generator.random.randint(1, 4)))
        return layered(generator.random.choice([*BASES, "demo"]), override_layer(lines))
    (folder / "config.yaml").write_text(generator.file(), encoding="utf-8", errors="surrogatepass")
    return layered(folder / "config.yaml")


SEEDS, SIGNED = {"seed"}, {"time_mean"}


def nonsense(value, key=""):
    """Numbers that nothing can mean, by the path that they stand at."""
    if isinstance(value, dict):
        return [f"{name}.{found}" for name, item in value.items() for found in nonsense(item, name)]
    if isinstance(value, list):
        return [found for item in value for found in nonsense(item, key)]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return []
    low = -20 if key in SIGNED else 0
    high = 2**63 if key in SEEDS else 10**9
    return [] if low <= value <= high else [repr(value)]


def small_enough(values):
    """Whether building takes a moment: nothing is loaded but what comes with the plugins."""
    backbone = values["backbone"]
    names = [name for name in ("hidden", "depth", "decoder_hidden", "decoder_depth") if name in backbone]
    preset = 128 if backbone.get("size") == "tiny" else 1000
    wide = bool(names) and all((backbone[name] or preset) <= 128 for name in names)
    local = values["tokenizer"]["name"] in ("pixel", "openmoji-vae") and values["dataset"]["name"] == "openmoji"
    patches = values["image_size"] <= 128 and values["image_size"] // (backbone.get("patch_size") or 16) <= 16
    return local and wide and patches and values["task"]["name"] == "imagenet" and "auxiliary" not in values


@pytest.mark.parametrize("chunk", range(CASES // CHUNK))
def test_a_sentence_or_a_configuration_without_nonsense(chunk, tmp_path):
    refused, built = [], 0
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConfigWarning)
                found = resolve(*layers(number, tmp_path))
                values = found.as_dict()
                assert nonsense(values) == [], number
                again = resolve(yaml_files.parse(yaml_files.dump(values), "config.yaml"))
                assert again.as_dict() == values, number
                if not found.slots["backbone"].instance and small_enough(values):
                    built += 1
                    build_pipeline(values).generate(["apple"], steps=1)
        except NanoGenError as error:
            refused.append(str(error))
        except Exception as error:
            raise AssertionError(f"case {number} ended in {type(error).__name__}: {str(error)[:300]}") from error
        finally:
            faulthandler.cancel_dump_traceback_later()
    assert 0 < len(refused) < CHUNK  # the generator makes both kinds
    assert built
    assert all(0 < len(sentence) < 30_000 for sentence in refused)


def test_the_bases_are_sound(tmp_path):
    for base in BASES:
        assert nonsense(resolve(base).as_dict()) == []
    (tmp_path / "config.yaml").write_text(json.dumps(BASES[0]))
    assert resolve(load_config(tmp_path / "config.yaml")).as_dict() == resolve(BASES[0]).as_dict()


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 10**12])
def test_the_judge_of_nonsense_sees_it(value):
    assert nonsense({"train": {"steps": value}}) == [f"train.steps.{value!r}"]
