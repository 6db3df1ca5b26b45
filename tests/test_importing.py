"""`nanogen import`: a published checkpoint as a pipeline that is saved, loaded and sampled."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nanogen_core import Pipeline
from nanogen_core.errors import ConfigError, DataError
from nanogen_core.importing import import_checkpoint
from nanogen_core.storage import read_json
from nanogen_core.tensors import Batch, State, Times

FIXTURES = Path(__file__).parents[1] / "plugins" / "nanogen-dit" / "tests" / "fixtures"


def imported(name, config=None):
    described = read_json(FIXTURES / f"{name}.json")
    return import_checkpoint(FIXTURES / f"{name}.safetensors", config, architecture=described)


@pytest.mark.parametrize("name", ["ddt_label", "lightningdit_label"])
def test_a_saved_import_answers_as_recorded(name, tmp_path):
    imported(name).save(tmp_path)
    pipeline = Pipeline.load(tmp_path)
    recorded = load_file(FIXTURES / f"{name}.safetensors")
    t, labels = recorded["in.t"], recorded["in.context"].long()
    condition = pipeline.conditioner.encode(Batch(torch.arange(len(labels)), labels=labels))
    with torch.no_grad():
        ours = pipeline.backbone(State(recorded["in.x_t"]), Times(t, t), condition).value.latent
    expected = recorded["out.model"]
    assert float((ours - expected).abs().max() / expected.abs().max()) < 1e-4


def test_its_classes_are_numbers_where_the_data_is_not_here(monkeypatch):
    monkeypatch.delenv("NANOGEN_DATA", raising=False)
    assert imported("ddt_label").parts["classes"] == tuple(map(str, range(10)))


@pytest.mark.parametrize(
    ("name", "config", "sentence"),
    [
        ("ddt_meanflow", None, "The checkpoint's backbone has two-time, which no chosen part asks for"),
        (
            "ddt_label",
            {"tokenizer": "pixel"},
            r"are \(4, 8, 8\) .*, those of this tokenizer at 8 px are \(3, 8, 8\)",
        ),
        ("ddt_label", {"dataset": "openmoji"}, "condition is 11 wide, that of task 'imagenet' is 65"),
    ],
)
def test_parts_that_do_not_fit_are_named(name, config, sentence):
    with pytest.raises(ConfigError, match=sentence):
        imported(name, config)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(DataError):
        import_checkpoint(path)
    with pytest.raises(DataError):
        import_checkpoint(tmp_path / "nowhere.pt")
