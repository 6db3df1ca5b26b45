"""Export of a pipeline as a folder of diffusers.

```
model_index.json    components, and the class in pipeline.py
pipeline.py         imports the class, or says which packages are missing
model/              the saved pipeline of NanoGen, with its frozen local models
vae/, text_encoder/, tokenizer/    frozen models of diffusers and transformers in their own formats
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nanogen_core.config import CONFIG
from nanogen_core.errors import NanoGenError
from nanogen_core.pipeline import Pipeline
from nanogen_files import hub, storage, yaml_files
from nanogen_hub.contents import distributions, not_installable
from nanogen_hub.frozen import public
from nanogen_hub.new_folder import new_content

MODEL = "model"  # component with the saved pipeline
PIPELINE_CLASS, MODEL_CLASS = "NanoGenPipeline", "NanoGenModel"  # in nanogen_hub.diffusers_pipeline
HOLDERS = ("tokenizer", "encoder")  # kinds that may have models of diffusers or transformers

CODE = '''"""Loads {name} for diffusers. Needs the packages of NanoGen in PACKAGES."""

from importlib.metadata import PackageNotFoundError, version

PACKAGES = {packages}


def missing():
    """Return the packages that are not installed."""
    found = []
    for name in PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            found.append(name)
    return found


if missing():
    raise ImportError("This model needs packages of NanoGen that are missing. Run: pip install " + " ".join(missing()))
try:
    from nanogen_hub.diffusers_pipeline import {name}
except ImportError as error:
    raise ImportError(f"NanoGen cannot be imported ({{error}}). Run: pip install " + " ".join(PACKAGES)) from error
'''


@runtime_checkable
class HasLibraryModels(Protocol):
    """A tokenizer or encoder that uses models of diffusers or transformers."""

    def library_models(self) -> Mapping[str, Any]:
        """Return the loaded models by their folder in a diffusers pipeline, such as "vae"."""

    def set_library_models(self, models: Mapping[str, Any]) -> None:
        """Use models that were loaded elsewhere, named as in `library_models`."""


def to_diffusers(pipeline: Pipeline, folder: str | Path) -> Path:
    """Write a folder for `DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)`. Returns the folder.

    The exported pipeline generates the same images as `pipeline.sample` with the same seed. Loading needs the packages
    of NanoGen. If writing fails, the folder stays missing or empty, so that it can be written again.

    Raises:
        DataError: The folder is not empty, or a frozen model cannot be copied.
        NanoGenError: The pipeline has no backbone, or a component that no installed distribution provides.
    """
    folder = Path(folder)
    if pipeline.backbone is None:
        raise NanoGenError("This pipeline has no backbone, so it generates no images: export one with a backbone.")
    if outside := not_installable(pipeline.config):
        raise NanoGenError(
            f"diffusers cannot load this pipeline: no installed distribution provides the parts {', '.join(outside)}."
            " Put them into an installable package."
        )
    with new_content(folder) as place:
        _write(pipeline, place)
    return folder


def _write(pipeline: Pipeline, folder: Path) -> None:
    """Write the pipeline into a folder."""
    config = pipeline.config.as_dict()
    index: dict[str, list[str]] = {}
    for kind in HOLDERS:
        models = _models(pipeline, kind)
        for name, model in models.items():
            model.save_pretrained(folder / name)
            index[name] = [type(model).__module__.partition(".")[0], type(model).__name__]
        if models:
            config[kind]["path"] = f"{hub.FOLDER}/../{next(iter(models))}"
            config[kind].pop("subfolder", None)
    found = public(config, folder / MODEL, include=True)
    pipeline.save(folder / MODEL)
    storage.write_text(folder / MODEL / CONFIG, yaml_files.dump(found.config))
    _write_code(folder, pipeline, index)


def _models(pipeline: Pipeline, kind: str) -> Mapping[str, Any]:
    part = pipeline.parts[kind] if kind in pipeline.config.slots else None
    return part.library_models() if isinstance(part, HasLibraryModels) else {}


def _write_code(folder: Path, pipeline: Pipeline, index: Mapping[str, Any]) -> None:
    packages = [*distributions(pipeline.config), "nanogen-hub"]
    for place, name in {folder / "pipeline.py": PIPELINE_CLASS, folder / MODEL / "modeling.py": MODEL_CLASS}.items():
        storage.write_text(place, CODE.format(name=name, packages=json.dumps(packages)))
    content = {
        "_class_name": ["pipeline", PIPELINE_CLASS],
        "_diffusers_version": version("diffusers"),
        MODEL: ["modeling", MODEL_CLASS],
        **index,
    }
    storage.write_json(folder / "model_index.json", content)
