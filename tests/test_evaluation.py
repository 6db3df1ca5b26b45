"""Evaluation counts each image once, for any batch size, interruption or number of processes, without side effects."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock

from nanogen_core import build_pipeline
from nanogen_core.errors import ConfigError, NanoGenError
from nanogen_core.guidance import ClassifierFree
from nanogen_core.settings import ClassifierFreeConfig
from nanogen_core.tensors import Batch
from nanogen_core.testing.comparison import fill_zero_parameters
from nanogen_data.loader import DataShard
from nanogen_eval import evaluate_pipeline
from nanogen_eval.cli.evaluate import evaluate
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.measure import measure
from nanogen_eval.options import BootstrapConfig, EvalOptions, Sampling
from nanogen_eval.pixels import on_grid
from nanogen_eval.progress import Progress
from nanogen_eval.record import read_scores
from nanogen_eval.sources.folder import Folder
from nanogen_eval.targets import Images, Model
from nanogen_eval.testing.fakes import TinyColour, TinyRedness
from nanogen_files import storage

NONE = BootstrapConfig(draws=0)
NANOGEN = str(Path(sys.executable).with_name("nanogen"))


class RandomImages:
    """Random images, generated when they are read. `read_rows` lists the rows in reading order."""

    settings = {"images": "random"}

    def __init__(self, count=100, fail_at=None):
        self.requests = Batch(torch.arange(count), labels=torch.arange(count) % 3)
        self.about = {"count": count}
        self.fail_at = fail_at
        self.read_rows = []

    def read(self, spans):
        for span in spans:
            if self.fail_at is not None and span.stop > self.fail_at:
                raise KeyboardInterrupt
            self.read_rows += list(span)
            images = torch.stack([self.image(index) for index in span])
            yield self.requests.part(span.start, span.stop)._replace(images=images)

    def image(self, index):
        return on_grid(torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(index)) * 2 - 1)


class Reversed(RandomImages):
    """The same images in another order."""

    def read(self, spans):
        return super().read(reversed(list(spans)))


class FromFeatures(TinyColour):
    """A score from given features, in float64: the determinant of their covariance."""

    def measure(self, images, batch):
        return {"features": images.double().flatten(1)[:, :4]}

    def score(self, rows):
        features = rows["features"]
        return {"volume": float(torch.det(torch.cov(features.T)))} if len(features) > 1 else {}


def scored(source, metrics, **options):
    scores = Evaluation(metrics=metrics, options=EvalOptions(**options), bootstrap=NONE).scores(Images(source))
    return {score.metric: score.value for score in scores}


def fresh():
    return {"colour": TinyColour(), "redness": TinyRedness(), "volume": FromFeatures()}


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("kind", [RandomImages, Reversed])
def test_no_score_depends_on_batch_size_or_order(size, kind):
    source = RandomImages()
    images = torch.stack([source.image(index) for index in range(100)])
    right = (images.double().mean(dim=(2, 3)).argmax(dim=1) == source.requests.labels).double().mean()
    volume = torch.det(torch.cov(images.double().flatten(1)[:, :4].T))
    found = scored(kind(), fresh(), batch_size=size)
    expected = {"colour": float(right), "redness": float(images[:, 0].double().mean()), "volume": float(volume)}
    assert found == pytest.approx(expected, rel=1e-9)


class Drawings(RandomImages):
    """Drawings of which every fourth has a wrong label."""

    def __init__(self, task):
        drawn = next(task.iter_once("val", 65))
        super().__init__(len(drawn.indices))
        self.images = on_grid(drawn.images)
        wrong = torch.arange(len(drawn.labels)) % 4 == 0
        self.requests = self.requests._replace(labels=torch.where(wrong, drawn.labels.roll(1), drawn.labels))

    def image(self, index):
        return self.images[index]


class ReversedDrawings(Drawings, Reversed):
    """The same drawings in another order."""


def test_a_network_gives_the_same_score_at_any_batch_size_and_in_any_order(small):
    small = {**small, "image_size": 64}
    data = {"name": "openmoji", "train": 32, "val": 65, "seed": 3}
    pipeline = build_pipeline({**small, "dataset": data, "metric": ["openmoji-accuracy", "openmoji-frechet"]})
    other = build_pipeline({**small, "dataset": {**data, "seed": 4}})  # distances to these drawings are not 0
    sources = [(Drawings(other.task), size) for size in (1, 7, 64)] + [(ReversedDrawings(other.task), 64)]
    first, *others = [scored(source, pipeline.task.metrics(), batch_size=size) for source, size in sources]
    assert first["accuracy"] == pytest.approx(0.75, abs=0.1)
    assert first["frechet"] > 1e-3
    for found in others:
        assert found == pytest.approx(first, rel=1e-6)


# -- resuming ----------------------------------------------------------------------------------------------------------


def resumed(tmp_path, metrics, at):
    evaluation = Evaluation(
        metrics=metrics, folder=tmp_path, options=EvalOptions(batch_size=8, save_every=0.0), bootstrap=NONE
    )
    with pytest.raises(KeyboardInterrupt):
        evaluation.scores(Images(RandomImages(fail_at=at)))
    source = RandomImages()
    return evaluation, source, evaluation.scores(Images(source))


def test_a_resumed_evaluation_gives_identical_scores(tmp_path):
    _, source, scores = resumed(tmp_path, fresh(), at=60)
    assert source.read_rows == list(range(56, 100))  # seven batches of 8 were saved
    assert {score.metric: score.value for score in scores} == scored(RandomImages(), fresh(), batch_size=8)
    assert not (tmp_path / ".evaluating").exists()


def test_resuming_with_another_batch_size_logs_a_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("nanogen_data.notes._logged", set())
    first = Evaluation(
        metrics=fresh(), folder=tmp_path, options=EvalOptions(batch_size=8, save_every=0.0), bootstrap=NONE
    )
    with pytest.raises(KeyboardInterrupt):
        first.scores(Images(RandomImages(fail_at=60)))
    source = RandomImages()
    second = Evaluation(metrics=fresh(), folder=tmp_path, options=EvalOptions(batch_size=5), bootstrap=NONE)
    with caplog.at_level(logging.WARNING):
        scores = second.scores(Images(source))
    assert "started with a batch size of 8 and resumes with 5. Its scores may differ by rounding" in caplog.text
    assert source.read_rows == list(range(56, 100))
    assert {s.metric: s.value for s in scores} == pytest.approx(scored(RandomImages(), fresh()), rel=1e-9)


def test_other_settings_do_not_resume(tmp_path):
    evaluation, _, _ = resumed(tmp_path, fresh(), at=60)
    with pytest.raises(KeyboardInterrupt):
        evaluation.scores(Images(RandomImages(fail_at=60)))
    other = RandomImages(count=99)
    evaluation.scores(Images(other))
    assert other.read_rows == list(range(99))


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2), (2, 3)])
def test_resuming_on_another_number_of_processes_counts_each_image_once(tmp_path, before, after):
    def run(world, stop, folder):
        shares = [DataShard(rank, world) for rank in range(world)]
        runs = [(Progress(folder, {"redness": TinyRedness()}, 100, share), share) for share in shares]
        for progress, _ in runs:
            progress.load()
        for progress, _ in runs:
            for span in list(progress.todo(8))[:stop]:
                batch = next(RandomImages().read([span]))
                progress._metrics["redness"].update(batch.images, batch)
                progress.add(batch.indices)
            progress.save()
        return [progress for progress, _ in runs]

    run(before, 2, tmp_path)
    run(after, 1, tmp_path)
    last = run(before, None, tmp_path)
    total = TinyRedness()
    for progress in last:
        total.merge(progress._metrics["redness"].state())
    assert float(total.state()["sum"][1]) == 100 * 16  # pixels of one channel
    assert total.compute() == pytest.approx(scored(RandomImages(), {"redness": TinyRedness()}), rel=1e-9)


def test_a_damaged_state_file_is_named(tmp_path):
    evaluation = Evaluation(metrics=fresh(), folder=tmp_path, options=EvalOptions(save_every=0.0), bootstrap=NONE)
    with pytest.raises(KeyboardInterrupt):
        evaluation.scores(Images(RandomImages(fail_at=70)))
    (file,) = tmp_path.rglob("process-00000.safetensors")
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(NanoGenError, match=r"process-00000.safetensors is damaged or incomplete: delete the file"):
        evaluation.scores(Images(RandomImages()))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """An untrained saved pipeline that evaluates in a second."""
    folder = tmp_path_factory.mktemp("run")
    pipeline = build_pipeline(
        task="imagenet",
        image_size=16,
        dataset={"name": "openmoji", "train": 32, "val": 64},
        tokenizer="openmoji-vae",
        backbone={"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        objective="flow",
        sampler={"name": "euler", "steps": 2},
        metric=["openmoji-accuracy", "openmoji-frechet"],
    )
    pipeline.save(folder)
    return folder


def command(*words, program=(NANOGEN,)):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return [*program, "evaluate", *map(str, words)], environment


def evaluated(*words):
    """`nanogen evaluate` in this process; what it prints."""
    ran = CliRunner().invoke(evaluate, [str(word) for word in words], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_a_killed_evaluation_resumes_to_identical_files(run_folder, tmp_path):
    words = (run_folder, "--count", 280, "--batch-size", 4, "--intervals", 20, "--save-every", 0, "--keep-images")
    line, environment = command(*words, "--output", tmp_path / "killed")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").rglob("process-*.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (state,) = (tmp_path / "killed").rglob("process-*.safetensors")
    done = storage.read_tensors(state)["done"]
    assert 0 < int(done.sum()) < 280
    evaluated(*words, "--output", tmp_path / "killed")
    evaluated(*words, "--output", tmp_path / "whole")
    assert (tmp_path / "killed" / "scores.json").read_text() == (tmp_path / "whole" / "scores.json").read_text()
    pictures = sorted((tmp_path / "whole").rglob("*.png"))
    assert len(pictures) == 280
    for picture in pictures:
        other = tmp_path / "killed" / picture.relative_to(tmp_path / "whole")
        assert other.read_bytes() == picture.read_bytes()


def test_two_processes_give_the_scores_of_one(run_folder, tmp_path):
    words = (run_folder, "--count", 65, "--batch-size", 7, "--intervals", 20)
    torchrun = (str(Path(sys.executable).with_name("torchrun")), "--nproc_per_node=2", "--no-python", NANOGEN)
    line, environment = command(*words, "--output", tmp_path / "two", program=torchrun)
    ran = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("accuracy") == 1  # only rank 0 prints
    evaluated(*words, "--output", tmp_path / "one")
    one, two = (read_scores(tmp_path / name) for name in ("one", "two"))
    assert [score.fingerprint for score in one] == [score.fingerprint for score in two]
    for first, second in zip(one, two, strict=True):
        assert first.value == pytest.approx(second.value, rel=1e-6)
        assert first.interval.low == pytest.approx(second.interval.low, rel=1e-6)


# -- side effects ------------------------------------------------------------------------------------------------------


def test_an_evaluation_keeps_generators_modes_and_weights(small):
    pipeline = build_pipeline(small)
    pipeline.backbone.train()
    next(pipeline.backbone.children()).eval()  # mixed modes must be restored
    modes = [module.training for module in pipeline.backbone.modules()]
    weights = {name: value.clone() for name, value in pipeline.backbone.state_dict().items()}
    before = torch.get_rng_state()
    evaluate_pipeline(pipeline, 10, draws=5)
    assert torch.equal(before, torch.get_rng_state())
    assert [module.training for module in pipeline.backbone.modules()] == modes
    assert all(torch.equal(value, pipeline.backbone.state_dict()[name]) for name, value in weights.items())


def test_samples_are_generated_in_evaluation_mode(small):
    pipeline = build_pipeline(small)
    dropout = torch.nn.Dropout(0.9)
    pipeline.backbone.register_forward_pre_hook(lambda module, arguments: (arguments[0].map(dropout), *arguments[1:]))
    pipeline.backbone.add_module("dropout", dropout)
    pipeline.backbone.train()
    requests = pipeline.task.eval_batch(2)
    source = next(iter(Model(pipeline, 2).parts({"colour": TinyColour()}, 0)))[0]
    first = next(iter(source.read([range(2)]))).images
    pipeline.backbone.eval()
    assert torch.equal(first, on_grid(pipeline.sample(requests, seed=0)))


def test_evaluating_during_a_training_does_not_change_it(small, tmp_path):
    from nanogen_train.trainer.loop import Run

    def trained(folder, evaluated):
        pipeline = build_pipeline(small)
        report = (lambda step, scalars: evaluate_pipeline(pipeline, 5, draws=0)) if evaluated else None
        return Run(pipeline, folder, report=report).train().backbone.state_dict()

    plain, evaluated = trained(tmp_path / "plain", False), trained(tmp_path / "evaluated", True)
    assert all(torch.equal(plain[name], evaluated[name]) for name in plain)


# -- guidance by name and as an object ---------------------------------------------------------------------------------


def sampled_score(pipeline, guidance=None):
    """Return the guidance in the settings of a score, its fingerprint, and the images."""
    fill_zero_parameters(pipeline.backbone)
    source = next(iter(Model(pipeline, 2, Sampling(guidance=guidance)).parts({"colour": TinyColour()}, 0)))[0]
    (score,) = Evaluation(metrics={"colour": TinyColour()}, bootstrap=NONE).scores(
        Model(pipeline, 2, Sampling(guidance=guidance)), [0]
    )
    return source.settings["sampling"]["guidance"], score.fingerprint, next(iter(source.read([range(2)]))).images


def test_a_guidance_by_name_replaces_the_configured_ones(small):
    plain = build_pipeline(small, guidance={"cfg": None})
    named, configured = sampled_score(plain, "cfg"), sampled_score(build_pipeline(small, guidance={"cfg": {}}))
    assert named[:2] == configured[:2]
    assert torch.equal(named[2], configured[2])
    assert not torch.equal(named[2], sampled_score(plain)[2])
    own = build_pipeline(small, guidance={"cfg": {"scale": 3.0}})
    assert sampled_score(own, "cfg")[:2] == sampled_score(own)[:2]  # it keeps the options of the configuration


def test_the_options_of_a_guidance_object_are_part_of_the_fingerprint(small):
    pipeline = build_pipeline(small)
    first, second = (ClassifierFree(ClassifierFreeConfig(scale=scale)) for scale in (3.0, 5.0))
    settings, fingerprint, images = sampled_score(pipeline, first)
    assert settings == {"ClassifierFree": {"scale": 3.0, "t_min": 0.0, "t_max": 1.0, "channels": None}}
    assert torch.equal(images, on_grid(pipeline.sample(pipeline.task.eval_batch(2, seed=0), seed=0, guidance=first)))
    assert fingerprint == sampled_score(pipeline, second.with_scale(3.0))[1] != sampled_score(pipeline, second)[1]
    assert [score.fingerprint for score in evaluate_pipeline(pipeline, 2, draws=0, guidance=first)] != [
        score.fingerprint for score in evaluate_pipeline(pipeline, 2, draws=0, guidance=second)
    ]


def test_a_guidance_object_without_options_is_refused(small):
    class Plain:
        level = 1

        def wrap(self, velocity_fn, null):
            return velocity_fn

    with pytest.raises(ConfigError, match="object of class 'Plain' does not state its options.*Set its attribute"):
        evaluate_pipeline(build_pipeline(small), 2, draws=0, guidance=Plain())


def test_a_search_for_the_scale_of_a_given_guidance_is_refused(small):
    model = Model(build_pipeline(small), 2, Sampling(guidance="cfg"))
    with pytest.raises(ConfigError, match=r"replaces `Sampling.guidance`: leave it out"):
        Evaluation(metrics={"colour": TinyColour()}).searched(model, [1.0, 2.0], seeds=[0])


# -- errors ------------------------------------------------------------------------------------------------------------


def test_a_second_evaluation_in_the_same_folder_is_refused(tmp_path):
    with (
        FileLock(tmp_path / ".evaluating.lock"),
        pytest.raises(NanoGenError, match="Another evaluation is running in .* choose another folder"),
    ):
        Evaluation(metrics=fresh(), folder=tmp_path, bootstrap=NONE).scores(Images(RandomImages()))


def test_a_full_disk_raises_an_error_and_the_evaluation_resumes(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    evaluation = Evaluation(
        metrics=fresh(), folder=tmp_path, options=EvalOptions(batch_size=8, save_every=0.0), bootstrap=NONE
    )
    with pytest.raises(KeyboardInterrupt):
        evaluation.scores(Images(RandomImages(fail_at=60)))
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_bytes", full)
        with pytest.raises(NanoGenError, match="No space left on device.*free some space .* choose another --output"):
            evaluation.scores(Images(RandomImages()))
    source = RandomImages()
    evaluation.scores(Images(source))
    assert source.read_rows == list(range(56, 100))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [({}, "'odd' returns no score for 100 images"), ({"odd": float("nan")}, "returns odd = nan for 100 images")],
)
def test_missing_and_nan_scores_are_refused(value, sentence):
    metric = TinyRedness()
    metric.compute = lambda: value
    with pytest.raises(NanoGenError, match=sentence):
        scored(RandomImages(), {"odd": metric})


def test_duplicate_score_names_are_refused():
    with pytest.raises(NanoGenError, match="Two of the metrics compute a score named redness"):
        scored(RandomImages(), {"one": TinyRedness(), "other": TinyRedness()})


# -- seeds, guidance, requests --------------------------------------------------------------------------------------


def test_a_score_of_several_seeds_is_their_mean(small):
    pipeline = build_pipeline(small)
    evaluate = Evaluation(metrics={"redness": TinyRedness()}, bootstrap=NONE)
    model = Model(pipeline, 6)
    single = [evaluate.scores(model, [seed])[0].value for seed in (0, 1, 2)]
    (score,) = evaluate.scores(model, [0, 1, 2])
    assert len(set(single)) == 3
    assert score.values == tuple(single)
    assert score.value == pytest.approx(sum(single) / 3)
    assert (score.n, score.seeds) == (6, (0, 1, 2))
    with pytest.raises(ConfigError, match="contain a duplicate"):
        evaluate.scores(model, [1, 1])


def test_a_guidance_search_uses_a_held_out_seed_and_is_recorded(small):
    pipeline = build_pipeline(small)
    fill_zero_parameters(pipeline.backbone)  # an untrained network ignores its condition
    evaluation = Evaluation(metrics={"redness": TinyRedness()}, bootstrap=NONE)
    model, scales = Model(pipeline, 6), [1.0, 40.0]
    tried = [evaluation.scores(model.sampled(guidance=scale), [2])[0].value for scale in scales]
    assert tried[0] != tried[1]
    found = evaluation.searched(model, scales, seeds=[0, 1])
    best = scales[tried.index(min(tried))]  # lower redness is better
    assert found.sampling.guidance == best
    (score,) = evaluation.scores(found, [0, 1])
    sampling = score.settings["sampling"]
    assert sampling["guidance_search"] == {"grid": scales, "criterion": "redness", "seed": 2, "count": 6}
    assert sampling["guidance"]["cfg"]["scale"] == "searched"  # models with other optima have equal settings
    assert (score.about["guidance"], score.about["searched"]) == (best, tried)
    with pytest.raises(ConfigError, match="computes the score 'fid' of --guidance-by. Available scores: redness"):
        evaluation.searched(model, scales, seeds=[0], by="fid")


class WithPrompts(TinyRedness):
    """Requests four images of class 5, and records the labels that it gets."""

    def __init__(self):
        super().__init__()
        self.labels = []

    def eval_batch(self):
        return Batch(torch.arange(4), labels=torch.full((4,), 5))

    def update(self, images, batch):
        super().update(images, batch)
        self.labels += batch.labels.tolist()


class OtherName(WithPrompts):
    def compute(self):
        return {"other": 1.0}


class Spy(TinyRedness):
    def __init__(self):
        super().__init__()
        self.labels = []

    def update(self, images, batch):
        super().update(images, batch)
        self.labels += batch.labels.tolist()


def test_metrics_with_equal_prompts_share_samples(small):
    pipeline = build_pipeline(small)
    calls = []
    sample = pipeline.sample
    pipeline.sample = lambda batch, **options: calls.append(len(batch.indices)) or sample(batch, **options)
    prompted, other, spy = WithPrompts(), OtherName(), Spy()
    spy.compute = lambda: {"spy": 1.0}
    scores = Evaluation(metrics={"prompted": prompted, "spy": spy, "other": other}, bootstrap=NONE).scores(
        Model(pipeline, 70), [0]
    )
    assert prompted.labels == other.labels == [5] * 4
    assert sorted(calls) == [4, 6, 64]
    assert spy.labels == pipeline.task.eval_batch(70).labels.tolist()
    assert {score.metric: score.n for score in scores} == {"redness": 4, "other": 4, "spy": 70}


def test_labels_are_balanced_over_the_classes(small):
    spy = Spy()
    Evaluation(metrics={"spy": spy}, bootstrap=NONE).scores(Model(build_pipeline(small), 128), [0])
    assert sorted(spy.labels) == sorted([*range(64)] * 2)


def test_rounding_enters_the_fingerprint_and_truncation_is_the_floor(small):
    pipeline = build_pipeline(small)
    evaluation = Evaluation(metrics={"redness": TinyRedness()}, bootstrap=NONE)
    rounded, cut = (evaluation.scores(Model(pipeline, 20, Sampling(rounding=r)), [0])[0] for r in ("round", "truncate"))
    assert rounded.fingerprint != cut.fingerprint
    red = pipeline.sample(pipeline.task.eval_batch(20), seed=0)[:, 0].double()
    assert cut.value == pytest.approx(float(((red + 1) * 127.5).floor().mean()) / 127.5 - 1, abs=1e-5)
    assert rounded.value - cut.value > 1e-3


def test_kept_images_evaluate_to_the_same_scores(run_folder, tmp_path):
    evaluated(run_folder, "--count", 65, "--intervals", 0, "--output", tmp_path, "--keep-images")
    images = tmp_path / "images" / "seed-0"
    assert len(list(images.glob("*.png"))) == 65
    source = Folder(images)
    assert len(source.requests.labels) == 65
    again = evaluated(
        images, "--metrics", "openmoji-accuracy,openmoji-frechet", "--config", run_folder / "config.yaml", "--json"
    )
    first = {score.metric: score.value for score in read_scores(tmp_path)}
    assert {entry["metric"]: entry["value"] for entry in json.loads(again)} == pytest.approx(first, rel=1e-6)


class WithLayout(WithPrompts):
    def layout(self, folder):
        (folder / "metadata.txt").write_text("official")
        return [folder / f"{prompt:05d}" / "samples" / f"{place:05d}.png" for prompt in range(2) for place in range(2)]


def test_kept_images_follow_a_metrics_layout(small, tmp_path):
    metric = WithLayout()
    evaluation = Evaluation(metrics={"laid": metric}, folder=tmp_path, bootstrap=NONE, keep_images=True)
    (score,) = evaluation.scores(Model(build_pipeline(small)), [0])
    images = tmp_path / "images" / "seed-0"
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    assert names == [f"0000{prompt}/samples/0000{place}.png" for prompt in range(2) for place in range(2)]
    assert (images / "metadata.txt").exists()
    assert scored(Folder(images), {"laid": WithLayout()})["redness"] == score.value


def test_only_one_batch_is_in_memory():
    class Watched(RandomImages):
        def read(self, spans):
            seen = []
            for batch in super().read(spans):
                assert all(reference() is None for reference in seen[:-1]), "a batch before the last is in memory"
                seen.append(weakref.ref(batch.images))
                yield batch
                del batch
            assert len(seen) == 13

    measure(Watched(), {"redness": TinyRedness()}, options=EvalOptions(batch_size=8))
