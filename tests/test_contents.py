"""A fingerprint covers what every part reads: a folder is overwritten under a guidance, a judge, a tokenizer."""

import json
import sys
from pathlib import Path

import pytest
import torch
from attrs import evolve, field, frozen
from PIL import Image

from nanogen_core import build_pipeline, registry, resolve
from nanogen_core.errors import DataError
from nanogen_core.registry import Offer
from nanogen_core.specs import Component
from nanogen_data import contents
from nanogen_data.testing import FilesContract
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import BootstrapConfig
from nanogen_eval.sources.folder import Folder
from nanogen_eval.sources.reconstructed import Reconstructed
from nanogen_eval.targets import Images, Model
from nanogen_eval.testing.fakes import TinyRedness

PARTS = '''
from pathlib import Path
import torch
from attrs import frozen
from nanogen_data.testing.fakes import TinyTokenizer, TinyTokenizerConfig
from nanogen_eval.testing.fakes import TinyRedness

@frozen(kw_only=True)
class Options:
    folder: str = "nowhere"
    name: str = "x"

def number(folder):
    return float((Path(folder) / "number.txt").read_text())

class Weak:
    """A guidance that reads its scale from a folder and reports nothing."""
    level = 1
    def __init__(self, config):
        self._folder = config.folder
    def wrap(self, field, null):
        scale = number(self._folder)
        def guided(state, times, condition):
            found = field(state, times, condition)
            return found._replace(value=found.value.map(lambda x: x * scale))
        return guided

class Judge(TinyRedness):
    """A metric that adds what stands in a file, and does not say so."""
    def __init__(self, config):
        super().__init__()
        self._folder = config.folder
    def compute(self):
        return {name: value + number(self._folder) for name, value in super().compute().items()}

class Tokenizer(TinyTokenizer):
    """One that scales its pictures by what stands in a file."""
    def __init__(self, config):
        super().__init__(TinyTokenizerConfig())
        self._folder = config.folder
    def decode(self, latents, rng=None):
        return super().decode(latents, rng) * number(self._folder)

class Teacher:
    """An auxiliary loss that names a folder in the options of its teacher."""
    intermediates, cls_token_width, nets = (), 0, None
    def __init__(self, config):
        self.config = config

class Given:
    """A guidance as an object, which says itself what it reads."""
    level = 1
    def __init__(self, folder):
        self._folder = Path(folder)
    def files(self):
        return [self._folder / "number.txt"]
    def wrap(self, field, null):
        return field
'''
KINDS = {"guidance": "Weak", "metric": "Judge", "tokenizer": "Tokenizer", "auxiliary": "Teacher"}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A plugin with a part of each kind that reads a folder; nobody told the core what it is."""
    (tmp_path / "reading_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    known = registry.registry()
    offers = {
        kind: Component(kind=kind, name="reading", target=f"reading_parts:{name}", config="reading_parts:Options")
        for kind, name in KINDS.items()
    }
    more = {kind: {**known.components[kind], "reading": (Offer(offer, "tests"),)} for kind, offer in offers.items()}
    extended = evolve(known, components={**known.components, **more})
    monkeypatch.setattr(registry, "collect", lambda discovery: extended)
    registry.registry.cache_clear()
    yield
    registry.registry.cache_clear()
    sys.modules.pop("reading_parts", None)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "read").mkdir()
    (tmp_path / "read" / "number.txt").write_text("1.0")
    return tmp_path / "read"


def judged(small, metrics=None, **parts):
    pipeline = build_pipeline({"metric": ["openmoji-accuracy"], **small, **parts})
    metrics = metrics or pipeline.task.metrics()
    scores = Evaluation(metrics=metrics, bootstrap=BootstrapConfig(draws=0)).scores(Model(pipeline, 6), [0])
    return scores[-1]  # the metric that a test adds comes last


@pytest.mark.parametrize("kind", ["guidance", "metric"])
def test_what_belongs_to_the_protocol_changes_the_fingerprint(small, parts, folder, kind):
    options = {kind: {"reading": {"folder": str(folder)}}}
    before, again = (judged(small, **options) for _ in range(2))
    (folder / "number.txt").write_text("2.0")
    after = judged(small, **options)
    assert before.fingerprint == again.fingerprint != after.fingerprint
    if kind == "metric":
        assert after.value != before.value
    (folder / "number.txt").write_text("1.0")
    assert judged(small, **options).fingerprint == before.fingerprint


def test_what_belongs_to_the_model_changes_who_was_judged_and_not_the_protocol(small, parts, folder):
    """Two models are judged alike whatever their tokenizers are."""
    small = {**small, "tokenizer": {"name": "reading", "folder": str(folder)}}
    before = judged(small, {"redness": TinyRedness()})
    (folder / "number.txt").write_text("0.5")
    after = judged(small, {"redness": TinyRedness()})
    assert after.value != before.value
    assert after.fingerprint == before.fingerprint
    assert after.about["parts"]["tokenizer"] != before.about["parts"]["tokenizer"]
    assert after.about["config"] != before.about["config"]
    assert after.about["weights"] == before.about["weights"]


def test_a_teacher_changes_who_was_judged(small, parts, folder):
    small = {**small, "auxiliary": {"reading": {"folder": str(folder)}}}
    before = judged(small)
    (folder / "number.txt").write_text("2.0")
    after = judged(small)
    assert after.about["config"] != before.about["config"]


def test_an_evaluation_does_not_go_on_with_another_content(small, parts, folder, tmp_path):
    """A pass that was finished for another tokenizer is not taken for this one's."""
    small = {**small, "tokenizer": {"name": "reading", "folder": str(folder)}}
    pipeline = build_pipeline(small)
    evaluation = Evaluation(metrics={}, folder=tmp_path)
    places = set()
    for text in ("1.0", "2.0"):
        (folder / "number.txt").write_text(text)
        ((source, metrics),) = Model(pipeline, 2).parts({"redness": object.__new__(Settled)}, 0)
        places.add(evaluation._state(source, metrics, 0))
    assert len(places) == 2


def test_an_evaluation_goes_on_where_data_and_references_were_moved(small, parts, tmp_path):
    places, reconstructed = set(), set()
    evaluation = Evaluation(metrics={}, folder=tmp_path)
    for name in ("here", "there"):
        for label in ("n01", "n02"):
            for split in ("train", "val"):
                (tmp_path / name / split / label).mkdir(parents=True)
                Image.new("RGB", (16, 16)).save(tmp_path / name / split / label / "0.png")
        (tmp_path / name / "number.txt").write_text("1.0")
        dataset = {"name": "imagenet-folder", "root": str(tmp_path / name)}
        metric = {"reading": {"folder": str(tmp_path / name)}}
        pipeline = build_pipeline({**small, "dataset": dataset, "metric": metric})
        ((source, metrics),) = Model(pipeline, 2).parts({"reading": pipeline.parts["metrics"]["reading"]}, 0)
        places.add(evaluation._state(source, metrics, 0))
        reconstructed.add(evaluation._state(Reconstructed(pipeline, 2), metrics, 0))
    assert len(places) == 1
    assert len(reconstructed) == 2  # the path is all that tells one set of originals from another
    (tmp_path / name / "number.txt").write_text("2.0")  # the metric reads something else
    assert evaluation._state(source, metrics, 0) not in places


@pytest.mark.parametrize("roots", [False, True])
def test_a_model_is_the_same_where_its_data_are_absent(small, tmp_path, monkeypatch, roots):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    texts = ("here", str(tmp_path / "here"), "absent", "/absent/{00..99}.tar", "~/absent", "https://a.example/x.tar")
    found = set()
    for text in texts:
        located = {"roots": [{"path": text}]} if roots else {"root": text}
        dataset = {"name": "webdataset", **located, "validation": text}
        resolved = resolve({**small, "task": "t2i", "dataset": dataset})
        found.add(json.dumps(contents.model_configuration(resolved)))
    assert len(found) == 1
    other = {**dataset, "caption": "json:text"}
    assert json.dumps(contents.model_configuration(resolve({**small, "task": "t2i", "dataset": other}))) not in found


@frozen(kw_only=True)
class Place:
    where: str = field(metadata={"path": True})
    weight: float = 1.0


@frozen(kw_only=True)
class Elsewhere:
    folder: Path = Path("folder")
    tars: tuple[str, ...] = field(default=("a.tar", "b.tar"), metadata={"path": True})
    places: tuple[Place, ...] = (Place(where="c"),)
    caption: str = "text"


def test_a_dataset_declares_which_options_are_paths():
    """By the type, or by metadata of the field: none of these names is known to the library."""
    assert {*contents._declared_paths(Elsewhere())} == {"folder", "tars.0", "tars.1", "places.0.where"}
    assert {*contents._declared_paths(None)} == set()


class Settled:
    settings = {}


def test_equal_models_in_other_folders_are_equal(small, parts, folder, tmp_path):
    """As the runs of `bench mini` are, whose configurations name files in their own output folder."""
    other = tmp_path / "elsewhere" / "deep"
    other.mkdir(parents=True)
    (other / "number.txt").write_text("1.0")
    first, second = (
        judged({**small, "tokenizer": {"name": "reading", "folder": str(place)}}) for place in (folder, other)
    )
    assert first.about == second.about
    assert first.fingerprint == second.fingerprint
    assert str(tmp_path) not in json.dumps([dict(first.about), dict(first.settings)])


def test_a_guidance_that_is_an_object_says_itself_what_it_reads(parts, folder):
    import reading_parts

    before = contents.of(reading_parts.Given(folder))
    (folder / "number.txt").write_text("2.0")
    assert before.keys() == {"files"}
    assert contents.of(reading_parts.Given(folder)) != before


def test_images_are_told_apart_by_size_and_mode(tmp_path):
    from PIL import Image

    def settings(name, mode, *sizes):
        home = tmp_path / name
        home.mkdir()
        for number, size in enumerate(sizes):
            Image.new(mode, size).save(home / f"{number}.png")
        return Folder(home).settings

    assert settings("a", "RGB", (8, 4), (8, 4)) == {
        "images": "files",
        "formats": ["png"],
        "sizes": ["8x4"],
        "modes": ["RGB"],
    }
    assert settings("b", "L", (4, 4))["modes"] == ["L"]
    assert settings("c", "P", (4, 4), (12, 4))["sizes"] == ["4x4", "12x4"]
    many = settings("d", "RGB", *((n, 1) for n in range(1, 20)))["sizes"]
    others = settings("e", "RGB", *((n, 1) for n in range(2, 21)))["sizes"]
    assert many.startswith("19 sizes, ")
    assert many != others


def test_an_archive_says_its_size(tmp_path):
    import numpy as np

    from nanogen_eval.sources.archive import Archive

    np.savez(tmp_path / "a.npz", arr_0=np.zeros((2, 4, 8, 3), np.uint8))
    assert Archive(tmp_path / "a.npz").settings == {"images": "array", "sizes": ["8x4"], "modes": ["RGB"]}


def test_judged_images_of_another_size_have_another_fingerprint(tmp_path):
    from PIL import Image

    found = []
    for size in (8, 16):
        home = tmp_path / str(size)
        home.mkdir()
        Image.new("RGB", (size, size)).save(home / "0.png")
        source = Images(Folder(home))
        (score,) = Evaluation(metrics={"redness": TinyRedness()}, bootstrap=BootstrapConfig(draws=0)).scores(source)
        found.append((score.value, score.fingerprint))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


# -- the rules of `contents` -------------------------------------------------------------------------------------------


class Silent:
    """Reads a folder and says nothing."""

    def __init__(self, folder):
        self.folder = folder


class Says(Silent):
    def files(self):
        if not self.folder.is_dir():
            raise DataError(f"There is no {self.folder}.")
        return sorted(self.folder.rglob("*.*"))


class Loads(Silent):
    def weights(self):
        if not self.folder.is_dir():
            raise DataError(f"There is no {self.folder}.")
        data = torch.frombuffer(bytearray((self.folder / "number.txt").read_bytes()), dtype=torch.uint8)
        return {"number": data}


@pytest.mark.parametrize("part", [Says, Loads])
def test_the_contract_passes_a_part_that_says_what_it_reads(part, folder, tmp_path):
    contract = FilesContract()
    contract.test_it_reads_something(folder, part)
    contract.test_one_changed_byte_of_any_file_changes_its_fingerprint(folder, part, tmp_path / "1")
    contract.test_it_is_the_same_wherever_the_folder_lies(folder, part, tmp_path / "2")
    contract.test_a_missing_file_is_a_sentence(part, tmp_path / "3")


def test_the_contract_catches_a_part_that_says_nothing(folder, tmp_path):
    with pytest.raises(AssertionError, match=r"number\.txt"):
        FilesContract().test_one_changed_byte_of_any_file_changes_its_fingerprint(folder, Silent, tmp_path / "1")


def test_weights_are_not_loaded_where_a_file_of_them_is_known(tmp_path):
    class Both:
        def files(self):
            return [tmp_path / "w.safetensors"]

        def weights(self):
            raise AssertionError("loaded")

    (tmp_path / "w.safetensors").write_bytes(b"x")
    assert contents.of(Both()).keys() == {"files"}


def test_methods_that_need_arguments_are_not_asked():
    class Other:
        def weights(self, image_size):
            raise AssertionError("asked")

        def files(self, *, split):
            raise AssertionError("asked")

    assert contents.of(Other()) == {}
