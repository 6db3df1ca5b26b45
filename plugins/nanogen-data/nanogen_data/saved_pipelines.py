"""Saved pipelines that a component reads, such as the teacher of a distillation."""

from __future__ import annotations

from pathlib import Path

from nanogen_core.config import CONFIG
from nanogen_core.eval_mode import modules_of
from nanogen_core.pipeline import FACTS, LEARNING, WEIGHTS, Pipeline
from nanogen_files import storage


def saved_files(folder: Path) -> list[Path]:
    """Return the files of the saved pipeline in a folder, without other files of a run. Empty without a pipeline.

    Weights of a part that an earlier pipeline in the folder had and this one lacks are not among them.
    """
    if not (folder / FACTS).is_file() or not (folder / CONFIG).is_file():
        return []
    facts = storage.read_json(folder / FACTS)
    parts = facts.get("trained", LEARNING) if isinstance(facts, dict) else LEARNING
    names = (CONFIG, FACTS, *(WEIGHTS.format(part) for part in parts))
    return [folder / name for name in names if (folder / name).is_file()]


def load_frozen(folder: str | Path) -> Pipeline:
    """Load a saved pipeline or run as a frozen teacher: in evaluation mode, without gradients for its weights.

    If an option of a component names the folder, the teacher's files enter the component's fingerprint
    (`nanogen_data.contents`). The component must not register the teacher's parts as its own submodules, because
    submodules are saved with the component and follow its `train()` mode.
    """
    pipeline = Pipeline.load(folder)
    for part in (pipeline.backbone, pipeline.conditioner, pipeline.objective, pipeline.tokenizer):
        for module in modules_of(part):
            module.eval().requires_grad_(False)
    return pipeline
