"""The exported folder in diffusers, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import DataError, NanoGenError

BACKBONE = {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1}
SERVE = """
import json, sys
import numpy, torch
torch.set_num_threads(1)
from diffusers import DiffusionPipeline
for line in sys.stdin:
    folder, output, requests = json.loads(line)
    pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True, local_files_only=True)
    options = {"output_type": "raw", "num_inference_steps": 2}
    seeded = pipeline(requests, seed=3, **options).images
    generated = pipeline(requests, generator=torch.Generator().manual_seed(3), **options).images
    assert torch.equal(seeded, generated)
    assert pipeline(requests[:1]).images[0].size == (16, 16)
    numpy.save(output, seeded.numpy())
    print(json.dumps(sorted(name for name, part in pipeline.components.items() if part is not None)), flush=True)
"""
InDiffusers = Callable[..., tuple[np.ndarray, list[str]]]


@pytest.fixture(scope="module")
def in_diffusers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InDiffusers]:
    """Return a function for the samples of an exported folder and the names of its components, in another process."""
    home = tmp_path_factory.mktemp("diffusers")
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", SERVE]
    with (home / "errors").open("w") as errors:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdin is not None
    assert process.stdout is not None

    def run(folder: Path, *requests: str) -> tuple[np.ndarray, list[str]]:
        output = str(home / "samples.npy")
        print(json.dumps([str(folder), output, requests]), file=process.stdin, flush=True)
        line = process.stdout.readline()
        assert line, (home / "errors").read_text(encoding="utf-8")[-3000:]
        return np.load(output), json.loads(line)

    yield run
    process.stdin.close()
    process.wait()


def sampled(pipeline: Pipeline, *requests: str) -> np.ndarray:
    return pipeline.sample(pipeline.task.make_batch(list(requests)), seed=3, steps=2).numpy()


def test_a_run_gives_the_same_pixels(run: Path, tmp_path: Path, in_diffusers: InDiffusers) -> None:
    from nanogen_hub.cli import export

    folder = tmp_path / "exported"
    result = CliRunner().invoke(export, [str(run), "--diffusers", str(folder)])
    assert result.exit_code == 0, result.output
    found, components = in_diffusers(folder, "apple", "dog")
    assert components == ["model"]
    assert np.array_equal(found, sampled(Pipeline.load(run), "apple", "dog"))


def test_a_vae_and_a_text_encoder_are_standard_subfolders(tmp_path: Path, in_diffusers: InDiffusers) -> None:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    blocks = {"block_out_channels": (4, 4), "norm_num_groups": 2, "layers_per_block": 1}
    blocks |= {kind: (f"{name}Block2D",) * 2 for kind, name in _BLOCKS.items()}
    AutoencoderKL(**blocks, latent_channels=4, scaling_factor=0.5, shift_factor=0.1).save_pretrained(tmp_path / "a")
    _text_encoder(tmp_path / "b")
    pipeline = build_pipeline(
        task="t2i",
        image_size=16,
        dataset={"name": "openmoji", "train": 32, "val": 16},
        tokenizer={"name": "vae", "path": str(tmp_path / "a")},
        encoder={"name": "hf-text", "path": str(tmp_path / "b"), "max_length": 8},
        backbone=BACKBONE,
        objective="flow",
        sampler={"name": "euler", "steps": 2},
    )
    with torch.no_grad():  # a new network predicts zero
        for parameter in pipeline.backbone.parameters():
            parameter.normal_(std=0.2)
    expected = sampled(pipeline, "a red apple", "a dog")
    folder = pipeline.to_diffusers(tmp_path / "exported")
    for name in ("a", "b"):
        (tmp_path / name).rename(tmp_path / f"gone-{name}")
    found, components = in_diffusers(folder, "a red apple", "a dog")
    assert components == ["model", "text_encoder", "tokenizer", "vae"]
    assert np.array_equal(found, expected)
    assert AutoencoderKL.from_pretrained(folder, subfolder="vae").config.scaling_factor == 0.5
    assert np.array_equal(sampled(Pipeline.load(folder / "model"), "a red apple", "a dog"), expected)


_BLOCKS = {"down_block_types": "DownEncoder", "up_block_types": "UpDecoder"}


def _text_encoder(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    words = {word: number for number, word in enumerate(["<pad>", "<unk>", "a", "red", "apple", "dog"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    sizes: dict[str, Any] = {"vocab_size": 6, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    Qwen3Model(Qwen3Config(**sizes, num_attention_heads=2, num_key_value_heads=1, head_dim=8)).save_pretrained(folder)


def test_missing_packages_are_listed(run: Path, tmp_path: Path) -> None:
    folder = Pipeline.load(run).to_diffusers(tmp_path / "exported")
    code = (folder / "pipeline.py").read_text(encoding="utf-8")
    assert '"nanogen-hub"' in code
    assert '"nanogen-dit"' in code
    changed = code.replace('"nanogen-dit"', '"nanogen-not-installed"').replace('"nanogen-hub"', '"nanogen-neither"')
    with pytest.raises(ImportError, match=r"Run: pip install nanogen-not-installed nanogen-neither$"):
        exec(changed, {})


def test_what_cannot_be_exported(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pipeline = Pipeline.load(run)
    with pytest.raises(DataError, match=r"is not an empty folder"):
        pipeline.to_diffusers(tmp_path)
    with pytest.raises(NanoGenError, match=r"no backbone"):
        pipeline.with_parts(backbone=None).to_diffusers(tmp_path / "new")
    network = build_pipeline(pipeline.config.as_dict(), backbone=pipeline.backbone)
    with pytest.raises(NanoGenError, match=r"backbone: the Python class LightningDiT"):
        network.to_diffusers(tmp_path / "new")


def test_output_types(run: Path) -> None:
    from nanogen_hub.diffusers_pipeline import NanoGenModel, NanoGenPipeline

    pipeline = NanoGenPipeline(NanoGenModel(Pipeline.load(run)))
    raw = pipeline("apple", output_type="raw").images
    assert torch.equal(pipeline("apple", output_type="pt").images, raw / 2 + 0.5)
    arrays = pipeline("apple", output_type="np", return_dict=False)[0]
    assert np.array_equal(arrays, (raw / 2 + 0.5).permute(0, 2, 3, 1).numpy())
    with pytest.raises(NanoGenError, match=r"output_type must be"):
        pipeline("apple", output_type="jpeg")
    with pytest.raises(NanoGenError, match=r"one torch.Generator"):
        pipeline("apple", generator=[torch.Generator()])
