"""Precomputed latents are what was written, or they are refused: every flipped bit, and every number that is none."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from precomputed_data import config, on_latents, picture, resolved

from nanogen_core.errors import DataError
from nanogen_data.precomputed import latents as reading
from nanogen_data.precomputed import manifest, shards, training
from nanogen_data.precomputed.encoding import Encoder
from nanogen_data.precomputed.latents import Latents
from nanogen_data.precomputed.prepare import Options, prepare
from nanogen_files import hashing

SMALL = Options(shard_size=5, batch_size=4)


@pytest.fixture
def latents_folder(folders: Path, tmp_path: Path) -> Path:
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    return tmp_path / "latents"


def open_latents(folder: Path) -> Latents:
    return Latents(folder, manifest.read(folder))


def flipped(file: Path, place: int, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << bit
    file.write_bytes(bytes(content))


def test_every_flipped_bit_of_a_shard_is_refused_wherever_it_lies(latents_folder: Path) -> None:
    """150 places in headers, names, numbers and padding of the tar, and every byte of its index."""
    chance = random.Random(0)
    tar, index = latents_folder / "shard-00001.tar", latents_folder / "shard-00001.index"
    places = [(tar, chance.randrange(tar.stat().st_size)) for _ in range(150)]
    places += [(index, place) for place in range(index.stat().st_size)]
    for file, place in places:
        whole, bit = file.read_bytes(), chance.randrange(8)
        flipped(file, place, bit)
        with pytest.raises(DataError, match=rf"{file.name} is corrupt \(its SHA-256 differs from the manifest\)"):
            open_latents(latents_folder)[5]
        file.write_bytes(whole)
    assert open_latents(latents_folder)[5].latents is not None


def test_other_shards_of_a_damaged_folder_are_read(latents_folder: Path) -> None:
    flipped(latents_folder / "shard-00001.tar", 2000, 0)
    assert open_latents(latents_folder)[0].latents is not None


def test_a_shard_is_hashed_once_at_first_use(latents_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr(reading, "file_hash", lambda file: hashed.append(file.name) or hashing.file_hash(file))
    examples = open_latents(latents_folder)
    assert hashed == []
    for index in (7, 5, 6, 7):
        assert examples[index].latents is not None
    assert hashed == ["shard-00001.tar", "shard-00001.index"]


def test_every_flipped_bit_of_the_manifest_is_refused(latents_folder: Path) -> None:
    file, chance = latents_folder / "manifest.json", random.Random(0)
    whole, values = file.read_bytes(), manifest.read(latents_folder)
    for _ in range(200):
        flipped(file, chance.randrange(len(whole)), chance.randrange(8))
        with suppress(DataError):  # or it was white space between two values
            assert manifest.read(latents_folder) == values
        file.write_bytes(whole)


def test_a_training_on_a_damaged_shard_ends_with_the_sentence(latents_folder: Path, folders: Path) -> None:
    flipped(latents_folder / "shard-00002.tar", 3000, 4)
    pipeline = on_latents(latents_folder, "imagenet", folders)
    with pytest.raises(
        DataError, match=r"shard-00002\.tar is corrupt .* delete shard-00002\.tar, .* and shard-00002\.json, and"
    ):
        for _, _ in zip(range(4), training.batches(latents_folder, pipeline.parts, 6), strict=False):
            pass


def test_what_the_sentence_says_repairs_it(latents_folder: Path, folders: Path) -> None:
    whole = (latents_folder / "shard-00001.tar").read_bytes()
    for name in ("shard-00001.tar", "shard-00001.json"):
        (latents_folder / name).unlink()
    prepare(resolved("imagenet", folders), latents_folder, SMALL)
    assert (latents_folder / "shard-00001.tar").read_bytes() == whole
    assert open_latents(latents_folder)[5].latents is not None


# -- numbers that are none ---------------------------------------------------------------------------------------------


def broken(monkeypatch: pytest.MonkeyPatch, number: float, row: int = 2) -> None:
    """The VAE gives this number for one row of every batch, as one that computes in float16 does."""
    from nanogen_openmoji.tokenizer import OpenMojiVAE

    encode = OpenMojiVAE.encode

    def encoded(self: Any, images: torch.Tensor) -> torch.Tensor:
        latents = encode(self, images).clone()
        latents[min(row, len(latents) - 1), 0, 0, 0] = number
        return latents

    monkeypatch.setattr(OpenMojiVAE, "encode", encoded)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_are_refused_with_the_likely_cause(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: float
) -> None:
    broken(monkeypatch, number)
    with pytest.raises(
        DataError, match=r"The latents of example 2 contain NaN or infinite.*`tokenizer.dtype`.*bfloat16\)\.$"
    ):
        prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    assert not list((tmp_path / "latents").glob("shard-*"))
    assert not manifest.read(tmp_path / "latents").complete


def test_the_command_does_not_say_prepared(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nanogen_data.cli.prepare import prepare as command

    broken(monkeypatch, float("nan"))
    (tmp_path / "run.yaml").write_text(json.dumps(config("imagenet", folders)))
    words = [str(folders), str(tmp_path / "latents"), "--config", str(tmp_path / "run.yaml"), "--workers", "1"]
    ran = CliRunner().invoke(command, words)
    assert isinstance(ran.exception, DataError)
    assert "Prepared" not in ran.output


def test_latents_that_half_precision_cannot_hold_are_refused(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, 1e6)
    with pytest.raises(DataError, match=r"too large for float16 \(change --dtype\)"):
        prepare(resolved("imagenet", folders), tmp_path / "half", Options(dtype="float16"))
    prepare(resolved("imagenet", folders), tmp_path / "full", Options(dtype="bfloat16"))


def test_token_states_that_are_not_finite_are_refused(
    tars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nanogen_t2i.encoder import HFText

    encode = HFText.encode

    def encoded(self: Any, texts: Any, length: int) -> Any:
        condition = encode(self, texts, length)
        condition.tokens[-1, 0, 0] = float("nan")
        return condition

    monkeypatch.setattr(HFText, "encode", encoded)
    with pytest.raises(DataError, match=r"The token states of example 3 contain NaN or infinite.*`encoder.dtype`"):
        prepare(resolved("t2i", tars, conditioner={"name": "text", "cache_size": 0}), tmp_path / "latents", SMALL)


def test_numbers_that_an_older_version_wrote_are_refused_when_they_are_read(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        broken(patch, float("nan"))
        patch.setattr(Encoder, "_refuse_nonfinite", lambda *arguments: None)
        prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    examples = open_latents(tmp_path / "latents")
    assert examples[1].latents is not None
    with pytest.raises(DataError, match=r"shard-00000\.tar contains NaN or infinite values \(example 2\)"):
        examples[2]


# -- many shards, few files --------------------------------------------------------------------------------------------

READ_ALL = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from nanogen_data.precomputed import manifest
from nanogen_data.precomputed.latents import Latents
folder = Path(sys.argv[1])
latents = Latents(folder, manifest.read(folder))
print(sum(latents[i].latents is not None for i in [*range(200), *range(199, -1, -1)]))
"""


def test_two_hundred_shards_are_read_with_sixty_four_files(tmp_path: Path) -> None:
    for split, count in (("train", 200), ("val", 1)):
        (tmp_path / "many" / split / "n01").mkdir(parents=True)
        for number in range(count):
            picture(number).save(tmp_path / "many" / split / "n01" / f"{number}.png")
    prepare(resolved("imagenet", tmp_path / "many"), tmp_path / "latents", Options(shard_size=1, batch_size=32))
    ran = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path / "latents")], capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == "400", ran.stderr


def test_a_record_without_a_reason_is_named_once(tmp_path: Path) -> None:
    shard = shards.Shard(tmp_path, 0)
    shard.record.write_text(json.dumps({"skipped": []}))
    with pytest.raises(DataError) as caught:
        reading._skipped(shard, 3)
    files = (shard.tar.name, shard.index.name, shard.record.name)
    assert "Or delete {}, {} and {}, and run".format(*files) in str(caught.value)
