"""Pictures of one seed never take the place of another's, and what can be found before the work is found before it."""

import logging
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.cli.sample import sample
from nanogen_core.errors import ConfigError, DataError, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_core.testing.comparison import fill_zero_parameters
from nanogen_data.loader import DataShard
from nanogen_eval.cli.evaluate import evaluate
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import BootstrapConfig, EvalOptions, Sampling
from nanogen_eval.progress import Progress
from nanogen_eval.targets import Model
from nanogen_eval.testing.fakes import TinyRedness
from nanogen_files.images import to_uint8

NONE = BootstrapConfig(draws=0)


@pytest.fixture
def pipeline(small):
    found = build_pipeline({**small, "metric": ["openmoji-accuracy"]})
    fill_zero_parameters(found.backbone)
    return found


@pytest.fixture
def run(pipeline, tmp_path):
    pipeline.save(tmp_path / "run")
    return tmp_path / "run"


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ran(verb, *words):
    return CliRunner().invoke(verb, [str(word) for word in words])


# -- nanogen sample ----------------------------------------------------------------------------------------------------


@pytest.fixture
def unloaded(monkeypatch):
    """No pipeline may be loaded."""

    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(Pipeline, "load", load)


@pytest.mark.parametrize(
    ("present", "sentence"),
    [
        (["00001-dog.png"], "00001-dog.png would be overwritten: choose another --output"),
        (["grid.png"], "grid.png would be overwritten"),
        (["00000-dog.png", "00001-dog.png", "grid.png"], "00000-dog.png and 2 more of the files to be written would"),
    ],
)
def test_a_file_that_is_there_is_found_before_the_model_is_loaded(unloaded, tmp_path, present, sentence):
    for name in present:
        (tmp_path / name).write_text("mine")
    drawn = ran(sample, tmp_path / "run", "--label", "dog", "--count", 2, "--output", tmp_path)
    assert isinstance(drawn.exception, DataError)
    assert sentence in str(drawn.exception)
    assert all(value == b"mine" for value in content(tmp_path).values())


def test_a_link_that_leads_nowhere_is_there_too(unloaded, tmp_path):
    os.symlink(tmp_path / "elsewhere", tmp_path / "grid.png")
    drawn = ran(sample, tmp_path / "run", "--label", "dog", "--output", tmp_path)
    assert "grid.png would be overwritten" in str(drawn.exception)


def test_another_seed_does_not_replace_the_first_one(run):
    assert ran(sample, run, "--label", "dog").exit_code == 0
    before = content(run / "generated")
    assert sorted(before) == ["00000-dog.png", "grid.png"]
    assert isinstance(ran(sample, run, "--label", "dog", "--seed", 1).exception, DataError)
    assert content(run / "generated") == before
    assert ran(sample, run, "--label", "dog", "--seed", 1, "--output", run / "other").exit_code == 0
    assert content(run / "other")["00000-dog.png"] != before["00000-dog.png"]


def test_a_file_that_appears_meanwhile_is_not_replaced(run, tmp_path, monkeypatch):
    generate = Pipeline.generate

    def slow(self, *args, **kwargs):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "00000-dog.png").write_text("mine")
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(Pipeline, "generate", slow)
    drawn = ran(sample, run, "--label", "dog", "--output", tmp_path / "out")
    assert isinstance(drawn.exception, DataError)
    assert content(tmp_path / "out") == {"00000-dog.png": b"mine"}


# -- nanogen evaluate --keep-images ------------------------------------------------------------------------------------


def kept(pipeline, folder, seeds=(0,), count=6, metrics=None, **sampling):
    evaluation = Evaluation(metrics=metrics or {"redness": TinyRedness()}, folder=folder, certainty=NONE, keep=True)
    return evaluation.scores(Model(pipeline, count, Sampling(**sampling)), seeds)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"count": 7}, "count, files, questions"),
        ({"steps": 1}, "sampling"),
        ({"guidance": 3.0}, "sampling"),
        ({"rounding": "truncate"}, "rounding"),
    ],
)
def test_pictures_of_other_settings_are_refused_before_any_is_made(pipeline, tmp_path, monkeypatch, change, differs):
    kept(pipeline, tmp_path)
    before = content(tmp_path / "images")
    monkeypatch.setattr(Pipeline, "sample", None)
    with pytest.raises(NanoGenError, match=rf"another evaluation \(it differs in: {differs}\): choose"):
        kept(pipeline, tmp_path, seeds=(1, 0), **change)  # found before those of seed 1 are made, which has no folder
    assert content(tmp_path / "images") == before


def test_pictures_of_another_model_are_refused(pipeline, small, tmp_path):
    kept(pipeline, tmp_path)
    other = build_pipeline({**small, "seed": 5})
    with pytest.raises(NanoGenError, match="it differs in: config, weights"):
        kept(other, tmp_path)


def test_the_same_pictures_may_be_made_again_and_other_seeds_beside_them(pipeline, tmp_path):
    kept(pipeline, tmp_path)
    before = content(tmp_path / "images" / "seed-0")
    kept(pipeline, tmp_path, seeds=(0, 1))
    assert content(tmp_path / "images" / "seed-0") == before
    assert len(list((tmp_path / "images" / "seed-1").glob("*.png"))) == 6


def test_files_of_somebody_else_are_not_mixed_with_pictures(pipeline, tmp_path):
    place = tmp_path / "images" / "seed-0"
    place.mkdir(parents=True)
    (place / "00000.png").write_text("mine")
    with pytest.raises(NanoGenError, match="holds files that this evaluation did not write: choose another --output"):
        kept(pipeline, tmp_path)
    assert content(place) == {"00000.png": b"mine"}


def test_a_search_finds_pictures_of_another_model_before_it_samples(pipeline, tmp_path, monkeypatch):
    kept(pipeline, tmp_path)
    with torch.no_grad():
        next(pipeline.backbone.parameters()).add_(1)
    monkeypatch.setattr(Pipeline, "sample", None)
    evaluation = Evaluation(metrics={"redness": TinyRedness()}, folder=tmp_path, certainty=NONE, keep=True)
    with pytest.raises(NanoGenError, match="it differs in: weights"):
        evaluation.searched(Model(pipeline, 6), [1.0, 2.0], seeds=[0])


class Outside(TinyRedness):
    """Its layout has names from a file that somebody else wrote."""

    def __init__(self, name):
        super().__init__()
        self.place = name

    def eval_batch(self):
        return Batch(torch.arange(2), labels=torch.tensor([0, 1]))

    def layout(self, folder):
        return [folder / "inside.png", folder / self.place]


@pytest.mark.parametrize("name", ["../outside.png", "a/../../../outside.png", "/tmp/nanogen-outside.png"])
def test_a_layout_cannot_leave_its_folder(pipeline, tmp_path, name):
    with pytest.raises(DataError, match=r"layout of Outside has a place outside of its folder.*holds `\.\.` or begins"):
        kept(pipeline, tmp_path, metrics={"outside": Outside(name)}, count=None)
    assert not list(tmp_path.rglob("*.png"))
    assert not os.path.exists("/tmp/nanogen-outside.png")


def test_a_link_inside_the_folder_is_not_followed_out_of_it(pipeline, tmp_path):
    metric = Outside("deep/picture.png")
    place, away = tmp_path / "images" / "seed-0", tmp_path / "away"
    away.mkdir()
    layout = metric.layout

    def linked(folder):
        if folder == place and not (folder / "deep").exists():
            os.symlink(away, folder / "deep")
        return layout(folder)

    metric.layout = linked
    with pytest.raises(DataError, match="is outside of"):
        kept(pipeline, tmp_path, metrics={"outside": metric}, count=None)
    assert not list(away.iterdir())


def test_a_layout_with_one_place_twice_is_refused(pipeline, tmp_path):
    with pytest.raises(DataError, match="places for 1 images, and there are 2"):
        kept(pipeline, tmp_path, metrics={"outside": Outside("inside.png")}, count=None)


# -- names of scores ---------------------------------------------------------------------------------------------------


class Named(TinyRedness):
    score_names = ("redness",)


class Calls:
    """Counts the batches that a pipeline makes."""

    def __init__(self, pipeline):
        self.number, sample = 0, pipeline.sample

        def counted(*args, **kwargs):
            self.number += 1
            return sample(*args, **kwargs)

        object.__setattr__(pipeline, "sample", counted)


@pytest.mark.parametrize(("kind", "batches"), [(Named, 0), (TinyRedness, 1)])
def test_two_scores_of_one_name_are_found_before_the_work_or_after_one_batch(pipeline, kind, batches):
    calls = Calls(pipeline)
    evaluation = Evaluation(metrics={"one": kind(), "other": kind()}, certainty=NONE)
    with pytest.raises(NanoGenError, match="Two of the metrics give a score named redness"):
        evaluation.scores(Model(pipeline, 200), [0, 1])
    assert calls.number == batches


@pytest.mark.parametrize(("kind", "batches"), [(Named, 0), (TinyRedness, 1)])
def test_a_score_to_search_by_that_nobody_gives_is_found_likewise(pipeline, kind, batches):
    calls = Calls(pipeline)
    evaluation = Evaluation(metrics={"one": kind()}, certainty=NONE)
    with pytest.raises(ConfigError, match="no score 'fid' to choose the guidance by; the metrics give: redness"):
        evaluation.searched(Model(pipeline, 200), [1.0, 2.0], seeds=[0], by="fid")
    assert calls.number == batches


PROCESSES = """
from pathlib import Path
from nanogen_data.loader import Share
from nanogen_core.errors import NanoGenError
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import Certainty
from nanogen_eval.sources.folder import Folder
from nanogen_eval.targets import Images
from nanogen_eval.testing.fakes import TinyRedness

metrics = {"one": TinyRedness(), "other": TinyRedness()}
try:
    Evaluation(metrics=metrics, certainty=Certainty(draws=0)).scores(Images(Folder(Path("pictures"))))
except NanoGenError as error:
    Path(f"said-{Share.here().rank}").write_text(str(error))
"""


def test_a_process_without_a_batch_refuses_two_scores_of_one_name_too(tmp_path):
    """One picture on two processes: the second one has nothing to ask its metrics."""
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "pictures" / "0.png")
    (tmp_path / "script.py").write_text(PROCESSES)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "script.py"]
    ran = subprocess.run(launch, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for rank in range(2):
        assert "Two of the metrics give a score named redness" in (tmp_path / f"said-{rank}").read_text()


def test_a_metric_that_cannot_tell_after_one_batch_is_asked_in_the_end(pipeline):
    class Late(TinyRedness):
        def compute(self):
            if self._sum[1] < 100 * 16 * 16:
                raise ValueError("too few")
            return super().compute()

    calls = Calls(pipeline)
    with pytest.raises(NanoGenError, match="Two of the metrics give a score named redness"):
        Evaluation(metrics={"one": Late(), "other": Late()}, certainty=NONE).scores(Model(pipeline, 128), [0])
    assert calls.number == 2


def test_the_command_refuses_a_wrong_name_before_the_work(run, monkeypatch):
    monkeypatch.setattr(Pipeline, "sample", None)
    judged = ran(evaluate, run, "--count", 8, "--guidance-search", "1,2", "--guidance-by", "fid")
    assert isinstance(judged.exception, ConfigError)
    assert "no score 'fid'" in str(judged.exception)
    assert not (run / "scores.json").exists()


def test_kept_pictures_are_pictures(pipeline, tmp_path):
    kept(pipeline, tmp_path)
    with Image.open(tmp_path / "images" / "seed-0" / "00005.png") as picture:
        assert picture.size == (16, 16)


# -- stopped and gone on with: the same bits ---------------------------------------------------------------------------


def judged(pipeline, folder, save_every=0.0):
    """27 pictures of each of two seeds in batches of 4, of which the last one has 3."""
    evaluation = Evaluation(
        metrics={"redness": TinyRedness()},
        folder=folder,
        certainty=NONE,
        keep=True,
        effort=EvalOptions(batch_size=4, save_every=save_every),
    )
    return evaluation.scores(Model(pipeline, 27), (0, 1))


@pytest.fixture
def undisturbed(pipeline, tmp_path):
    judged(pipeline, tmp_path / "undisturbed")
    return content(tmp_path / "undisturbed")


@contextmanager
def stopped_after(batches, monkeypatch):
    """An evaluation that Ctrl-C stops after so many batches."""
    left, sample = iter(range(batches)), Pipeline.sample

    def stopping(self, batch, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return sample(self, batch, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "sample", stopping)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.parametrize("save_every", [0.0, 1e6])
@pytest.mark.parametrize("stop", [1, 4, 7, 8, 11])
def test_a_stopped_evaluation_ends_with_the_bits_of_one_that_was_not(
    pipeline, tmp_path, monkeypatch, undisturbed, stop, save_every
):
    with stopped_after(stop, monkeypatch):
        judged(pipeline, tmp_path / "stopped", save_every=save_every)
    judged(pipeline, tmp_path / "stopped", save_every=save_every)
    found = content(tmp_path / "stopped")
    assert found == undisturbed
    assert sum(name.endswith(".png") for name in found) == 54


def test_pictures_that_somebody_took_away_are_made_again(pipeline, tmp_path, monkeypatch, undisturbed):
    with stopped_after(10, monkeypatch):
        judged(pipeline, tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "images")
    judged(pipeline, tmp_path / "stopped")
    assert content(tmp_path / "stopped") == undisturbed


@pytest.mark.parametrize("stop", [3, 5, 9, 10])
def test_single_pictures_that_somebody_took_away_are_made_again(
    pipeline, tmp_path, monkeypatch, undisturbed, caplog, stop
):
    """Pictures of a pass that is half done, and of one that is finished: seed 0 has 7 batches of 4."""
    with stopped_after(stop, monkeypatch):
        judged(pipeline, tmp_path / "stopped")
    for name in ("00001.png", "00010.png"):
        (tmp_path / "stopped" / "images" / "seed-0" / name).unlink()
    with caplog.at_level(logging.WARNING):
        judged(pipeline, tmp_path / "stopped")
    assert content(tmp_path / "stopped") == undisturbed
    assert "2 pictures are no longer in" in caplog.text


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_batches_are_cut_at_the_same_places_after_a_stop_and_on_any_number_of_processes(tmp_path, before, after):
    def spans(world, take):
        found = []
        for rank in range(world):
            progress = Progress(tmp_path, {}, 27, DataShard(rank, world))
            progress.load()
            mine = list(progress.todo(4))[:take]
            for span in mine:
                progress.add(torch.tensor(list(span)))
            progress.save()
            found += mine
        return found

    found = spans(before, 1) + spans(after, None)
    whole = [range(start, min(start + 4, 27)) for start in range(0, 27, 4)]
    assert sorted(found, key=lambda span: span.start) == whole


@pytest.mark.parametrize("sizes", [(1, 8), (3, 24)])
def test_in_a_batch_of_another_size_the_noise_is_the_same_and_pixels_are_within_one_level(pipeline, sizes):
    asked, drawn = pipeline.task.eval_batch(24), []
    noise = pipeline.sampler.sample

    def spied(objective, field, noise_, *rest):
        drawn.append(noise_.latent)
        return noise(objective, field, noise_, *rest)

    pipeline.sampler.sample = spied
    images, noises = [], []
    for size in sizes:
        drawn.clear()
        images.append(pipeline.sample(asked, batch_size=size, seed=3))
        noises.append(torch.cat(drawn))
    assert torch.equal(*noises)
    assert images[0].std() > 0.1
    torch.testing.assert_close(*images, rtol=0, atol=1e-4)
    levels = [to_uint8(each).int() for each in images]
    assert (levels[0] - levels[1]).abs().max() <= 1
