"""Every reader of users' files against generated errors of type and structure: an answer or one sentence, never a
traceback, and within ten seconds.

150 files for each reader; with NANOGEN_TORTURE set, 10,000.
"""

import json
import os
import signal
import struct
import tarfile
import zipfile
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from nanogen_arrow.config import ArrowConfig
from nanogen_arrow.dataset import Arrow
from nanogen_core.errors import NanoGenError
from nanogen_data.precomputed.members import pack, unpack
from nanogen_eval.sources.archive import Archive
from nanogen_eval.sources.folder import Folder
from nanogen_fidelity.reference import Reference
from nanogen_files import csv_files, json_files, storage, text_files
from nanogen_imagenet.config import ParquetConfig
from nanogen_imagenet.names import folder_names
from nanogen_imagenet.parquet import ImageNetParquet
from nanogen_t2i.braces import expand
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.dataset import WebDataset
from nanogen_textscore.dpg.answers import read_answers
from nanogen_textscore.dpg.questions import COLUMNS, read_questions
from nanogen_textscore.dpg.questions import read_prompts as dpg_prompts
from nanogen_textscore.geneval.folders import read_results, samples
from nanogen_textscore.geneval.metadata import read_metadata
from nanogen_textscore.geneval.summary import summary
from nanogen_textscore.vqa.genai import read_prompts, read_skills
from tests.fuzz.chance import TEXTS, WORDS, Chance

COUNT = 10_000 if "NANOGEN_TORTURE" in os.environ else 150
SECONDS = 10


@contextmanager
def in_time():
    """A sentence or an answer within ten seconds."""

    def late(*_):
        raise TimeoutError(f"more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def every(read, *, count=COUNT):
    """Calls `read(chance)` for each seed. What is no sentence fails, with the seed that makes it again."""
    answered = 0
    for seed in range(count):
        try:
            with in_time():
                read(Chance(seed))
            answered += 1
        except NanoGenError as error:
            sentence = str(error)
            assert sentence.endswith((".", "?")), (seed, sentence)
            assert len(sentence) < 2_500, (seed, sentence)
            assert "\n" not in sentence.strip() or "Traceback" not in sentence, (seed, sentence)
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    return answered


def png(shade, side=8):
    data = BytesIO()
    Image.new("RGB", (side, side), (shade, shade, shade)).save(data, "PNG")
    return data.getvalue()


PICTURES = [png(shade) for shade in range(4)]


@pytest.fixture
def images(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(PICTURES[number])
    return tmp_path


# -- text ------------------------------------------------------------------------------------------------------------


def test_texts(tmp_path):
    def read(chance):
        data = chance.damaged(chance.bytes("\n".join(chance.choices(TEXTS, k=6))))
        (tmp_path / "x.txt").write_bytes(data)
        text = text_files.read(tmp_path / "x.txt")
        assert "\0" not in text
        assert "\n".join(text_files.lines(text)) == text.removesuffix("\n")

    every(read)


def test_prompts_beside_images(images):
    def read(chance):
        lines = [chance.choice(["a cat", "two dogs", *TEXTS]) for _ in range(chance.choice([2, 3, 3, 3, 3, 4]))]
        (images / "prompts.txt").write_bytes(chance.damaged(chance.bytes("\n".join(lines) + "\n"), 1))
        captions = Folder(images).requests.captions
        assert len(captions) == 3
        assert all(isinstance(caption, str) and caption.strip() for caption in captions)

    assert every(read) > 0


def test_labels_beside_images(images):
    def read(chance):
        names = chance.sample(
            ["0.png", "1.png", "2.png", *([chance.choice(TEXTS)] if chance.random() < 0.2 else [])], k=3
        )
        labels = [chance.choice([0, 1, 2, "3"]) if chance.random() < 0.9 else chance.value(1) for _ in range(4)]
        rows = [chance.choice(["{},{}", "{},{}", '"{}",{}', "{},{},", "{};{}"]) for _ in names]
        head = chance.choice(["file,label", "file,label", "label,file", "file,label,file", "file;label", ""])
        text = "\n".join([head, *(row.format(*pair) for row, *pair in zip(rows, names, labels, strict=False))])
        (images / "labels.csv").write_bytes(chance.damaged(chance.bytes(text), 1))
        found = Folder(images).requests.labels
        assert found.dtype == torch.int64
        assert found.shape == (3,)
        assert (found >= 0).all()

    every(read)


def test_comma_separated_texts():
    def read(chance):
        cells = [[chance.choice([*TEXTS, *WORDS, "1" * 200_000]) for _ in range(3)] for _ in range(3)]
        text = "\n".join(",".join(row) for row in [["file", "label", "x"], *cells])
        data = chance.damaged(text.encode("utf-8", "replace"))
        for row in csv_files.parse(text_files.decode(data, "x"), "x", ["file"]):
            assert all(isinstance(cell, str) for cell in row.cells.values())

    every(read)


def test_class_names(tmp_path):
    folders = ["cat", "guinea pig", "n01440764"]
    good = ["cat a cat", '"guinea pig" cavy', "guinea pig\tcavy", "n01440764 tench, Tinca", ""]

    def read(chance):
        lines = [chance.choice([*good, *good, *TEXTS]) for _ in range(6)]
        (tmp_path / "classes.txt").write_bytes(chance.damaged(chance.bytes("\n".join(lines)), 1))
        names = folder_names(tmp_path, folders)
        assert len(names) == 3
        assert all(isinstance(name, str) and name for name in names)

    every(read)


# -- JSON ------------------------------------------------------------------------------------------------------------

LINE = {
    "tag": "position",
    "prompt": "a dog left of a cat",
    "include": [
        {"class": "cat", "count": 1, "color": "red"},
        {"class": "dog", "count": 2, "position": ["left of", 0]},
    ],
    "exclude": [{"class": "dog", "count": 3}],
}
RESULT = {"tag": "x", "correct": True, "metadata": "m", "prompt": "p"}


def test_json():
    def read(chance):
        json_files.parse(chance.json(chance.value(4)), "x")

    every(read)


def test_lines_of_json(tmp_path):
    def read(chance):
        lines = [chance.json(chance.changed(LINE, 0.1)) for _ in range(3)]
        (tmp_path / "x.jsonl").write_bytes(chance.damaged(chance.bytes("\n".join(lines)), 1))
        for line in read_metadata(str(tmp_path / "x.jsonl")):
            for item in [*line["include"], *line.get("exclude", ())]:
                assert type(item["count"]) is int

    assert every(read) > 0


def test_official_folders(tmp_path):
    (tmp_path / "00000/samples").mkdir(parents=True)
    (tmp_path / "00000/samples/00000.png").write_bytes(PICTURES[0])

    def read(chance):
        (tmp_path / "00000/metadata.jsonl").write_bytes(chance.bytes(chance.json(chance.changed(LINE, 0.2))))
        for sample in samples(tmp_path):
            sample.image()

    assert every(read) > 0


def test_results(tmp_path):
    def read(chance):
        lines = [chance.json(chance.changed(RESULT, 0.2)) for _ in range(3)]
        (tmp_path / "x.jsonl").write_bytes(chance.bytes("\n".join(lines)))
        summary(read_results(tmp_path / "x.jsonl"))

    assert every(read) > 0


def test_prompts_and_skills_of_benchmarks(tmp_path):
    def read(chance):
        path = tmp_path / "x.json"
        path.write_bytes(
            chance.bytes(chance.json(chance.changed({"00000": {"prompt": "a"}, "00001": {"prompt": "b"}})))
        )
        texts = read_prompts(path)
        path.write_bytes(chance.bytes(chance.json(chance.changed({"counting": [0, 1], "x": [1]}))))
        read_skills(path, texts)
        path.write_bytes(chance.bytes(chance.json(chance.changed({"a": "x", "b": "y"}))))
        assert all(isinstance(text, str) for text in dpg_prompts(path).values())

    assert every(read) > 0


def test_questions_and_answers(tmp_path):
    head = ",".join(COLUMNS)

    def read(chance):
        rows = [f"{chance.choice(['1', '2', *TEXTS])},{chance.choice(['1', '2', 'x'])},0,t,q" for _ in range(3)]
        read_questions(chance.damaged("\n".join([head, *rows]).encode(), 2).decode("utf-8", "replace"), source="x")
        answers = "x.png, (0, 0, 8, 8), Is it a cat?, yes\ny.png, (8, 0, 16, 8), Is it?, no\n"
        (tmp_path / "x.txt").write_bytes(chance.damaged(answers.encode(), 2))
        read_answers(tmp_path / "x.txt")

    assert every(read) > 0


# -- arrays and tensors ----------------------------------------------------------------------------------------------


def array_member(chance, shape, kind, size):
    """A member of an .npz, whose header is now and then of another form."""
    text = (
        repr(chance.changed({"descr": kind, "fortran_order": chance.random() < 0.1, "shape": list(shape)}, 0.2))
        .replace("[", "(")
        .replace("]", ",)")
        .replace("(,)", "()")
    )
    if chance.random() < 0.1:
        text = text.replace("1", "1" * chance.choice([10, 100, 5_000]))
    if chance.random() < 0.03:
        text = "(" * 200 + text
    body = text.encode("latin-1", "replace") + b"\n"
    version = chance.choice([b"\x01\x00"] * 8 + [b"\x02\x00", b"\x03\x00", b"\x09\x00"])
    width = 2 if version == b"\x01\x00" else 4
    length = len(body) if chance.random() < 0.95 else chance.choice([0, 1, 2**16 - 1])
    return b"\x93NUMPY" + version + length.to_bytes(width, "little") + body + bytes(size)


def test_archives(tmp_path):
    path = tmp_path / "x.npz"

    def read(chance):
        shape = [chance.choice([2, 2, 2, 3, 0, -1, 10**12]), 8, 8, chance.choice([3, 3, 3, 3, 4])]
        with zipfile.ZipFile(path, "w", chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
            archive.writestr("arr_0.npy", array_member(chance, shape, chance.choice(["|u1"] * 9 + ["<f4"]), 2 * 192))
            if chance.random() < 0.5:
                kind = chance.choice(["<i8", "<i8", "<u8", "<f8", "|b1", "|O", "<U3", "<M8[s]", ">i2", [("a", "<i4")]])
                archive.writestr("arr_1.npy", array_member(chance, [2], kind, 16))
        if chance.random() < 0.3:
            path.write_bytes(chance.damaged(path.read_bytes()))
        source = Archive(path, count=chance.choice([None, 1, 10**12]))
        for batch in source.read([range(len(source.requests.indices))]):
            assert batch.images.shape[1:] == (3, 8, 8)

    assert every(read) > 0


class Space:
    width, settings = 3, {"network": "x"}

    def __call__(self, images):
        return torch.zeros(len(images), 3)


def test_statistics(tmp_path):
    path = tmp_path / "x.npz"

    def read(chance):
        with zipfile.ZipFile(path, "w") as archive:
            if chance.random() < 0.5:
                archive.writestr("mu.npy", array_member(chance, [3], "<f8", 24))
                archive.writestr("sigma.npy", array_member(chance, [3, 3], "<f8", 72))
            else:
                archive.writestr("features.npy", array_member(chance, [4, 3], chance.choice(["<f4", "<i2", "<U1"]), 48))
            if chance.random() < 0.3:
                archive.writestr("count.npy", array_member(chance, [], chance.choice(["<i8", "<f8", "<U2"]), 8))
            if chance.random() < 0.3:
                space = np.array(chance.json(chance.changed({"network": "x"})))
                data = BytesIO()
                np.save(data, space)
                archive.writestr("space.npy", data.getvalue())
        reference = Reference(str(path))
        reference.moments(Space())
        reference.rows(Space())

    every(read)


def header(chance, tensors):
    """The bytes of a safetensors file whose header may be of another form."""
    text = chance.json(tensors).encode("utf-8", "replace")
    length = len(text) if chance.random() < 0.9 else chance.choice([0, 1, 2**40, 2**64 - 1])
    return struct.pack("<Q", length) + text


def test_tensors(tmp_path):
    path = tmp_path / "x.safetensors"
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}

    def read(chance):
        path.write_bytes(header(chance, chance.changed({"a": entry, "__metadata__": {"x": "y"}}, 0.2)) + bytes(24))
        for tensor in storage.read_tensors(path).values():
            assert tensor.numel() * tensor.element_size() <= 24

    assert every(read) > 0


def test_prepared_members():
    good = pack(torch.zeros(2, 4, 2, 2), [torch.zeros(3, 5), torch.zeros(2, 5)], None, ["a", "b"])

    def read(chance):
        size = int.from_bytes(good[:8], "little")
        values = json.loads(good[8 : 8 + size])
        data = header(chance, chance.changed(values, 0.1)) + good[8 + size :]
        try:
            unpack(bytearray(chance.damaged(data, 2)))
        except ValueError as error:  # which `Latents` turns into a sentence
            raise NanoGenError("damaged.") from error

    assert every(read) > 0
    assert save({"a": torch.zeros(1)})


# -- tables ----------------------------------------------------------------------------------------------------------


def column(chance, name):
    """Three values of a column, mostly as they should be."""
    cells = {
        "image": lambda: {"bytes": chance.choice(PICTURES), "path": None},
        "label": lambda: chance.choice([0, 1]),
        "caption": lambda: chance.choice(["a cat", "two dogs"]),
    }
    kinds = [
        (pyarrow.string(), lambda: chance.choice(TEXTS)),
        (pyarrow.large_string(), lambda: chance.choice(TEXTS)),
        (pyarrow.binary(), lambda: chance.choice([*PICTURES, b"", b"\xff\xfe", b"text"])),
        (pyarrow.binary(3), lambda: b"abc"),
        (pyarrow.int8(), lambda: chance.choice([0, 1, 2, -1])),
        (pyarrow.uint64(), lambda: chance.choice([0, 1, 2**64 - 1])),
        (pyarrow.int64(), lambda: chance.choice([0, 1, 2, 2**62])),
        (pyarrow.float32(), lambda: chance.choice([0.0, 1.0, float("nan")])),
        (pyarrow.bool_(), lambda: True),
        (pyarrow.null(), lambda: None),
        (pyarrow.timestamp("us"), lambda: 10**15),
        (pyarrow.decimal128(5, 2), lambda: 1),
        (pyarrow.list_(pyarrow.string()), lambda: chance.choices(TEXTS, k=chance.randrange(3))),
        (pyarrow.list_(pyarrow.int64()), lambda: [1]),
        (pyarrow.list_(pyarrow.string(), 2), lambda: ["a", "b"]),
        (pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), lambda: "a"),
        (pyarrow.dictionary(pyarrow.int8(), pyarrow.int64()), lambda: 1),
        (pyarrow.map_(pyarrow.string(), pyarrow.int64()), lambda: [("a", 1)]),
        (pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]), cells["image"]),
        (pyarrow.struct([("bytes", pyarrow.string())]), lambda: {"bytes": "x"}),
        (pyarrow.struct([("path", pyarrow.string())]), lambda: {"path": chance.choice(TEXTS)}),
        (pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.int64())]), lambda: {"bytes": b"", "path": 1}),
    ]
    right = {"image": kinds[18][0], "label": pyarrow.int64(), "caption": pyarrow.string()}
    if name in cells and chance.random() < 0.7:
        kind, cell = right[name], cells[name]
    else:
        kind, cell = chance.choice(kinds)
    return pyarrow.array([None if chance.random() < 0.05 else cell() for _ in range(3)], kind)


def table(chance):
    names = [name for name in ("image", "label", "caption") if chance.random() < 0.95]
    names += chance.sample(["text", "captions", "photo", "labels", "x"], chance.choice([0, 0, 0, 1, 2]))
    made = pyarrow.table([column(chance, name) for name in names], names=names)
    if chance.random() < 0.1 and names:
        made = made.append_column(names[0], column(chance, names[0]))
    if chance.random() < 0.5:
        features = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}, "image": {"_type": "Image"}}
        written = chance.json(chance.changed({"info": {"features": features}}, 0.2))
        made = made.replace_schema_metadata({b"huggingface": chance.bytes(written)})
    return made


def look(examples):
    """Reads what there is, as a run would."""
    for index in range(len(examples)):
        try:
            example = examples[index]
        except NanoGenError:
            continue
        assert example.image.mode == "RGB"
        assert example.label is None or (type(example.label) is int and 0 <= example.label < 2)
        texts = [example.caption] if isinstance(example.caption, str) else example.caption or []
        assert all(isinstance(text, str) and text.strip() for text in texts)
        assert example.label is not None or texts


def test_parquet_tables(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    path = tmp_path / "train-00000-of-00001.parquet"

    def read(chance):
        pyarrow.parquet.write_table(table(chance), path, row_group_size=2)
        if chance.random() < 0.2:
            path.write_bytes(chance.damaged(path.read_bytes()))
        if chance.random() < 0.3:
            look(ImageNetParquet(ParquetConfig(root=str(tmp_path))).open("train", 8, "labels"))
        else:
            view = chance.choice(["labels", "captions"])
            look(Arrow(ArrowConfig(root=str(tmp_path))).open("train", 8, view))

    assert every(read) > COUNT // 20


def test_saved_tables(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")

    def read(chance):
        made = table(chance)
        with pyarrow.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pyarrow.ipc.new_stream(file, made.schema) as out:
            out.write_table(made, max_chunksize=2)
        if chance.random() < 0.2:
            (tmp_path / "a.arrow").write_bytes(chance.damaged((tmp_path / "a.arrow").read_bytes()))
        state = {"_data_files": [{"filename": "a.arrow"}]}
        (tmp_path / "state.json").write_bytes(chance.bytes(chance.json(chance.changed(state, 0.1))))
        look(Arrow(ArrowConfig(root=str(tmp_path))).open("train", 8, chance.choice(["labels", "captions"])))

    assert every(read) > COUNT // 20


# -- tars ------------------------------------------------------------------------------------------------------------


def tar(chance):
    """A tar of a few samples, with odd names, links, long names and headers that lie."""
    out = BytesIO()
    kinds = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
    with tarfile.open(fileobj=out, mode="w", format=chance.choice(kinds)) as archive:
        for number in range(3):
            for key in chance.sample(["png", "txt", "json", "jpg", "v1.png", "TXT", ""], chance.choice([2, 2, 2, 3])):
                folder = chance.choice(["", "", "a.b/", "./", "x" * 120 + "/", "é/"])
                member = tarfile.TarInfo(f"{folder[:90] if chance.random() < 0.5 else folder}{number}.{key}"[:200])
                data = chance.choice(PICTURES) if key in ("png", "jpg") else chance.bytes(chance.choice(TEXTS))
                if key == "json":
                    data = chance.json(chance.changed({"caption": chance.choice(["a", ["a", "b"]])})).encode(
                        "utf-8", "replace"
                    )
                member.size = len(data)
                if chance.random() < 0.05:
                    member.type = chance.choice(
                        [tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"Z", tarfile.CHRTYPE]
                    )
                if chance.random() < 0.05:
                    member.pax_headers = {
                        chance.choice(["path", "size", "GNU.sparse.major", "GNU.sparse.map"]): "9" * 3
                    }
                try:
                    archive.addfile(member, BytesIO(data))
                except ValueError:  # a name that this format has no room for
                    continue
    return bytearray(out.getvalue())


def lying(chance, data):
    """Headers whose numbers were changed, and whose sums fit."""
    for place in range(0, len(data) - 512, 512):
        if data[place + 257 : place + 262] == b"ustar" and chance.random() < 0.1:
            field, end = chance.choice(
                [(124, 136), (124, 136), (100, 108), (156, 157), (345, 500), (386, 410), (483, 495)]
            )
            data[place + field : place + end] = chance.choice(
                [chance.randbytes(end - field), b"7" * (end - field), bytes(end - field)]
            )
            if chance.random() < 0.3:
                data[place + field] = chance.choice([0x80, 0xFF])
            block = data[place : place + 512]
            block[148:156] = b" " * 8
            data[place + 148 : place + 156] = b"%06o\0 " % sum(block)
    return data


def test_tars(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none" / "x"))
    (tmp_path / "none").write_text("a file, so that no index is kept")
    path = tmp_path / "0.tar"

    def read(chance):
        data = lying(chance, tar(chance)) if chance.random() < 0.6 else tar(chance)
        path.write_bytes(chance.damaged(data) if chance.random() < 0.3 else data)
        key = chance.choice(["txt", "txt", "json:caption", "v1.txt"])
        config = WebDatasetConfig(root=str(path), caption=key, caption_lines=chance.random() < 0.3)
        look(WebDataset(config).open("train", 8, "captions"))

    assert every(read) > COUNT // 20


def test_patterns():
    def read(chance):
        words = ["{", "}", ",", "..", "0", "9", "a", "z", "-", "*", "[", "]", "?", "::", "/", "9" * 30]
        pattern = "".join(chance.choices(words, k=chance.randrange(30)))
        for number, _ in enumerate(expand(pattern)):
            if number > 100:
                break

    assert every(read) > 0
