"""`train.evaluate`: scores of the averaged weights, which change no bit of the training."""

import json

import pytest
import torch

from nanogen_core import ConfigError, Pipeline, build_pipeline
from nanogen_eval import evaluate_pipeline
from nanogen_eval.sources.sampled import identity
from nanogen_files import storage
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Interrupted, Run

METRIC = "openmoji-accuracy"


@pytest.fixture
def evaluated(small):
    small["train"].update(sample_every=3, evaluate={"every": 2, "metrics": [METRIC], "count": 8})
    return small


def run(config, folder, **options):
    return Run(build_pipeline(config), folder, **options).train()


def lines(folder):
    return [entry for entry in metrics_log.read(folder) if any(name.startswith("score.") for name in entry)]


def test_scores_are_in_the_log_and_in_the_history(evaluated, tmp_path):
    run(evaluated, tmp_path)
    assert [entry["step"] for entry in lines(tmp_path)] == [2, 4, 6]
    history = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [score["about"]["step"] for score in history if score["metric"] == "accuracy"] == [2, 4, 6]
    assert all("seconds" in entry for entry in lines(tmp_path))


def test_the_last_score_is_that_of_the_saved_pipeline(evaluated, tmp_path):
    run(evaluated, tmp_path)

    pipeline = build_and_load(evaluated, tmp_path)
    scores = {score.metric: score.value for score in evaluate_pipeline(pipeline, 8, draws=0)}
    assert lines(tmp_path)[-1]["score.accuracy"] == scores["accuracy"]
    history = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert history[-1]["about"]["weights"] == identity(pipeline)["weights"]


def build_and_load(config, folder):
    pipeline = build_pipeline({**config, "metric": {METRIC: {}}})
    pipeline.backbone.load_state_dict(storage.read_tensors(folder / "backbone.safetensors"))
    return pipeline


def test_the_weights_are_those_without_evaluation(evaluated, tmp_path):
    run(evaluated, tmp_path / "with")
    del evaluated["train"]["evaluate"]
    run(evaluated, tmp_path / "without")
    with_, without = (storage.read_tensors(tmp_path / name / "backbone.safetensors") for name in ("with", "without"))
    assert all(torch.equal(with_[name], without[name]) for name in without)
    losses = [[e["loss"] for e in metrics_log.read(tmp_path / name) if "loss" in e] for name in ("with", "without")]
    assert losses[0] == losses[1]


def test_an_interrupted_evaluation_is_made_after_the_resume(evaluated, tmp_path, monkeypatch):
    """The process dies between the checkpoint of step 3 and the evaluation."""
    evaluated["train"]["evaluate"]["every"] = 3

    def die(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nanogen_train.trainer.evaluation.Evaluations.evaluate", die)
        with pytest.raises((KeyboardInterrupt, Interrupted)):
            run(evaluated, tmp_path)
    assert lines(tmp_path) == []
    run(evaluated, tmp_path, resume=True)
    assert [entry["step"] for entry in lines(tmp_path)] == [3, 6]


def test_a_failing_evaluation_does_not_end_the_run(evaluated, tmp_path, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("no memory")

    monkeypatch.setattr("nanogen_eval.while_training.Samples.scores", fail)
    run(evaluated, tmp_path)
    assert "The evaluation of step 2 failed: RuntimeError: no memory. Training continues." in caplog.text
    assert Pipeline.load(tmp_path)


@pytest.mark.parametrize("last_value", [0.7, 0.9])  # an equal score is not better
@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_pipeline_is_kept_and_marked_as_selected(evaluated, tmp_path, monkeypatch, last_value, sign):
    evaluated["train"]["evaluate"]["best"] = "accuracy"
    values = iter([0.5, 0.9, last_value])

    def scores(self, pipeline, folder, step):
        self.seen = pipeline
        return [Result("accuracy", sign * next(values), sign > 0)]

    monkeypatch.setattr("nanogen_eval.while_training.Samples.scores", scores)
    run(evaluated, tmp_path)
    selection = storage.read_json(tmp_path / "best" / "selection.json")
    assert selection == {"score": "accuracy", "value": sign * 0.9, "step": 4, "candidates": 3}
    best, last = (Pipeline.load(tmp_path / name).backbone.state_dict() for name in ("best", "."))
    assert not all(torch.equal(best[name], last[name]) for name in last)


class Result:
    def __init__(self, metric, value, higher_is_better):
        self.metric, self.value, self.higher_is_better = metric, value, higher_is_better


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"evaluate": {"metrics": ["nope"]}}, "nope"),
        ({"evaluate": {"count": 0}}, "train.evaluate.count"),
        ({"evaluate": {"evry": 3}}, "evry"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_the_first_step(evaluated, tmp_path, over, message):
    evaluated["train"].update(over)
    with pytest.raises(Exception, match=message) as caught:
        run(evaluated, tmp_path)
    assert isinstance(caught.value, ConfigError) or "nope" in str(caught.value)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_stage_without_a_pipeline_to_sample_is_refused(small, tmp_path):
    small["train"]["evaluate"] = {"every": 2}
    pipeline = build_pipeline(
        {
            **small,
            "tokenizer": {"name": "rae", "encoder": "openmoji-classifier", "decoder": {"size": "tiny"}},
            "image_size": 64,
            "backbone": "lightning-dit",
            "stage": {"name": "rae-decoder", "perceptual": "none", "discriminator": "none"},
        }
    )
    with pytest.raises(ConfigError, match="this stage trains no pipeline that can be sampled"):
        Run(pipeline, tmp_path)
