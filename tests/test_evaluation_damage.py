"""Files of an evaluation are checked when they are read. A kill while scores are written duplicates no line."""

import json
import os
from pathlib import Path

import pytest
import torch
from attrs import evolve
from click.testing import CliRunner

from nanogen_core.errors import DataError
from nanogen_core.tensors import Batch
from nanogen_data.loader import DataShard
from nanogen_eval import gather, measure, progress, record, seal
from nanogen_eval.cli.evaluate import evaluate
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import BootstrapConfig, EvalOptions
from nanogen_eval.pixels import on_grid
from nanogen_eval.progress import Progress
from nanogen_eval.record import read_scores, write_scores
from nanogen_eval.score import Score
from nanogen_eval.targets import Images
from nanogen_eval.testing.fakes import TinyColour, TinyRedness

SCORE = Score(metric="a", value=0.25, higher_is_better=True, n=4, component="c", values=(0.25,), about={"x": 1.5})


class RandomImages:
    """Random images, generated when they are read. `read_rows` lists the rows in reading order."""

    settings = {"images": "random"}

    def __init__(self, count=100, fail_at=None):
        self.requests = Batch(torch.arange(count), labels=torch.arange(count) % 3)
        self.about = {"count": count}
        self.fail_at = fail_at
        self.read_rows = []

    def read(self, spans):
        for span in spans:
            if self.fail_at is not None and span.stop > self.fail_at:
                raise KeyboardInterrupt
            self.read_rows += list(span)
            made = [torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(index)) * 2 - 1 for index in span]
            yield self.requests.part(span.start, span.stop)._replace(images=on_grid(torch.stack(made)))


def refusal(call, *words):
    """The message of the DataError that a call raises; None if it raises none."""
    try:
        call(*words)
    except DataError as error:
        return str(error)
    return None


def evaluation(folder, **options):
    return Evaluation(
        **{
            "metrics": {"colour": TinyColour(), "redness": TinyRedness()},
            "folder": folder,
            "options": EvalOptions(batch_size=8, save_every=0.0),
            "bootstrap": BootstrapConfig(draws=0),
            **options,
        }
    )


def flip(path, bit):
    """Flip a bit in place; twice restores the file. Truncating a file and writing it anew takes ext4 milliseconds."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def history(folder):
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


# -- bit flips ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path):
    """State file of a pass that was interrupted after 56 of 100 images."""
    with pytest.raises(KeyboardInterrupt):
        evaluation(tmp_path).scores(Images(RandomImages(fail_at=60)))
    (file,) = tmp_path.rglob("process-00000.safetensors")
    return file


def loaded(folder):
    metrics = {"colour": TinyColour(), "redness": TinyRedness()}
    found = Progress(folder, metrics, 100, DataShard())
    found.load()
    states = {f"{name}.{key}": value for name, m in metrics.items() for key, value in m.state().items()}
    return {"done": found.done, **states}


def test_a_bit_flip_in_a_saved_state_is_detected_or_harmless(tmp_path):
    whole = Progress(tmp_path, {"colour": TinyColour(), "redness": TinyRedness()}, 100, DataShard())
    batch = next(RandomImages().read([range(8)]))
    for metric in whole._metrics.values():
        metric.update(batch.images, batch)
    whole.add(batch.indices)
    whole.save()
    (file,) = tmp_path.glob("*")
    content, right = file.read_bytes(), loaded(tmp_path)
    refusals = []
    bits = range(0, 8 * len(content), 3)
    for bit in bits:
        flip(file, bit)
        message = refusal(loaded, tmp_path)
        if message is None:  # padding of the header, or a letter in the name of the hash
            state = loaded(tmp_path)
            assert all(torch.equal(state[name], value) for name, value in right.items())
        else:
            refusals.append(message)
        flip(file, bit)
    assert file.read_bytes() == content
    assert len(refusals) > 0.9 * len(bits)
    assert all("process-00000.safetensors" in message and "delete the file, and the" in message for message in refusals)


@pytest.mark.parametrize("part", range(1, 15))
def test_a_bit_flip_in_the_tensors_of_a_state_is_an_error(tmp_path, state, part):
    header = 8 + int.from_bytes(state.read_bytes()[:8], "little")
    flip(state, 8 * (header + (state.stat().st_size - header) * part // 15))  # the lowest bit of a byte
    source = RandomImages()
    with pytest.raises(DataError, match="is damaged: its tensors do not match their SHA-256.* Or delete the file"):
        evaluation(tmp_path).scores(Images(source))
    assert source.read_rows == []
    state.unlink()
    evaluation(tmp_path).scores(Images(source))
    assert source.read_rows == list(range(100))


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Result file of a finished pass, in an evaluation that was interrupted before it wrote its scores."""

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nanogen_eval.evaluate.write_scores", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluation(tmp_path, bootstrap=BootstrapConfig(draws=20)).scores(Images(RandomImages(count=12)))
    (file,) = tmp_path.rglob("result.json")
    return file


def test_a_bit_flip_in_a_result_is_detected_or_harmless(finished):
    content, right = finished.read_bytes(), seal.read(finished)
    refusals = []
    for bit in range(0, 8 * len(content), 3):
        flip(finished, bit)
        message = refusal(seal.read, finished)
        if message is None:  # white space between values
            assert seal.read(finished) == right
        else:
            refusals.append(message)
        flip(finished, bit)
    assert finished.read_bytes() == content
    assert len(refusals) > 1000
    assert all("result.json" in message and "elete the file" in message for message in refusals)


def test_a_damaged_result_is_an_error_until_it_is_deleted(tmp_path, finished):
    right = json.loads(finished.read_text())["entries"][0]["value"]
    finished.write_text(finished.read_text().replace(str(right), str(right / 2), 1))
    again = evaluation(tmp_path, bootstrap=BootstrapConfig(draws=20))
    with pytest.raises(DataError, match=r"result\.json is damaged: its SHA-256 does not match. Delete the file"):
        again.scores(Images(RandomImages(count=12)))
    finished.unlink()
    assert again.scores(Images(RandomImages(count=12)))[0].value == right


def test_a_bit_flip_in_the_scores_is_detected_or_harmless(tmp_path):
    path = write_scores(tmp_path, [SCORE, evolve(SCORE, metric="b", value=1.0, values=(1.0,))])
    content, right = path.read_bytes(), read_scores(path)
    refusals = []
    for bit in range(8 * len(content)):
        flip(path, bit)
        message = refusal(read_scores, path)
        if message is None:  # white space between values
            assert read_scores(path) == right
        else:
            refusals.append(message)
        flip(path, bit)
    assert path.read_bytes() == content
    assert len(refusals) > 4 * len(content)
    assert all("scores.json" in message for message in refusals)


@pytest.mark.parametrize("change", [('"value": 0.25', '"value": 0.26'), ("1.5", "1.6"), ("0.25\n", "0.35\n")])
def test_an_edited_score_is_detected(tmp_path, change):
    path = write_scores(tmp_path, [SCORE])
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(DataError, match=r"the entry of 'a' is damaged or was edited .*evaluate again"):
        read_scores(path)


def test_damaged_scores_are_detected_before_images_are_read(tmp_path):
    (tmp_path / "scores.json").write_text('{"format": 1')
    source = RandomImages()
    with pytest.raises(DataError, match=r"scores\.json is not valid JSON"):
        evaluation(tmp_path).scores(Images(source))
    assert source.read_rows == []


# -- interrupted writing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["write_json", "seal", "history", "clear"])
def test_a_kill_while_scores_are_written_duplicates_no_line(tmp_path, monkeypatch, last):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    evaluation(tmp_path / "right").scores(Images(RandomImages()))
    with monkeypatch.context() as patch:
        if last == "write_json":
            patch.setattr(record.storage, "write_json", stop)
        elif last == "seal":
            patch.setattr(record, "_append", stop)
        elif last == "history":
            keep = Path.open
            patch.setattr(Path, "open", lambda p, *a, **k: stop() if p.name == "scores.jsonl" else keep(p, *a, **k))
        else:
            patch.setattr(progress, "clear", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluation(tmp_path / "killed").scores(Images(RandomImages()))
    source = RandomImages()
    evaluation(tmp_path / "killed").scores(Images(source))
    for name in ("scores.json", "scores.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "right" / name).read_bytes()
    assert not (tmp_path / "killed" / ".evaluating").exists()
    assert source.read_rows == ([] if last != "write_json" else source.read_rows)
    evaluation(tmp_path / "killed").scores(Images(RandomImages()))  # a second evaluation adds its own lines
    assert len(history(tmp_path / "killed")) == 4


@pytest.mark.parametrize("before", [b"", b'{"metric": "earlier"}\n', b'{"metric": "cut'])
def test_a_truncated_history_is_completed(tmp_path, before):
    file, note = tmp_path / "scores.jsonl", tmp_path / "written.json"
    file.write_bytes(before)
    write_scores(tmp_path, [SCORE, evolve(SCORE, metric="b")], note=note)
    whole = file.read_bytes()
    for cut in range(len(before) + (not before.endswith(b"\n") and before != b""), len(whole) + 1, 7):
        file.write_bytes(whole[:cut])
        write_scores(tmp_path, [SCORE, evolve(SCORE, metric="b")], note=note)
        assert file.read_bytes() == whole
    assert len(whole[len(before) :].split()) > 0
    assert whole.startswith(before)


def test_lines_of_another_program_stay(tmp_path):
    file, note = tmp_path / "scores.jsonl", tmp_path / "written.json"
    write_scores(tmp_path, [SCORE], note=note)
    file.write_text('{"metric": "other"}\n')
    write_scores(tmp_path, [SCORE], note=note)
    assert [entry["metric"] for entry in history(tmp_path)] == ["other", "a"]


# -- clearing ----------------------------------------------------------------------------------------------------------


def test_clearing_keeps_files_of_other_programs(tmp_path, state):
    (state.parent / "notes.txt").write_text("foreign")
    (state.parent / "folder").mkdir()
    (state.parent / "folder" / "process-00000.safetensors").write_text("foreign")
    evaluation(tmp_path).scores(Images(RandomImages()))
    left = sorted(path.relative_to(state.parent).as_posix() for path in state.parent.rglob("*") if path.is_file())
    assert left == ["folder/process-00000.safetensors", "notes.txt"]


def test_clearing_keeps_the_state_of_another_pass(tmp_path, state):
    other = state.parent.with_name("another")
    other.mkdir()
    evaluation(tmp_path).scores(Images(RandomImages()))
    assert other.is_dir()
    assert not state.parent.exists()


def test_a_named_pipe_is_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "images.npz")
    ran = CliRunner().invoke(evaluate, [str(tmp_path / "images.npz"), "--output", str(tmp_path / "out")])
    assert "images.npz is not a regular file" in str(ran.exception)


def test_a_process_deletes_no_state_of_another(tmp_path, monkeypatch):
    """CI met it: both processes deleted one folder, and the slower one ended with "No such file or directory"."""
    for module, name in ((gather, "wait"), (measure, "wait"), (measure, "gather")):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(gather, "broadcast", lambda value, share: value)
    monkeypatch.setattr(gather, "all_gather", lambda value, share: [value])
    second = evaluation(tmp_path, share=DataShard(1, 2))
    assert second.scores(Images(RandomImages())) == []
    (state,) = (tmp_path / progress.FOLDER).rglob("*.safetensors")
    assert state.name == progress.NAME.format(1)
    evaluation(tmp_path).scores(Images(RandomImages()))  # the first process alone completes and deletes it
    assert not (tmp_path / progress.FOLDER).exists()
