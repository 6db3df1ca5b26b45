"""Two equal runs of a plan in two folders: equal weights, equal fingerprints, equal `scores.json`."""

import signal

import pytest

from nanogen_bench.mini import plan
from nanogen_bench.mini.job import jobs
from nanogen_bench.mini.work import attempt, work
from nanogen_core.config import resolve
from nanogen_data import contents
from nanogen_eval.record import read_scores
from nanogen_eval.score import fingerprint
from nanogen_train.trainer.loop import Interrupted, Run

RAE = {"name": "rae", "encoder": "openmoji-classifier", "decoder": {"size": "tiny"}}
OWN = {  # what the prepared run left: a decoder and the statistics of its latents
    **RAE,
    "decoder": {"size": "tiny", "path": "{rae-decoder}/decoder.safetensors"},
    "statistics": "{rae-decoder}/statistics.safetensors",
}
STAGE = {"name": "rae-decoder", "discriminator": "none", "perceptual": "encoder"}
PLAN = {
    "tasks": ["imagenet", "t2i"],
    "seeds": [0],
    "steps": 1,
    "eval_samples": 4,
    "x": ["accuracy"],
    "y": ["presence"],
    "base": {
        "method": "rae",
        "image_size": 64,
        "dataset": {"name": "openmoji", "train": 16, "val": 16},
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        "sampler": {"steps": 1},
        "schedule": {"name": "constant-linear"},
        "train": {"batch_size": 4, "precision": "fp32", "log_every": 1, "sample_count": 1, "sample_every": 0},
    },
    "prepared": {
        "rae-decoder": {
            "summary": "a decoder",
            "task": "imagenet",
            "steps": 1,
            "statistics": "statistics.safetensors",
            "config": {"tokenizer": RAE, "stage": STAGE},
        }
    },
    "methods": {"rae": {"summary": "a", "family": "rae", "config": {"tokenizer": OWN}}},
}


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """The run of one task and what it needs, made twice."""
    found = []
    for name in ("one", "a much longer name of another folder"):
        todo = jobs(plan.checked(PLAN), tmp_path_factory.mktemp("study") / name, ["rae"])[:2]
        for job in todo:
            work(job)
        found.append(todo[-1])
    return found


def test_the_scores_of_equal_runs_in_two_folders_are_equal_byte_for_byte(twice):
    first, second = (job.folder / "scores.json" for job in twice)
    assert first.read_bytes() == second.read_bytes()
    scores = read_scores(first)
    assert scores
    for score in scores:
        assert len(score.about["weights"]) == 16
        assert len(score.about["config"]) == 16
        assert "tokenizer" in score.about["parts"]


def test_the_hash_of_a_configuration_has_the_file_of_the_decoder_in_it_and_not_its_path(twice):
    first, second = (contents.configuration(resolve(job.config)) for job in twice)
    assert first == second
    text = str(first)
    assert not any(str(job.folder.parents[2]) in text for job in twice)
    file = twice[1].folder.parents[2] / "prepared" / "rae-decoder" / "decoder.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # one bit of the last weight
    file.write_bytes(data)
    assert fingerprint(contents.configuration(resolve(twice[1].config))) != fingerprint(first)


def test_a_stop_in_the_last_step_leaves_the_evaluation_to_the_next_attempt(tmp_path, monkeypatch):
    """Without it, SLURM kills the evaluation at the time limit, and the job is not requeued."""
    (job, *_) = jobs(plan.checked(PLAN), tmp_path, ["rae"])
    with monkeypatch.context() as patch:
        before = Run._one_step
        patch.setattr(Run, "_one_step", lambda run, batch: (before(run, batch), signal.raise_signal(signal.SIGTERM)))
        assert attempt(job) == Interrupted.exit_code
    assert job.result is None
    assert job.error is None
    assert attempt(job) == 0
    assert job.result is not None
