"""Folders of finished runs of an experiment, without training."""

import json

from nanogen_bench.mini import folders
from nanogen_eval.record import write_scores
from nanogen_eval.score import Score
from nanogen_files import storage, yaml_files

STEP = {"step": 4, "loss": 0.5, "images_per_second": 9.0, "seconds": 2.0}


def score(metric, value):
    return Score(metric=metric, value=value, higher_is_better=True, n=8, component="judge", values=(value,), seeds=(0,))


def write_finished(job, value):
    """Write the folder of a finished run, whose score is `value`: `accuracy` of ImageNet, `presence` of t2i."""
    folders.claim(job.folder, job.training)
    metric = "accuracy" if job.task == "imagenet" else "presence"
    config = {"task": {"name": job.task}, "method": "vae", "seed": job.seed, "tokenizer": {"name": "openmoji-vae"}}
    config["train"] = {"steps": 4, "batch_size": 8}
    (job.folder / "config.yaml").write_text(yaml_files.dump(config))
    (job.folder / "log.jsonl").write_text("".join(json.dumps({**STEP, "step": n}) + "\n" for n in (1, 2, 3, 4)))
    storage.write_json(job.folder / "run.json", {"format": 1, "data": {}, "machine": {}, "changes": []})
    (job.folder / "backbone.safetensors").write_bytes(b"")
    write_scores(job.folder, [score(metric, value)])
    folders.write_result(job.folder, {"request": job.request, "scores": {metric: value}, "steps": 4, "seconds": 2.0})
