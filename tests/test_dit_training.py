"""The backbone `dit` trains, resumes and samples on both tasks, with flow matching, MeanFlow and REPA."""

import pytest
import torch

from nanogen_core import Pipeline, build_pipeline
from nanogen_train.trainer.loop import Run

DIT = {"name": "dit", "hidden": 16, "depth": 2, "heads": 2}


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
@pytest.mark.parametrize("objective", ["flow", "meanflow"])
def test_it_trains_and_samples(task, objective, small, tmp_path):
    config = {**small, "task": task, "backbone": DIT, "objective": objective}
    pipeline = build_pipeline(config)
    before = {name: p.clone() for name, p in pipeline.backbone.named_parameters()}
    Run(pipeline, tmp_path).train()
    changed = {name for name, p in pipeline.backbone.named_parameters() if not torch.equal(p, before[name])}
    assert {"head.readout.weight", "head.modulation.bias"} <= changed
    loaded = Pipeline.load(tmp_path)
    request = 3 if task == "imagenet" else "a red apple"
    images = loaded.generate([request, request], seed=1, tensors=True)
    assert images.shape == (2, 3, 16, 16)
    assert images.isfinite().all()


def test_all_of_it_learns(small, tmp_path):
    """adaLN and head start at zero, so that the first step moves the head alone and the second one the rest."""
    config = {**small, "backbone": DIT, "train": {**small["train"], "steps": 4}}
    pipeline = build_pipeline(config)
    before = {name: p.clone() for name, p in pipeline.backbone.named_parameters()}
    Run(pipeline, tmp_path).train()
    same = [name for name, p in pipeline.backbone.named_parameters() if torch.equal(p, before[name])]
    assert same == []
