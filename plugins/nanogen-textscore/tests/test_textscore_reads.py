"""Judges say what they read: weights, configuration, vocabulary, and the benchmarks' own files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanogen_data.testing import FilesContract
from nanogen_textscore.clip import Clip
from nanogen_textscore.config import BlipVQAConfig, ClipT5Config, Mask2FormerConfig, RecordedAnswersConfig
from nanogen_textscore.dpg.answers import BlipVQA, RecordedAnswers
from nanogen_textscore.geneval.detector import Mask2Former
from nanogen_textscore.vqa.clip_t5 import ClipT5


class OfAModel(FilesContract):
    def test_a_missing_file_is_a_sentence(self, build: Callable[[Path], Any], tmp_path: Path) -> None:
        """A path where there is no folder is a name on the hub."""
        (tmp_path / "nothing").mkdir()
        super().test_a_missing_file_is_a_sentence(build, tmp_path)


class TestClip(OfAModel):
    @pytest.fixture
    def folder(self, clip_folder: Path) -> Path:
        return clip_folder

    @pytest.fixture
    def build(self) -> Any:
        return lambda folder: Clip(str(folder), option="clip")


class TestMask2Former(OfAModel):
    @pytest.fixture
    def folder(self, detector_folder: Path) -> Path:
        return detector_folder

    @pytest.fixture
    def build(self) -> Any:
        return lambda folder: Mask2Former(Mask2FormerConfig(path=str(folder)))


class TestBlip(OfAModel):
    @pytest.fixture
    def folder(self, blip_folder: Path) -> Path:
        return blip_folder

    @pytest.fixture
    def build(self) -> Any:
        return lambda folder: BlipVQA(BlipVQAConfig(path=str(folder)))


class TestClipT5(OfAModel):
    """A checkpoint, a tokenizer and a tower without weights of its own, in three folders."""

    @pytest.fixture
    def folder(self, tmp_path: Path, t5_tokenizer_folder: Path, clip_folder: Path) -> Path:
        import shutil

        import torch

        from nanogen_files import storage

        home = tmp_path / "model"
        shutil.copytree(t5_tokenizer_folder, home / "words")
        shutil.copytree(clip_folder, home / "tower")
        (home / "t5").mkdir()
        (home / "t5" / "config.json").write_text(json.dumps({"mm_vision_tower": "somewhere"}))
        storage.write_tensors(home / "t5" / "model.safetensors", {"lm_head.weight": torch.zeros(2)})
        return home

    @pytest.fixture
    def build(self) -> Any:
        def build(home: Path) -> ClipT5:
            paths = {"path": "t5", "tokenizer": "words", "vision": "tower"}
            return ClipT5(ClipT5Config(**{option: str(home / name) for option, name in paths.items()}))

        return build


class TestRecordedAnswers(FilesContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "answers").mkdir()
        (tmp_path / "answers" / "detail.txt").write_text("a.png, (0, 0, 8, 8), ?, yes\n")
        return tmp_path / "answers"

    @pytest.fixture
    def build(self) -> Any:
        return lambda folder: RecordedAnswers(RecordedAnswersConfig(file=str(folder / "detail.txt"), model="mPLUG"))
