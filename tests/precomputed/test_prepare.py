"""Preparing: formats, kills, two at once, full disks; and shards that others can read."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tarfile
import time
from hashlib import sha256
from pathlib import Path

import pyarrow
import pytest
import torch
import webdataset
from click.testing import CliRunner
from filelock import FileLock
from precomputed_data import config, png, resolved
from precomputed_workers import complaining, dying, noting
from safetensors.torch import load

from nanogen_core.errors import ConfigError, DataError
from nanogen_data.cli.data import data
from nanogen_data.cli.prepare import _default_workers
from nanogen_data.precomputed import encoding, manifest, workers
from nanogen_data.precomputed.prepare import Options, claim, prepare, prepare_part
from nanogen_data.precomputed.sources import with_source
from nanogen_data.streams import refuse_stream
from nanogen_files import yaml_files
from nanogen_files.folder_lock import LOCK_FILES

SMALL = Options(shard_size=5, batch_size=4)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name not in LOCK_FILES}


def written(tmp_path: Path, *args: object, **over: object) -> str:
    (tmp_path / "config.yaml").write_text(yaml_files.dump(config(*args, **over)))  # type: ignore[arg-type]
    return str(tmp_path / "config.yaml")


def test_shards_are_plain_tars_of_safetensors_with_hashes(folders: Path, tmp_path: Path) -> None:
    found = prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    assert [shard["examples"] for shard in found.shards] == [5, 5, 5, 3]
    assert (found.examples, found.variants, found.classes) == (18, 2, ["n01", "n02", "n03"])
    for number, shard in enumerate(found.shards):
        tar = tmp_path / "latents" / f"shard-{number:05d}.tar"
        assert shard["tar"] == sha256(tar.read_bytes()).hexdigest()
        assert shard["index"] == sha256(tar.with_suffix(".index").read_bytes()).hexdigest()
        with tarfile.open(tar) as open_latents:
            names = open_latents.getnames()
            tensors = load(open_latents.extractfile(names[0]).read())  # type: ignore[union-attr]
        assert names == [f"{5 * number + place:09d}.safetensors" for place in range(shard["examples"])]
        assert tensors["latents"].shape == (2, 8, 2, 2)
    reader = webdataset.WebDataset(str(tmp_path / "latents/shard-00000.tar"), shardshuffle=False)
    assert [sample["__key__"] for sample in reader] == [f"{number:09d}" for number in range(5)]


def test_the_number_of_processes_changes_no_byte(folders: Path, tmp_path: Path) -> None:
    for count in (1, 2):
        prepare(resolved("imagenet", folders), tmp_path / str(count), Options(shard_size=5, workers=count))
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_second_call_finds_everything_done(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    before = contents(tmp_path / "latents")
    monkeypatch.setattr(workers, "run", None)
    assert prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL) == first
    assert contents(tmp_path / "latents") == before


@pytest.mark.parametrize("suffix", [".tar", ".index", ".json"])
@pytest.mark.parametrize("kept", [None, 0, 7])
def test_a_missing_or_cut_file_is_written_again(suffix: str, kept: int | None, folders: Path, tmp_path: Path) -> None:
    first = prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    before = contents(tmp_path / "latents")
    file = tmp_path / "latents" / f"shard-00001{suffix}"
    file.write_bytes(file.read_bytes()[:kept])
    if kept is None:
        file.unlink()
    assert prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL) == first
    assert contents(tmp_path / "latents") == before


def test_the_progress_of_each_job_ends_with_all_its_examples(folders: Path, tmp_path: Path) -> None:
    chosen = resolved("imagenet", folders)
    reported: list[tuple[int, int]] = []
    claim(chosen, tmp_path / "latents", SMALL)
    for part in range(2):
        prepare_part(
            chosen.as_dict(), tmp_path / "latents", SMALL, part, 2, lambda done, total: reported.append((done, total))
        )
    assert reported == [(5, 10), (10, 10), (5, 8), (8, 8)]  # shards of 5, 5, 5 and 3 examples
    prepare(chosen, tmp_path / "latents", SMALL, lambda done, total: reported.append((done, total)))
    assert len(reported) == 4  # nothing was left to do


OVER = {"dataset": {"name": "openmoji", "train": 120, "val": 2}, "image_size": 32}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads
def test_killed_at_any_moment_and_called_again_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    generator = random.Random(0)
    options = Options(shard_size=1, batch_size=1)
    kills = 0
    while not kills or not manifest.read(tmp_path / "killed").complete:
        child = os.fork()
        if not child:
            prepare(resolved("imagenet", ".", **OVER), tmp_path / "killed", options)
            os._exit(0)
        done = len(list((tmp_path / "killed").glob("shard*.json"))) + generator.randrange(1, 12)
        wait_until(lambda: len(list((tmp_path / "killed").glob("shard*.json"))) >= min(done, 120))  # noqa: B023
        time.sleep(generator.random() / 100)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        if kills > 20:
            prepare(resolved("imagenet", ".", **OVER), tmp_path / "killed", options)
    assert kills > 10
    prepare(resolved("imagenet", ".", **OVER), tmp_path / "whole", options)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the processes are looked up in /proc")
def test_workers_end_with_a_killed_command_and_another_call_goes_on(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "nanogen_core", "data", "prepare", "openmoji", str(tmp_path / "killed")]
    call += ["--config", written(tmp_path, "imagenet", ".", **OVER), "--shard-size", "1", "--workers", "2"]
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list((tmp_path / "killed").glob("shard*.json"))) > 3)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(Path(f"/proc/{child}/maps").exists() for child in children))
    assert not manifest.read(tmp_path / "killed").complete
    for name in ("killed", "whole"):
        prepare(resolved("imagenet", ".", **OVER), tmp_path / name, Options(shard_size=1))
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def wait_until(true: object, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_at_once_are_refused(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "latents").mkdir()
    with (
        FileLock(tmp_path / "latents/.lock"),
        pytest.raises(DataError, match=r"Another process is preparing latents in .*latents: wait for it, or choose"),
    ):
        prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)


def test_a_full_disk_says_so_and_leaves_what_is_done(folders: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))
    try:
        with pytest.raises(DataError, match=r"latents cannot be written \(File too large\). Free some space or raise"):
            prepare(resolved("imagenet", folders), tmp_path / "latents", Options(shard_size=18))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "latents").glob("shard-*"))
    for name in ("latents", "whole"):
        prepare(resolved("imagenet", folders), tmp_path / name, Options(shard_size=18))
    assert contents(tmp_path / "latents") == contents(tmp_path / "whole")


@pytest.mark.parametrize(("gpus", "indices"), [(0, [None] * 4), (2, [0, 1, 0, 1])])
def test_workers_take_the_gpus_in_turn(gpus: int, indices: list[int | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert [encoding.device(worker).index for worker in range(4)] == indices
    assert _default_workers() == (gpus or len(os.sched_getaffinity(0)))


def test_a_worker_is_told_its_index(tmp_path: Path) -> None:
    for count in (1, 2):
        numbers = list(workers.run(range(4), noting, {"folder": tmp_path}, count))
        assert sorted(numbers) == [0, 1, 2, 3]
        assert [(tmp_path / str(number)).read_text() for number in range(4)] == [str(n % count) for n in range(4)]


def test_a_worker_that_dies_ends_it_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"A worker process ended with exit code -9, probably because memory ran out"):
        list(workers.run([0, 1, 2], dying, {}, 2))


def test_a_mistake_in_a_worker_is_the_same_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^The shard 0 is odd\.$"):
        list(workers.run([0, 1, 2], complaining, {}, 2))


# -- what lies there already ------------------------------------------------------------------------------------------


def test_another_configuration_is_refused_by_naming_both(folders: Path, tmp_path: Path) -> None:
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    for options, words in [
        (Options(shard_size=6, batch_size=4), "shard_size was 5 and is now 6"),
        (Options(shard_size=5, batch_size=4, dtype="float16"), "dtype was 'float32' and is now 'float16'"),
    ]:
        with pytest.raises(DataError, match=words):
            prepare(resolved("imagenet", folders), tmp_path / "latents", options)
    with pytest.raises(DataError, match="image_size was 16 and is now 8"):
        prepare(resolved("imagenet", folders, image_size=8), tmp_path / "latents", SMALL)


def test_a_folder_with_something_else_is_refused(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"folders is not empty \(it contains train\)"):
        prepare(resolved("imagenet", folders), folders, SMALL)


def test_too_many_corrupt_samples_stop_it(folders: Path, tmp_path: Path) -> None:
    (folders / "train/n01/0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 18 \(1 empty file\); the limit is 1\.00%"):
        prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)


# -- the command ------------------------------------------------------------------------------------------------------


def test_folders_tars_and_patterns_are_recognised(folders: Path, tars: Path) -> None:
    classes, texts = config("imagenet", "elsewhere"), config("t2i", "elsewhere")
    assert with_source(classes, str(folders)).slots["dataset"].config.root == str(folders)
    for source in (tars, tars / "train", tars / "train" / "{0..1}.tar", tars / "train" / "*.tar"):
        assert with_source(texts, str(source)).slots["dataset"].name == "webdataset"
    assert with_source({**texts, "dataset": "openmoji"}, str(tars)).slots["dataset"].name == "webdataset"
    assert with_source(texts, "openmoji").slots["dataset"].name == "openmoji"


def test_the_advice_for_a_stream_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError) as refused:
        refuse_stream(iter([1]))
    (saved,) = re.findall(r"save_to_disk\('(.*?)'\)", str(refused.value))
    (command,) = re.findall(r"`nanogen data (.*?)`", str(refused.value))
    monkeypatch.chdir(tmp_path)
    save_to_disk(Path(saved), [png(number) for number in range(4)])
    words = [written(tmp_path, "imagenet", "") if word == "CONFIG" else word for word in command.split()]
    ran = CliRunner().invoke(data, [*words, "--workers", "1"], catch_exceptions=False)
    assert "Prepared 4 of 4 examples" in ran.output


def save_to_disk(folder: Path, images: list[bytes]) -> None:
    """As `datasets` writes a dataset with one class."""
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["a"]}}
    rows = pyarrow.table({"image": [{"bytes": one, "path": None} for one in images], "label": [0] * len(images)})
    rows = rows.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    folder.mkdir(parents=True)
    with pyarrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", rows.schema) as stream:
        stream.write_table(rows)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))


def test_other_options_of_the_dataset_stay(tars: Path) -> None:
    raw = config("t2i", "elsewhere", dataset={"name": "webdataset", "root": "elsewhere", "max_corrupt": 0.25})
    assert with_source(raw, str(tars)).slots["dataset"].config.max_corrupt == 0.25


def test_an_unknown_format_says_what_can_be_read(folders: Path, tars: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"tars has a format that no installed dataset for this task reads.*imagenet-folder: "
    ):
        with_source(config("imagenet", "elsewhere"), str(tars))
    with pytest.raises(DataError, match=r"folders has a format that no installed .* webdataset: webdataset tars"):
        with_source(config("t2i", "elsewhere"), str(folders))
    with pytest.raises(DataError, match=r"openmojy does not exist\. Did you mean 'openmoji'\?"):
        with_source(config("t2i", "elsewhere"), "openmojy")


def test_the_command_says_what_it_did(folders: Path, tmp_path: Path) -> None:
    (folders / "train/n01/0.png").write_bytes(b"")
    settings = config("imagenet", folders, dataset={"name": "imagenet-folder", "max_corrupt": 0.1})
    (tmp_path / "config.yaml").write_text(yaml_files.dump(settings))
    call = ["prepare", str(folders), str(tmp_path / "latents"), "--config", str(tmp_path / "config.yaml")]
    ran = CliRunner().invoke(data, [*call, "--workers", "1", "--set", "image_size=8"], catch_exceptions=False)
    assert ran.exit_code == 0
    assert "Prepared 17 of 18 examples in 1 shard.\nSkipped 1: empty file.\n" in ran.stdout
    assert f"--set train.precomputed_latents={tmp_path / 'latents'}" in ran.stdout
    assert manifest.read(tmp_path / "latents").identity["latent"] == [8, 1, 1]


def test_a_task_that_does_not_say_how_it_reads_is_refused(tmp_path: Path) -> None:
    from nanogen_core.assembly import Assembly
    from nanogen_core.errors import NanoGenError
    from nanogen_data.precomputed.prepare import reading_of

    parts = Assembly(resolved("imagenet", tmp_path), {"task": object()})
    with pytest.raises(NanoGenError, match="'imagenet' cannot be precomputed: the task has no method `reading`"):
        reading_of(parts)


def test_a_wrong_setting_is_found_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.max_corrupt"):
        resolved("imagenet", tmp_path, dataset={"name": "imagenet-folder", "max_corrupt": 1.5})


def test_threads_are_as_many_as_before(folders: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    assert torch.get_num_threads() == before
