"""Image files of samples: never overwritten, written again if deleted. Score names are checked early."""

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
    """Fail the test if a pipeline is loaded."""

    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(Pipeline, "load", load)


@pytest.mark.parametrize(
    ("present", "sentence"),
    [
        (["00001-dog.png"], "00001-dog.png would be overwritten: choose another --output"),
        (["grid.png"], "grid.png would be overwritten"),
        (["00000-dog.png", "00001-dog.png", "grid.png"], "00000-dog.png and 2 more files would"),
        (["00000-dog.png", "grid.png"], "00000-dog.png and 1 more file would"),
    ],
)
def test_an_existing_file_is_refused_before_the_model_loads(unloaded, tmp_path, present, sentence):
    for name in present:
        (tmp_path / name).write_text("foreign")
    drawn = ran(sample, tmp_path / "run", "--label", "dog", "--count", 2, "--output", tmp_path)
    assert isinstance(drawn.exception, DataError)
    assert sentence in str(drawn.exception)
    assert all(value == b"foreign" for value in content(tmp_path).values())


def test_a_broken_link_counts_as_an_existing_file(unloaded, tmp_path):
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


def test_a_file_that_appears_during_sampling_is_not_replaced(run, tmp_path, monkeypatch):
    generate = Pipeline.generate

    def slow(self, *args, **kwargs):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "00000-dog.png").write_text("foreign")
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(Pipeline, "generate", slow)
    drawn = ran(sample, run, "--label", "dog", "--output", tmp_path / "out")
    assert isinstance(drawn.exception, DataError)
    assert content(tmp_path / "out") == {"00000-dog.png": b"foreign"}


# -- nanogen evaluate --keep-images ------------------------------------------------------------------------------------


def kept(pipeline, folder, seeds=(0,), count=6, metrics=None, **sampling):
    evaluation = Evaluation(
        metrics=metrics or {"redness": TinyRedness()}, folder=folder, bootstrap=NONE, keep_images=True
    )
    return evaluation.scores(Model(pipeline, count, Sampling(**sampling)), seeds)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"count": 7}, "count, files, requests"),
        ({"steps": 1}, "sampling"),
        ({"guidance": 3.0}, "sampling"),
        ({"rounding": "truncate"}, "rounding"),
    ],
)
def test_images_of_other_settings_are_refused_before_sampling(pipeline, tmp_path, monkeypatch, change, differs):
    kept(pipeline, tmp_path)
    before = content(tmp_path / "images")
    monkeypatch.setattr(Pipeline, "sample", None)
    with pytest.raises(NanoGenError, match=rf"an evaluation that differs in {differs}\. Choose"):
        kept(pipeline, tmp_path, seeds=(1, 0), **change)  # seed 1 has no folder yet
    assert content(tmp_path / "images") == before


def test_images_of_another_model_are_refused(pipeline, small, tmp_path):
    kept(pipeline, tmp_path)
    other = build_pipeline({**small, "seed": 5})
    with pytest.raises(NanoGenError, match="differs in config, weights"):
        kept(other, tmp_path)


def test_a_repeated_evaluation_with_more_seeds_keeps_existing_images(pipeline, tmp_path):
    kept(pipeline, tmp_path)
    before = content(tmp_path / "images" / "seed-0")
    kept(pipeline, tmp_path, seeds=(0, 1))
    assert content(tmp_path / "images" / "seed-0") == before
    assert len(list((tmp_path / "images" / "seed-1").glob("*.png"))) == 6


def test_a_folder_with_foreign_files_is_refused(pipeline, tmp_path):
    place = tmp_path / "images" / "seed-0"
    place.mkdir(parents=True)
    (place / "00000.png").write_text("foreign")
    with pytest.raises(NanoGenError, match=r"has files, but no \.nanogen-images\.json of an evaluation\. Choose"):
        kept(pipeline, tmp_path)
    assert content(place) == {"00000.png": b"foreign"}


def test_a_search_refuses_images_of_another_model_before_sampling(pipeline, tmp_path, monkeypatch):
    kept(pipeline, tmp_path)
    with torch.no_grad():
        next(pipeline.backbone.parameters()).add_(1)
    monkeypatch.setattr(Pipeline, "sample", None)
    evaluation = Evaluation(metrics={"redness": TinyRedness()}, folder=tmp_path, bootstrap=NONE, keep_images=True)
    with pytest.raises(NanoGenError, match="differs in weights"):
        evaluation.searched(Model(pipeline, 6), [1.0, 2.0], seeds=[0])


class Outside(TinyRedness):
    """A metric whose layout contains the given path."""

    def __init__(self, name):
        super().__init__()
        self.place = name

    def eval_batch(self):
        return Batch(torch.arange(2), labels=torch.tensor([0, 1]))

    def layout(self, folder):
        return [folder / "inside.png", folder / self.place]


@pytest.mark.parametrize("name", ["../outside.png", "a/../../../outside.png", "/tmp/nanogen-outside.png"])
def test_a_layout_cannot_leave_its_folder(pipeline, tmp_path, name):
    with pytest.raises(DataError, match=r"metric Outside puts an image outside the output folder, at .*for `\.\.` or"):
        kept(pipeline, tmp_path, metrics={"outside": Outside(name)}, count=None)
    assert not list(tmp_path.rglob("*.png"))
    assert not os.path.exists("/tmp/nanogen-outside.png")


def test_a_link_out_of_the_folder_is_not_followed(pipeline, tmp_path):
    metric = Outside("deep/picture.png")
    place, away = tmp_path / "images" / "seed-0", tmp_path / "away"
    away.mkdir()
    layout = metric.layout

    def linked(folder):
        if folder == place and not (folder / "deep").exists():
            os.symlink(away, folder / "deep")
        return layout(folder)

    metric.layout = linked
    with pytest.raises(DataError, match="leads outside of"):
        kept(pipeline, tmp_path, metrics={"outside": metric}, count=None)
    assert not list(away.iterdir())


def test_a_layout_with_a_duplicate_path_is_refused(pipeline, tmp_path):
    with pytest.raises(DataError, match="Outside names only 1 different file for 2 images"):
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
def test_duplicate_score_names_are_detected_early(pipeline, kind, batches):
    calls = Calls(pipeline)
    evaluation = Evaluation(metrics={"one": kind(), "other": kind()}, bootstrap=NONE)
    with pytest.raises(NanoGenError, match="Two of the metrics compute a score named redness"):
        evaluation.scores(Model(pipeline, 200), [0, 1])
    assert calls.number == batches


@pytest.mark.parametrize(("kind", "batches"), [(Named, 0), (TinyRedness, 1)])
def test_an_unknown_score_to_search_by_is_detected_early(pipeline, kind, batches):
    calls = Calls(pipeline)
    evaluation = Evaluation(metrics={"one": kind()}, bootstrap=NONE)
    with pytest.raises(
        ConfigError, match="No metric computes the score 'fid' of --guidance-by. Available scores: redness"
    ):
        evaluation.searched(Model(pipeline, 200), [1.0, 2.0], seeds=[0], by="fid")
    assert calls.number == batches


PROCESSES = """
from pathlib import Path
from nanogen_data.loader import DataShard
from nanogen_core.errors import NanoGenError
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import BootstrapConfig
from nanogen_eval.sources.folder import Folder
from nanogen_eval.targets import Images
from nanogen_eval.testing.fakes import TinyRedness

metrics = {"one": TinyRedness(), "other": TinyRedness()}
try:
    Evaluation(metrics=metrics, bootstrap=BootstrapConfig(draws=0)).scores(Images(Folder(Path("pictures"))))
except NanoGenError as error:
    Path(f"error-{DataShard.here().rank}").write_text(str(error))
"""


def test_a_process_without_a_batch_refuses_duplicate_score_names(tmp_path):
    """One image on two processes: the second process has no batch."""
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "pictures" / "0.png")
    (tmp_path / "script.py").write_text(PROCESSES)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "script.py"]
    ran = subprocess.run(launch, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for rank in range(2):
        assert "Two of the metrics compute a score named redness" in (tmp_path / f"error-{rank}").read_text()


def test_duplicate_names_of_a_metric_that_fails_early_are_detected_at_the_end(pipeline):
    class Late(TinyRedness):
        def compute(self):
            if self._sum[1] < 100 * 16 * 16:
                raise ValueError("too few")
            return super().compute()

    calls = Calls(pipeline)
    with pytest.raises(NanoGenError, match="Two of the metrics compute a score named redness"):
        Evaluation(metrics={"one": Late(), "other": Late()}, bootstrap=NONE).scores(Model(pipeline, 128), [0])
    assert calls.number == 2


def test_the_command_refuses_an_unknown_score_before_sampling(run, monkeypatch):
    monkeypatch.setattr(Pipeline, "sample", None)
    done = ran(evaluate, run, "--count", 8, "--guidance-search", "1,2", "--guidance-by", "fid")
    assert isinstance(done.exception, ConfigError)
    assert "computes the score 'fid'" in str(done.exception)
    assert not (run / "scores.json").exists()


def test_kept_images_have_the_size_of_the_samples(pipeline, tmp_path):
    kept(pipeline, tmp_path)
    with Image.open(tmp_path / "images" / "seed-0" / "00005.png") as picture:
        assert picture.size == (16, 16)


# -- resuming gives identical files ------------------------------------------------------------------------------------


def evaluate_model(pipeline, folder, save_every=0.0):
    """Evaluate 27 images of each of two seeds in batches of 4; the last batch has 3."""
    evaluation = Evaluation(
        metrics={"redness": TinyRedness()},
        folder=folder,
        bootstrap=NONE,
        keep_images=True,
        options=EvalOptions(batch_size=4, save_every=save_every),
    )
    return evaluation.scores(Model(pipeline, 27), (0, 1))


@pytest.fixture
def uninterrupted(pipeline, tmp_path):
    evaluate_model(pipeline, tmp_path / "uninterrupted")
    return content(tmp_path / "uninterrupted")


@contextmanager
def stopped_after(batches, monkeypatch):
    """Interrupt the evaluation in the block after a number of batches."""
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
def test_a_resumed_evaluation_writes_identical_files(pipeline, tmp_path, monkeypatch, uninterrupted, stop, save_every):
    with stopped_after(stop, monkeypatch):
        evaluate_model(pipeline, tmp_path / "stopped", save_every=save_every)
    evaluate_model(pipeline, tmp_path / "stopped", save_every=save_every)
    found = content(tmp_path / "stopped")
    assert found == uninterrupted
    assert sum(name.endswith(".png") for name in found) == 54


def test_a_deleted_image_folder_is_written_again(pipeline, tmp_path, monkeypatch, uninterrupted):
    with stopped_after(10, monkeypatch):
        evaluate_model(pipeline, tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "images")
    evaluate_model(pipeline, tmp_path / "stopped")
    assert content(tmp_path / "stopped") == uninterrupted


@pytest.mark.parametrize("stop", [3, 5, 9, 10])
def test_single_deleted_images_are_written_again(pipeline, tmp_path, monkeypatch, uninterrupted, caplog, stop):
    """Delete images of an unfinished pass, and of a finished one. Seed 0 has 7 batches of 4."""
    with stopped_after(stop, monkeypatch):
        evaluate_model(pipeline, tmp_path / "stopped")
    for name in ("00001.png", "00010.png"):
        (tmp_path / "stopped" / "images" / "seed-0" / name).unlink()
    with caplog.at_level(logging.WARNING):
        evaluate_model(pipeline, tmp_path / "stopped")
    assert content(tmp_path / "stopped") == uninterrupted
    assert "2 images are missing from" in caplog.text


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_batches_start_at_the_same_rows_on_any_number_of_processes(tmp_path, before, after):
    def spans(world, take):
        found = []
        for rank in range(world):
            progress = Progress(tmp_path, {}, 27, DataShard(rank, world))
            progress.load()
            own = list(progress.todo(4))[:take]
            for span in own:
                progress.add(torch.tensor(list(span)))
            progress.save()
            found += own
        return found

    found = spans(before, 1) + spans(after, None)
    expected = [range(start, min(start + 4, 27)) for start in range(0, 27, 4)]
    assert sorted(found, key=lambda span: span.start) == expected


@pytest.mark.parametrize("sizes", [(1, 8), (3, 24)])
def test_another_batch_size_keeps_the_noise_and_changes_pixels_by_one_level_at_most(pipeline, sizes):
    requests, latents = pipeline.task.eval_batch(24), []
    sample_latents = pipeline.sampler.sample

    def spied(objective, field, noise, *rest):
        latents.append(noise.latent)
        return sample_latents(objective, field, noise, *rest)

    pipeline.sampler.sample = spied
    images, noises = [], []
    for size in sizes:
        latents.clear()
        images.append(pipeline.sample(requests, batch_size=size, seed=3))
        noises.append(torch.cat(latents))
    assert torch.equal(*noises)
    assert images[0].std() > 0.1
    torch.testing.assert_close(*images, rtol=0, atol=1e-4)
    levels = [to_uint8(each).int() for each in images]
    assert (levels[0] - levels[1]).abs().max() <= 1
