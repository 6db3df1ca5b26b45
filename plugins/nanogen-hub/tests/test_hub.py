"""Upload and download with the real client of huggingface_hub, against a stand-in of its server."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from attrs import evolve
from click.testing import CliRunner
from huggingface_hub import ModelCard, constants

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import DataError, NanoGenError
from nanogen_data import contents
from nanogen_eval.record import read_scores, write_scores
from nanogen_files import hub as hub_files
from nanogen_hub.frozen import public

NAME = "me/small"


@pytest.fixture
def pushed(hub: Any, run: Path) -> Any:
    Pipeline.load(run).push_to_hub(NAME, run=run, licence="mit")
    return hub


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server listens at the address of the hub."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")


def samples(pipeline: Pipeline) -> torch.Tensor:
    found = pipeline.generate(["apple", "dog"], seed=3, tensors=True)
    assert isinstance(found, torch.Tensor)
    return found


def test_a_pushed_pipeline_generates_the_same_pixels(pushed: Any, run: Path) -> None:
    assert torch.equal(samples(Pipeline.from_pretrained(NAME)), samples(Pipeline.load(run)))
    assert torch.equal(samples(Pipeline.load(f"hf://{NAME}@main")), samples(Pipeline.load(run)))


def test_only_the_pipeline_card_sheet_and_scores_are_uploaded(pushed: Any) -> None:
    assert set(pushed.repos[NAME]["main"]) == {
        "README.md", "backbone.safetensors", "config.yaml", "pipeline.json", "samples.png", "scores.json",
    }  # fmt: skip


def test_only_data_files_are_downloaded(pushed: Any) -> None:
    files = pushed.repos[NAME]["main"]
    files.update({"pipeline.py": b"raise SystemExit", "weights.bin": b"\x80", "a.pkl": b"\x80", "deep/x.pt": b"\x80"})
    folder = hub_files.pipeline_folder(NAME)
    found = {file.name for file in folder.rglob("*") if file.is_file()}
    assert found == {"backbone.safetensors", "config.yaml", "pipeline.json", "scores.json"}


def test_the_scores_are_those_of_the_run_without_its_path(pushed: Any, run: Path, tmp_path: Path) -> None:
    files = pushed.repos[NAME]["main"]
    assert str(run.parent) in (run / "scores.json").read_text(encoding="utf-8")
    assert not any(str(run.parent).encode() in content for content in files.values())
    (tmp_path / "scores.json").write_bytes(files["scores.json"])
    found, expected = read_scores(tmp_path), read_scores(run)
    assert [(s.metric, s.value, s.interval, s.fingerprint) for s in found] == [
        (s.metric, s.value, s.interval, s.fingerprint) for s in expected
    ]


def test_the_card_has_what_the_run_recorded(pushed: Any, run: Path) -> None:
    card = ModelCard(pushed.repos[NAME]["main"]["README.md"].decode())
    score = json.loads((run / "scores.json").read_text())["scores"][0]
    data = card.data.to_dict()
    assert (data["license"], data["library_name"]) == ("mit", "nanogen")
    assert data["model-index"][0]["results"][0]["metrics"] == [
        {"type": score["metric"], "value": score["value"], "name": score["metric"]}
    ]
    assert f"`{score['fingerprint']}`" in card.text
    low, high = score["interval"]["low"], score["interval"]["high"]
    assert f"[{low:.6g}, {high:.6g}] at 95%" in card.text
    for row in ("| training examples | 32 |", "| optimizer steps | 4 |", "| samples seen | 32 |", "| classes | 64 |"):
        assert row in card.text
    assert "| weights of this repository | mit |" in card.text
    assert "| dataset openmoji | CC BY-SA 4.0 |" in card.text
    written = card.text.partition("```yaml")[2].partition("```")[0]
    assert yaml.safe_load(written) == yaml.safe_load((run / "config.yaml").read_text())


def test_the_three_lines_of_the_card_run(pushed: Any) -> None:
    card = pushed.repos[NAME]["main"]["README.md"].decode()
    code = card.partition("```python\n")[2].partition("```")[0]
    assert len(code.splitlines()) == 3
    names: dict[str, Any] = {}
    exec(code, names)
    assert [image.size for image in names["images"]] == [(16, 16)]


def test_what_is_unknown_is_said(run: Path, tmp_path: Path) -> None:
    Pipeline.load(run).push_to_hub(NAME, dry_run=tmp_path / "files")
    card = (tmp_path / "files" / "README.md").read_text(encoding="utf-8")
    assert "license" not in card.partition("\n---\n")[0]
    assert "| weights of this repository | not stated |" in card
    assert "There are no scores: no run was given." in card
    assert "| optimizer steps | not known |" in card
    assert "| training examples | not known |" in card
    assert not (tmp_path / "files" / "scores.json").exists()


def test_a_score_of_fewer_images_is_not_listed_again(run: Path, tmp_path: Path) -> None:
    """The larger of two scores with equal settings is listed. One with other sampling steps is, and says so."""
    copy = shutil.copytree(run, tmp_path / "run")
    [known] = read_scores(copy)
    other = {**known.settings, "sampling": {**known.settings["sampling"], "steps": 9}}
    write_scores(
        copy, [evolve(known, n=8, settings={**known.settings, "requests": "0"}), evolve(known, settings=other)]
    )
    Pipeline.load(copy).push_to_hub(NAME, run=copy, dry_run=tmp_path / "files")
    card = ModelCard.load(tmp_path / "files" / "README.md")
    names = [result.metric_name for result in card.data.eval_results]
    assert sorted(names) == ["accuracy (steps 2)", "accuracy (steps 9)"]
    assert [card.text.count(f"| {name} ↑ |") for name in names] == [1, 1]
    assert card.text.count("| accuracy") == 2
    assert "- Scores of fewer images with otherwise equal settings: 1." in card.text
    assert len(read_scores(tmp_path / "files")) == 3


def test_scores_of_other_weights_are_left_out(run: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.load(run)
    with torch.no_grad():
        next(pipeline.backbone.parameters()).add_(1)
    pipeline.push_to_hub(NAME, run=run, dry_run=tmp_path / "files")
    card = (tmp_path / "files" / "README.md").read_text(encoding="utf-8")
    assert "There are no scores: the run has none for these weights." in card
    assert "- Scores of the run that belong to other weights: 1." in card
    assert not (tmp_path / "files" / "scores.json").exists()


def test_an_existing_repository_gets_a_new_commit(pushed: Any, run: Path) -> None:
    pushed.repos[NAME]["main"]["other.txt"] = b"kept"
    Pipeline.load(run).push_to_hub(NAME, run=run, licence="apache-2.0")
    assert b"license: apache-2.0" in pushed.repos[NAME]["main"]["README.md"]
    assert pushed.repos[NAME]["main"]["other.txt"] == b"kept"


def test_a_branch_is_a_revision(hub: Any, run: Path) -> None:
    Pipeline.load(run).push_to_hub(NAME, run=run, revision="v1", private=True)
    assert hub.private[NAME]
    assert hub.repos[NAME]["main"] == {}
    assert torch.equal(samples(Pipeline.from_pretrained(NAME, revision="v1")), samples(Pipeline.load(run)))


def test_a_revision_that_does_not_exist(pushed: Any) -> None:
    with pytest.raises(DataError, match=r"me/small has no revision 'v9' on the hub"):
        Pipeline.from_pretrained(NAME, revision="v9")


def test_a_repository_that_does_not_exist(pushed: Any) -> None:
    with pytest.raises(
        DataError, match=r"no folder me/smal, and the hub was tried: me/smal is not on the hub .*private"
    ):
        Pipeline.from_pretrained("me/smal")


@pytest.mark.parametrize("name", ["small", "a/b/c", "a b/c", "../x", "me/", "/me"])
def test_a_wrong_name(hub: Any, run: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"not the name of a model on the hub: write user/name"):
        Pipeline.load(run).push_to_hub(name)
    with pytest.raises(DataError, match=r"There is no folder"):
        Pipeline.from_pretrained(name)
    assert hub.requests in ([], ["HEAD /"])


@pytest.mark.parametrize("address", ["hf://small", "hf://a/b/c", "hf://a/b@", "hf:/"])
def test_a_wrong_address(hub: Any, address: str) -> None:
    with pytest.raises(DataError, match=r"not the address of a hub model"):
        Pipeline.load(address)
    assert hub.requests == []


def test_without_a_token(hub: Any, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(DataError, match=r"me/small: the hub requires a token \(status 401\). Run `hf auth login`"):
        Pipeline.load(run).push_to_hub(NAME)
    assert hub.repos == {}


def test_an_account_of_others(hub: Any, run: Path) -> None:
    with pytest.raises(DataError, match=r"\(status 403\). Use one with access to 'others'"):
        Pipeline.load(run).push_to_hub("others/small")


def test_offline_is_an_error_at_once(offline: None, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("a retry waits"))
    with pytest.raises(DataError, match=r"no complete copy on this machine, and the hub .* cannot be reached"):
        Pipeline.from_pretrained(NAME)
    with pytest.raises(DataError, match=r"cannot be uploaded.*--dry-run FOLDER"):
        Pipeline.load(run).push_to_hub(NAME)


def test_offline_a_complete_copy_is_used(pushed: Any, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = samples(Pipeline.from_pretrained(NAME))
    pushed.close()
    assert torch.equal(samples(Pipeline.from_pretrained(NAME)), first)


def test_a_truncated_download_is_no_pipeline(pushed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    pushed.truncated = "backbone.safetensors"
    with pytest.raises(DataError, match=r"me/small: the transfer from or to the hub .* broke off"):
        Pipeline.from_pretrained(NAME)
    pushed.truncated = None
    assert samples(Pipeline.from_pretrained(NAME)).shape == (2, 3, 16, 16)


def test_a_local_folder_is_used_first(pushed: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Pipeline.load(run).save("me/small")
    pushed.requests.clear()
    Pipeline.from_pretrained(NAME)
    assert pushed.requests == []
    with pytest.raises(DataError, match=r"is a local folder.*hf://me/small for the model on the hub"):
        Pipeline.from_pretrained(NAME, revision="main")


def test_a_folder_that_does_not_exist_is_not_looked_up(pushed: Any) -> None:
    """`load` and the verbs take a name only as an address, so that a misspelt run is no download."""
    pushed.requests.clear()
    with pytest.raises(DataError, match=r"There is no saved pipeline in me/small.*hf://user/name"):
        Pipeline.load(NAME)
    assert pushed.requests == []


def test_verbs_take_an_address(pushed: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nanogen_core.cli.sample import sample
    from nanogen_eval.cli.evaluate import evaluate

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(sample, [f"hf://{NAME}", "--label", "apple"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "me--small" / "generated" / "00000-apple.png").is_file()
    words = [f"hf://{NAME}", "--metrics", "openmoji-accuracy", "--count", "16", "--intervals", "0"]
    result = CliRunner().invoke(evaluate, words)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "me--small" / "scores.json").is_file()
    assert (tmp_path / "cache").is_dir()


def test_options_take_an_address(pushed: Any, run: Path) -> None:
    from nanogen_train.init.source import read

    given, expected = read(f"hf://{NAME}").states["backbone"], read(str(run)).states["backbone"]
    assert given.keys() == expected.keys()
    assert all(torch.equal(given[name], expected[name]) for name in expected)
    assert contents.of_values({"teacher": f"hf://{NAME}"}) == contents.of_values({"teacher": str(run)})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--licence", "apache-20"],
            r"'apache-20' is not a licence that the hub knows. Did .* 'apache-2.0'\? Use one of 82 identifiers such as"
            " apache-2.0, .*repositories-licenses",
        ),
        (["--licence", "other"], r"`other` needs a name: add --licence-name NAME"),
        (["--licence", "mit", "--licence-name", "mine"], r"name 'mine' needs `--licence other`"),
        (["--licence-name", "mine"], r"name 'mine' needs `--licence other`"),
    ],
)
def test_an_unknown_licence(run: Path, tmp_path: Path, words: list[str], message: str) -> None:
    from nanogen_hub.cli import push

    result = CliRunner().invoke(push, [str(run), NAME, "--dry-run", str(tmp_path / "files"), *words])
    assert isinstance(result.exception, DataError)
    assert re.search(message, str(result.exception))
    names = [word.removeprefix("--").replace("-", "_") for word in words[::2]]
    options: dict[str, Any] = dict(zip(names, words[1::2], strict=True))
    with pytest.raises(DataError, match=message):
        Pipeline.load(run).push_to_hub(NAME, dry_run=tmp_path / "files", **options)
    assert not (tmp_path / "files").exists()


def test_the_card_names_the_licence_as_the_hub_does(run: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.load(run)
    pipeline.push_to_hub(NAME, licence="CC-BY-4.0", dry_run=tmp_path / "known")
    pipeline.push_to_hub(NAME, licence="other", licence_name="my-terms", dry_run=tmp_path / "named")
    known, named = (ModelCard.load(tmp_path / folder / "README.md") for folder in ("known", "named"))
    assert (known.data.license, known.data.license_name) == ("cc-by-4.0", None)
    assert (named.data.license, named.data.license_name) == ("other", "my-terms")
    assert "| weights of this repository | my-terms |" in named.text


def test_the_command_writes_a_dry_run(run: Path, tmp_path: Path) -> None:
    from nanogen_hub.cli import push

    words = [str(run), NAME, "--licence", "mit", "--dry-run", str(tmp_path / "files")]
    result = CliRunner().invoke(push, words)
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'files' / 'README.md'} is the model card" in result.output
    assert "pip install nanogen" not in (tmp_path / "files" / "README.md").read_text(encoding="utf-8")
    assert torch.equal(samples(Pipeline.load(tmp_path / "files")), samples(Pipeline.load(run)))
    again = CliRunner().invoke(push, words)
    assert isinstance(again.exception, DataError)
    assert "is not an empty folder" in str(again.exception)


@pytest.mark.parametrize("exists", [False, True])
def test_after_an_error_the_folder_can_be_written_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    pipeline, folder = Pipeline.load(run), tmp_path / "files"
    if exists:
        folder.mkdir()

    def full(*args: object, **options: object) -> None:
        raise OSError("No space left on device")

    for module, write in (
        ("nanogen_hub.push.write_sheet", lambda: pipeline.push_to_hub(NAME, dry_run=folder)),
        ("nanogen_hub.diffusers_folder._write_code", lambda: pipeline.to_diffusers(folder)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, full)
            with pytest.raises(OSError, match="No space left"):
                write()
        assert [file.name for file in tmp_path.rglob("*")] == (["files"] if exists else [])
        write()
        assert Pipeline.load(folder if (folder / "README.md").exists() else folder / "model").backbone is not None
        assert not list(tmp_path.rglob(".*"))
        shutil.rmtree(folder)
        if exists:
            folder.mkdir()


class TestLocalModels:
    """A pipeline whose configuration names a VAE by a path of this machine."""

    @pytest.fixture
    def pipeline(self, tmp_path: Path) -> Pipeline:
        from diffusers import AutoencoderKL

        torch.manual_seed(0)
        AutoencoderKL(norm_num_groups=2, block_out_channels=(4,)).save_pretrained(tmp_path / "secret" / "vae")
        (tmp_path / "secret" / "vae" / "extra.bin").write_bytes(b"no")
        tokenizer = {"name": "vae", "path": str(tmp_path / "secret" / "vae")}
        dataset = {"name": "openmoji", "train": 32, "val": 16}
        backbone = {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1}
        parts = {"dataset": dataset, "tokenizer": tokenizer, "backbone": backbone, "objective": "flow"}
        steps = {"sampler": {"name": "euler", "steps": 2}, "train": {"init": str(tmp_path / "secret" / "start")}}
        return build_pipeline(task="imagenet", image_size=16, **parts, **steps)

    def test_they_are_not_published_unasked(self, pipeline: Pipeline, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"tokenizer.path is the local path .*secret/vae. Add --include-frozen"):
            pipeline.push_to_hub(NAME, dry_run=tmp_path / "files")

    def test_a_copy_moves_with_the_folder(self, pipeline: Pipeline, tmp_path: Path) -> None:
        pipeline.push_to_hub(NAME, include_frozen=True, dry_run=tmp_path / "files")
        expected = samples(pipeline)
        (tmp_path / "secret").rename(tmp_path / "gone")
        (tmp_path / "files").rename(tmp_path / "moved")
        assert torch.equal(samples(Pipeline.load(tmp_path / "moved")), expected)
        assert not list((tmp_path / "moved").rglob("*.bin"))

    def test_a_file_in_the_current_folder_is_a_local_model(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever its option is called. The name of a component is no file, even if a folder has that name."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "latents.safetensors").write_bytes(b"x")
        (tmp_path / "vae").mkdir()
        config = {"tokenizer": {"name": "vae", "preset": "vae", "statistics": "latents.safetensors"}}
        with pytest.raises(DataError, match=r"tokenizer.statistics is the local path latents.safetensors"):
            public(config, tmp_path / "files", include=False)
        found = public(config, tmp_path / "files", include=True)
        assert found.included == {"tokenizer.statistics": "latents.safetensors"}
        assert found.config["tokenizer"]["preset"] == "vae"
        assert len(list((tmp_path / "files").rglob("latents.safetensors"))) == 1

    def test_no_path_of_this_machine_is_published(self, pipeline: Pipeline, tmp_path: Path) -> None:
        pipeline.push_to_hub(NAME, include_frozen=True, dry_run=tmp_path / "files")
        texts = [file.read_bytes() for file in (tmp_path / "files").rglob("*") if file.is_file()]
        assert not any(str(tmp_path).encode() in text or b"secret" in text for text in texts)
        assert "`train.init`: a local path" in (tmp_path / "files" / "README.md").read_text(encoding="utf-8")


def test_without_the_distribution_the_command_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanogen_core.pipeline.find_spec", lambda name: None)
    with pytest.raises(NanoGenError, match=r"run `pip install nanogen-hub`"):
        Pipeline.load(run).push_to_hub(NAME)
