"""The manifest, the task and the conditioner keep the contracts of the core."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from nanogen_core.tensors import Batch
from nanogen_core.testing import ConditionerContract, PluginContract, TaskContract
from nanogen_imagenet.config import FolderConfig, ImageNetConfig, LabelConfig
from nanogen_imagenet.folder import ImageNetFolder
from nanogen_imagenet.label import Label
from nanogen_imagenet.task import ImageNet

CLASSES = ("apple", "boat", "cat")


@pytest.fixture
def manifest() -> str:
    return "nanogen_imagenet.plugin"


@pytest.fixture
def conditioner() -> Label:
    return Label(LabelConfig(), classes=CLASSES)


@pytest.fixture
def batch() -> Batch:
    return Batch(torch.arange(3), labels=torch.tensor([2, 0, 1]))


@pytest.fixture
def task(tmp_path: Path) -> ImageNet:
    for name in CLASSES:
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(3):
            Image.effect_noise((20 + number, 24), 90).save(tmp_path / "train" / name / f"{number}.png")
    dataset = ImageNetFolder(FolderConfig(root=str(tmp_path)))
    return ImageNet(ImageNetConfig(), image_size=16, dataset=dataset, classes=dataset.classes)


@pytest.fixture
def requests() -> list[str | int]:
    return ["cat", 0]


class TestPlugin(PluginContract):
    pass


class TestLabel(ConditionerContract):
    pass


class TestImageNet(TaskContract):
    pass
