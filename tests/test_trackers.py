"""Trackers: what TensorBoard's files hold, what other trackers of accelerate are told, and names that lead nowhere."""

import io
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from accelerate import tracking
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, WandBTracker
from accelerate.utils import LoggerType
from PIL import Image

from nanogen_core import build_pipeline
from nanogen_core.config import resolve
from nanogen_core.errors import ConfigError, TrainingError
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log, trackers
from nanogen_train.trainer.loop import Run

TOLD = []


class Fake(GeneralTracker):
    """Notes what it is told, and takes no pictures."""

    name = "fake"
    requires_logging_directory = False

    def __init__(self, run_name, **options):
        super().__init__()
        TOLD.append(("open", run_name, options))

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        TOLD.append(("config", values))

    def log(self, values, step=None, **more):
        TOLD.append(("log", step, values))

    def finish(self):
        TOLD.append(("finish",))


class Pictured(Fake):
    name = "pictured"

    def log_images(self, values, step=None, **more):
        TOLD.append(("images", step, values))


class Broken(Fake):
    name = "broken"

    def store_init_configuration(self, values):
        raise RuntimeError("nobody is logged in")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    TOLD.clear()
    for kind in (Fake, Pictured, Broken):
        monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, kind.name, kind)


def trained(small, folder, *names, **options):
    small["train"].update(trackers=list(names), sample_every=3)
    run = Run(build_pipeline(small), folder, **options)
    run.train()
    return run


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / trackers.FOLDER / trackers.PROJECT), size_guidance={"images": 0})
    return found.Reload()


def as_logged(folder, name):
    return [(entry["step"], np.float32(entry[name])) for entry in metrics_log.read(folder)]


@pytest.mark.parametrize("name", ["tensorboard", "auto"])
def test_tensorboard_has_every_scalar_and_sheet(small, tmp_path, name):
    trained(small, tmp_path, name)
    found = events(tmp_path)
    assert set(found.Tags()["scalars"]) == metrics_log.read(tmp_path)[0].keys() - {"step"}
    for scalar in ("loss", "grad_norm", "lr.student"):
        assert [(e.step, np.float32(e.value)) for e in found.Scalars(scalar)] == as_logged(tmp_path, scalar)
    pictures = found.Images("samples")
    assert [picture.step for picture in pictures] == [3, 6]
    for picture in pictures:
        with Image.open(tmp_path / "samples" / f"step-{picture.step:08d}.png") as sheet:
            shown = Image.open(io.BytesIO(picture.encoded_image_string))
            np.testing.assert_array_equal(np.asarray(shown), np.asarray(sheet.convert("RGB")))
    [settings] = (tmp_path / trackers.FOLDER).rglob("hparams.yml")
    assert yaml.safe_load(settings.read_text())["optimizer.lr"] == 1e-3


def test_a_resumed_run_shows_each_step_once(small, tmp_path):
    small["train"]["log_every"] = 1
    trained(small, tmp_path, "tensorboard")
    shutil.rmtree(checkpoint.path_of(tmp_path, 6))  # as if killed on the way from step 3
    trained(small, tmp_path, "tensorboard", resume=True)
    assert [event.step for event in events(tmp_path).Scalars("loss")] == [1, 2, 3, 4, 5, 6]


def test_other_trackers_are_told_the_same(small, tmp_path):
    trained(small, tmp_path, "fake", "pictured", "fake")
    scalars = [(entry.pop("step"), entry) for entry in metrics_log.read(tmp_path)]
    opened, logged = [t for t in TOLD if t[0] == "open"], [t[1:] for t in TOLD if t[0] == "log"]
    assert opened == [("open", "nanogen", {})] * 2
    assert logged == [pair for pair in scalars for _ in range(2)]
    config = next(values for word, values in (t for t in TOLD if t[0] == "config"))
    assert config["train.steps"] == 6
    assert config["task.name"] == "imagenet"
    assert all(type(value) in (bool, int, float, str) for value in config.values())
    sheets = [told for told in TOLD if told[0] == "images"]
    assert [step for _, step, _ in sheets] == [3, 6]
    with Image.open(tmp_path / "samples" / "step-00000006.png") as sheet:
        assert sheets[-1][2]["samples"][0].tobytes() == sheet.tobytes()
    assert TOLD[-2:] == [("finish",)] * 2
    assert not (tmp_path / trackers.FOLDER).exists()


def test_wandb_gets_the_run_by_the_name_of_its_folder(small, tmp_path, monkeypatch):
    """accelerate's own WandBTracker, with a stand-in for the package."""
    calls = []
    run = SimpleNamespace(log=lambda values, step: calls.append((step, values)), finish=lambda: calls.append("finish"))
    fake = SimpleNamespace(
        init=lambda **options: calls.append(options) or run,
        config=SimpleNamespace(update=lambda values, **more: calls.append(values)),
        Image=lambda picture: ("picture", picture.size),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.WANDB])
    assert LOGGER_TYPE_TO_CLASS["wandb"] is WandBTracker
    trained(small, tmp_path / "mine", "wandb")
    assert calls[0] == {"project": "nanogen", "name": "mine", "dir": str(tmp_path / "mine")}
    assert calls[1]["train.steps"] == 6
    assert [call[0] for call in calls[2:-1] if "loss" in call[1]] == [2, 4, 6]
    assert [call for call in calls[2:-1] if "samples" in call[1]][-1][1]["samples"][0][0] == "picture"
    assert calls[-1] == "finish"


def test_none_are_used_where_none_are_wanted_or_there(small, tmp_path, monkeypatch):
    trained(small, tmp_path / "none")
    monkeypatch.setattr(tracking, "_available_trackers", [])
    trained(small, tmp_path / "absent", "auto")
    assert not list(tmp_path.glob(f"*/{trackers.FOLDER}"))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["wandbb"], "unknown tracker 'wandbb'. Did you mean 'wandb'\\? Known: aim, auto, .*wandb"),
        (["all"], "unknown tracker 'all'. Known: "),
        (
            ["tensorboard", "mlflow"],
            "mlflow is not installed: `pip install mlflow`, or remove it. Installed: .*tens",
        ),
    ],
)
def test_a_tracker_that_is_not_there_is_one_sentence(small, tmp_path, names, said, monkeypatch):
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TENSORBOARD])
    with pytest.raises(ConfigError, match=said):
        trained(small, tmp_path / "run", *names)
    assert not (tmp_path / "run").exists()
    resolve(small)  # what was trained elsewhere can be loaded here


@pytest.mark.parametrize("wrong", ["wandb", 3, [1]])
def test_trackers_are_a_list_of_names(small, wrong):
    with pytest.raises(ConfigError, match=r"train.trackers.*: expected a (list, such as .*|string), got"):
        resolve({**small, "train": {"trackers": wrong}})


def test_a_tracker_that_does_not_start_says_so(small, tmp_path):
    with pytest.raises(
        TrainingError, match="cannot start .RuntimeError: nobody is logged in.: configure it, or remove it"
    ):
        trained(small, tmp_path, "broken")
