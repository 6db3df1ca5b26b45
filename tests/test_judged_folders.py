"""Folders and archives with unusual labels, prompts and files: read, or refused with an error."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from nanogen_core import build_pipeline
from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_data import notes
from nanogen_data.pictures import SUFFIXES
from nanogen_eval.evaluate import Evaluation
from nanogen_eval.options import BootstrapConfig
from nanogen_eval.sources.archive import Archive
from nanogen_eval.sources.folder import Folder
from nanogen_eval.targets import Images, Model, Reconstructions
from nanogen_eval.testing.fakes import TinyRedness
from nanogen_files.folder_lock import folder_lock
from nanogen_files.images import to_pil, to_uint8

PROMPTS = ["a red ball", "two dogs", "a cat"]


@pytest.fixture(autouse=True)
def _unsaid():
    notes._logged.clear()


def draw(path, shade=9, size=16):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (shade, shade, shade)).save(path, format="PNG")


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        draw(tmp_path / f"{number}.png", number)
    return tmp_path


# -- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le with a mark", "utf-16-be with a mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_prompts_are_read_in_every_encoding(folder, encoding, end, last):
    prompts = ["un café", "two dogs", "ein Käse"]
    text = end.join(prompts) + (end if last else "")
    kind, _, mark = encoding.partition(" ")
    (folder / "prompts.txt").write_bytes((("\ufeff" if mark else "") + text).encode(kind))
    assert Folder(folder).requests.captions == prompts


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x0c", "\x0b", "\x1e", "\x85", "\r"])
def test_only_line_feeds_end_a_prompt(folder, mark):
    prompts = [f"a sign that says{mark}HELLO", "two dogs", "a cat"]
    (folder / "prompts.txt").write_bytes("\n".join(prompts).encode())
    assert Folder(folder).requests.captions == prompts


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["a red ball", "", "two dogs", "", "a cat"], r"Line 2 of .*prompts\.txt is blank"),
        (["a red ball", "  ", "a cat"], r"Line 2 of .*prompts\.txt is blank"),
        ([*PROMPTS, ""], r"Line 4 of .*prompts\.txt is blank"),
        ([*PROMPTS, "a bird", "a tree", "a bus"], r"prompts\.txt has 6 lines for 3 images"),
        (PROMPTS[:2], r"prompts\.txt has 2 lines for 3 images"),
    ],
)
@pytest.mark.parametrize("count", [None, 2])
def test_a_wrong_number_of_prompts_is_refused(folder, lines, sentence, count):
    (folder / "prompts.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=sentence):
        Folder(folder, count=count)


def test_prompts_in_another_encoding_are_refused_with_the_line(folder):
    (folder / "prompts.txt").write_bytes("one\nun café\nthree\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"prompts\.txt is not UTF-8 in line 2 \(byte 0xe9\): save it as UTF-8"):
        Folder(folder)


def test_two_files_of_prompts_are_refused(folder):
    (folder / "prompts.txt").write_text("\n".join(PROMPTS))
    (folder / "prompts.csv").write_text("file,prompt\n0.png,a\n1.png,b\n2.png,c\n")
    with pytest.raises(DataError, match=r"has both prompts\.csv and prompts\.txt"):
        Folder(folder)


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_read_by_file_name(folder, encoding):
    (folder / "labels.csv").write_bytes("label,file\r\n 2 ,./2.png\r\n0,0.png\r\n1, 1.png\r\n".encode(encoding))
    (folder / "prompts.csv").write_bytes('file,prompt\n1.png,"a, b"\n2.png,é\u2028\n0.png,\n'.encode(encoding))
    requests = Folder(folder).requests
    assert requests.labels.tolist() == [0, 1, 2]
    assert requests.captions == ["", "a, b", "é\u2028"]
    assert Folder(folder, count=2).requests.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0.png,0\n1.png,1\n2.png,2\n1.png,0\n", "Lines 3 and 5 of .* are both for '1.png'"),
        ("0.png,0\n./0.png,0\n1.png,1\n2.png,2\n", "Lines 2 and 3 of .* are both for '0.png'"),
        ("0.png,0\n1.png,1\n", r"has no line for '2.png' \(1 image has none\)"),
        ("0.png,0\n1.png,1\n2.png,1.0\n", "Line 4 of .*: the label '1.0' is not a nonnegative integer"),
        ("0.png,0\n1.png,-1\n2.png,1\n", "Line 3 of .*: the label '-1' is not a nonnegative integer"),
        ("0.png,0\n1.png,\n2.png,1\n", "Line 3 of .*: the label '' is not a nonnegative integer"),
        ("0.png,0\n1.png,true\n2.png,1\n", "Line 3 of .*: the label 'true' is not a nonnegative integer"),
        ("0.png,0\n1.png,٣\n2.png,1\n", "Line 3 of .*: the label '٣' is not a nonnegative integer"),
        (
            "0.png,0\n1.png," + "9" * 5_000 + "\n2.png,1\n",
            "Line 3 of .*: the label '9+[.]{3}9+' is not a nonnegative integer",
        ),
        ("0.png,0\n1.png,1,2\n2.png,1\n", "Line 3 of .* has 3 cells, but the header has 2"),
        ("0.png,0\n1.png," + "1" * 200_000, "Line 3 of .* is not valid CSV: field larger than field limit"),
    ],
)
def test_wrong_labels_are_refused_with_the_line(folder, text, sentence):
    (folder / "labels.csv").write_text("file,label\n" + text)
    with pytest.raises(DataError, match=sentence):
        Folder(folder)


def test_lines_for_missing_files_are_counted(folder, caplog):
    (folder / "labels.csv").write_text("file,label\n0.png,0\n1.png,1\n2.png,2\n3.png,1\n4.png,1\n")
    with caplog.at_level(logging.WARNING):
        assert Folder(folder).requests.labels.tolist() == [0, 1, 2]
    assert "labels.csv has 2 lines for files that do not exist, such as '3.png'" in caplog.text


# -- images ----------------------------------------------------------------------------------------------------------


def test_images_of_every_suffix_are_read_and_other_files_counted(tmp_path, caplog):
    for number, suffix in enumerate(sorted(SUFFIXES)):
        draw(tmp_path / f"{number}{suffix.upper()}", number)  # a PNG, whatever it is called
    draw(tmp_path / "grid.png")
    draw(tmp_path / ".thumbs" / "1.png")
    draw(tmp_path / "__MACOSX" / "1.png")
    (tmp_path / "x.heic").write_bytes(b"x")
    (tmp_path / "prompts.txt").write_text("\n".join(map(str, range(len(SUFFIXES)))))
    with caplog.at_level(logging.WARNING):
        source = Folder(tmp_path)
    (batch,) = source.read([range(len(SUFFIXES))])
    assert to_uint8(batch.images)[:, 0, 0, 0].tolist() == list(range(len(SUFFIXES)))
    assert (
        f"Left out of {tmp_path}: hidden or system entries: 2 (.thumbs, __MACOSX); sheets of samples: 1 (grid.png); "
        "files without an image suffix: 1 (1 .heic)."
    ) in caplog.messages


def test_the_files_of_an_evaluation_are_not_counted(folder, caplog):
    """The lock of a running evaluation is in the folder of the images, as is the state of an interrupted one."""
    (folder / ".evaluating").mkdir()
    (folder / ".nanogen-images.json").write_text("{}", encoding="utf-8")
    with folder_lock(folder / ".evaluating.lock", RuntimeError), caplog.at_level(logging.WARNING):
        assert len({path.name for path in folder.iterdir() if path.name.startswith(".")}) == 4
        Folder(folder)
    assert "Left out" not in caplog.text


def test_fewer_images_than_count_log_a_warning(folder, caplog):
    np.savez(folder / "x.npz", np.zeros((4, 8, 8, 3), np.uint8))
    with caplog.at_level(logging.WARNING):
        assert len(Folder(folder, count=50_000).requests.indices) == 3
        assert len(Archive(folder / "x.npz", count=7).requests.indices) == 4
    assert f"{folder} has 3 images, fewer than --count 50000: all of them are evaluated." in caplog.messages
    assert "x.npz has 4 images, fewer than --count 7" in caplog.text


def test_an_image_without_read_permission_is_an_error(folder, monkeypatch):
    source = Folder(folder)

    def refused(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(DataError, match=r"0\.png cannot be read: permission denied for this user"):
        list(source.read([range(1)]))


# -- archives --------------------------------------------------------------------------------------------------------


def npz(path, shape, *, name="arr_0", kind="|u1", data=b"", labels=None):
    """Write an archive with any header."""
    import zipfile

    def member(shape, kind, data):
        text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", member(shape, kind, data))
        if labels is not None:
            archive.writestr("arr_1.npy", member(*labels))


@pytest.mark.parametrize(
    "shape",
    [
        "(1000000000000, 64, 64, 3)",
        "(1000000000000000000000, 64, 64, 3)",
        "(-1, 64, 64, 3)",
        "(-2, -8, 8, 3)",
        "(2, 0, 8, 3)",
        "(0, 8, 8, 3)",
        "(2, 100000000, 100000000, 3)",
        "(2, 8, 8, -3)",
        "(True, 8, 8, 3)",
        "(2.0, 8, 8, 3)",
        "('2', 8, 8, 3)",
        "(3, 8, 8, 3)",
        "(1, 8, 8, 3)",
        "(" * 300 + ")" * 300,
        "[]",
        "None",
    ],
)
def test_a_wrong_header_is_refused_before_data_are_read(tmp_path, shape):
    npz(tmp_path / "x.npz", shape, data=bytes(2 * 8 * 8 * 3))
    with pytest.raises(DataError, match=r"x\.npz"):
        Archive(tmp_path / "x.npz")


def test_an_archive_written_by_hand_is_read(tmp_path):
    labels = ("(2,)", "<i8", np.array([5, 3]).tobytes())
    npz(tmp_path / "x.npz", "(2, 8, 8, 3)", data=bytes(range(192)) * 2, labels=labels)
    source = Archive(tmp_path / "x.npz")
    (batch,) = source.read([range(2)])
    assert to_uint8(batch.images)[1].permute(1, 2, 0).flatten().tolist() == list(range(192))
    assert source.requests.labels.tolist() == [5, 3]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (("(1000000000000,)", "<i8", b""), r"is int64 \[1000000000000\]. It must be 2 integers"),
        (("(2,)", "<i8", b"\0" * 8), r"has 136 bytes, .*; its header says 144 bytes"),
        (("(2,)", "<f8", bytes(16)), "is float64 .* must be 2 integers"),
        (("(2,)", "|b1", bytes(2)), "is bool .* must be 2 integers"),
        (("(2,)", "|O", bytes(16)), "cannot be read|contains Python objects"),
        (("(2, 1)", "<i8", bytes(16)), r"is int64 \[2, 1\]"),
        (("(2,)", "<i8", np.array([0, -3]).tobytes()), "label of row 1 of 'arr_1' .* is -3"),
        (("(2,)", "<u8", np.array([0, 2**64 - 1], np.uint64).tobytes()), "row 1 of 'arr_1' .* is 18446744073709551615"),
    ],
)
def test_labels_of_an_archive_are_checked(tmp_path, labels, sentence):
    npz(tmp_path / "x.npz", "(2, 8, 8, 3)", data=bytes(384), labels=labels)
    with pytest.raises(DataError, match=sentence):
        Archive(tmp_path / "x.npz")


# -- targets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10**12, 0, -1])
def test_a_wrong_number_of_images_is_refused(small, count):
    pipeline = build_pipeline(small)
    for target in (Model(pipeline, count), Reconstructions(pipeline, count)):
        with pytest.raises(NanoGenError, match=r"images is not possible: use 1 to 10,000,000"):
            list(target.parts({"redness": TinyRedness()}, 0))


class Two(TinyRedness):
    """A metric with two prompts whose layout is not in natural order."""

    def eval_batch(self):
        return Batch(torch.arange(2), captions=["the later name", "the earlier name"])

    def layout(self, folder):
        return [folder / "b.png", folder / "a.png"]


def test_images_in_a_metrics_layout_get_prompts_by_name(tmp_path):
    draw(tmp_path / "a.png", 1)
    draw(tmp_path / "b.png", 2)
    ((source, _),) = Images(Folder(tmp_path)).parts({"two": Two()}, None)
    (batch,) = source.read([range(2)])
    shades = to_uint8(batch.images)[:, 0, 0, 0].tolist()
    assert dict(zip(shades, batch.captions, strict=True)) == {1: "the earlier name", 2: "the later name"}
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    ((source, _),) = Images(Folder(tmp_path)).parts({"two": Two()}, None)
    assert source.requests.captions == ["the later name", "the earlier name"]  # by order, since the names do not match


# -- formats -----------------------------------------------------------------------------------------------------------


def test_png_and_lossless_webp_of_the_same_pixels_have_equal_scores(tmp_path, small):
    pipeline = build_pipeline({**small, "image_size": 64, "metric": ["openmoji-accuracy", "openmoji-frechet"]})
    drawn = next(pipeline.task.iter_once("val", 16))
    for kind, options in {"png": {}, "webp": {"lossless": True, "exact": True}}.items():
        (tmp_path / kind).mkdir()
        labels = "".join(f"{n}.{kind},{label}\n" for n, label in enumerate(drawn.labels.tolist()))
        (tmp_path / kind / "labels.csv").write_text(f"file,label\n{labels}")
        for number, picture in enumerate(to_pil(drawn.images)):
            picture.save(tmp_path / kind / f"{number}.{kind}", **options)
    evaluation = Evaluation(metrics=pipeline.task.metrics(), bootstrap=BootstrapConfig(draws=20))
    png, webp = (evaluation.scores(Images(Folder(tmp_path / kind))) for kind in ("png", "webp"))
    assert [score.metric for score in png] == ["accuracy", "frechet"]
    assert [score.value for score in png] == [score.value for score in webp]
    assert [score.interval for score in png] == [score.interval for score in webp]
    assert png[0].value > 0.9  # drawings that the classifier was trained on
    assert [score.settings["formats"] for score in (png[0], webp[0])] == [["png"], ["webp"]]
