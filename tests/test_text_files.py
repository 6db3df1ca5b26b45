"""Text, JSON and CSV of users: one reader, and one sentence with the line for each thing that is wrong."""

import os
from pathlib import Path

import pytest

from nanogen_core.errors import DataError
from nanogen_files import csv_files, json_files, reading, text_files

WORDS = "un café\ndeux chiens\n"


@pytest.mark.parametrize(
    "data",
    [
        WORDS.encode(),
        WORDS.encode("utf-8-sig"),
        WORDS.encode("utf-16"),
        b"\xff\xfe" + WORDS.encode("utf-16-le"),
        b"\xfe\xff" + WORDS.encode("utf-16-be"),
        WORDS.replace("\n", "\r\n").encode(),
        WORDS.replace("\n", "\r\n").encode("utf-16"),
        WORDS[:-1].encode(),
        b"\xef\xbb\xbf" + WORDS.encode("utf-8-sig"),
    ],
)
def test_every_encoding_with_a_mark_gives_the_same_lines(data):
    assert text_files.lines(text_files.decode(data, "x")) == ["un café", "deux chiens"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("ok\nun café\n".encode("latin-1"), r"^x is not UTF-8 in line 2 \(byte 0xe9\): save it as UTF-8\.$"),
        (
            "a\nb\nc".encode("utf-16-le"),
            r"^x has a NUL character in line 1\. Check that it is the right file, and save it as UTF-8 text\.$",
        ),
        (b"\xff\xfe" + "a\nb\n".encode("utf-16-le") + b"\x00\xd8\x00\x00", "x is not UTF-16-LE in line 3"),
        ("a\nb".encode("utf-32"), "x has a NUL character in line 1"),
        (b"one\ntwo\0\n", "x has a NUL character in line 2"),
    ],
)
def test_another_encoding_is_refused_with_its_line(data, sentence):
    with pytest.raises(DataError, match=sentence):
        text_files.decode(data, "x")


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x0c", "\x0b", "\x1c", "\x85", "\r"])
def test_lines_end_at_line_feeds_alone(mark):
    assert text_files.lines(f"a{mark}b\nc\n") == [f"a{mark}b", "c"]


def test_a_blank_line_is_named_where_lines_count(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("cat\n\ndog\n")
    with pytest.raises(DataError, match=r"^Line 2 of .*classes\.txt is blank: write one class name per line"):
        text_files.entries(path, "class name")
    path.write_text("cat\ndog")
    assert text_files.entries(path, "class name") == ["cat", "dog"]


def test_what_cannot_be_opened_says_why(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"none\.txt cannot be read: the file does not exist; check the path\.$"):
        text_files.read(tmp_path / "none.txt")
    with pytest.raises(DataError, match="cannot be read: it is a folder"):
        text_files.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe is not a regular file"):
        text_files.read(tmp_path / "pipe")  # that nobody writes into
    with pytest.raises(DataError, match="zero is not a regular file"):
        text_files.read(Path("/dev/zero"))
    path = tmp_path / "secret.txt"
    path.write_text("x")
    monkeypatch.setattr("builtins.open", _refused)
    with pytest.raises(DataError, match=r"secret\.txt cannot be read: permission denied for this user"):
        text_files.read(path)


def _refused(path, *_, **__):
    raise PermissionError(13, "Permission denied", str(path))


def test_a_text_of_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(reading.MOST_BYTES + 1)  # a sparse file: it takes no room
    with pytest.raises(DataError, match=r"huge\.txt has 268,435,457 bytes, more than the limit of 268,435,456"):
        text_files.read(tmp_path / "huge.txt")


@pytest.mark.parametrize("text", ["", " ", "~nobody-of-this-name/x", "a\0b"])
def test_a_text_that_is_no_path_is_refused(text):
    with pytest.raises(DataError, match="The path is empty|NUL character|home folder of an unknown user"):
        reading.user_path(text)


# -- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a": 1', r"x is not valid JSON: Expecting ',' delimiter \(line 1, column 8\)\. Correct it\.$"),
        ("[\n1,\n]", r"x is not valid JSON: .* \(line [23], column \d+\)"),
        ("[" * 100_000, "x cannot be read as JSON: its values are nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5_000, "an integer has too many digits"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice in one object"),
    ],
)
def test_what_is_no_json_is_one_sentence(text, sentence):
    with pytest.raises(DataError, match=sentence):
        json_files.parse(text, "x")


def test_lines_of_json_keep_their_numbers(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes('{"a": "one\u2028line"}\r\n\n{"a": 2}\n'.encode("utf-8-sig"))
    assert list(json_files.objects(path)) == [(1, {"a": "one\u2028line"}), (3, {"a": 2})]
    path.write_text('{"a": 1}\n[2]\n')
    with pytest.raises(DataError, match=r"Line 2 of .*x\.jsonl is not a JSON object"):
        list(json_files.objects(path))
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match=r"Line 2 of .*x\.jsonl is not valid JSON: "):
        list(json_files.objects(path))


# -- CSV -------------------------------------------------------------------------------------------------------------


def rows(text, needed=("file", "label")):
    return [(row.line, row.cells) for row in csv_files.parse(text, "x", needed)]


def test_rows_keep_their_lines_and_cells():
    text = 'label,file, note \r\n1,a.png,"x, ""y""\nz"\r\n\r\n2,b.png,\u2028\n'
    assert rows(text) == [
        (2, {"label": "1", "file": "a.png", "note": 'x, "y"\nz'}),
        (5, {"label": "2", "file": "b.png", "note": "\u2028"}),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "x needs a header with the columns `file` and `label`, but it has: none"),
        ("a.png,1\n", "x needs a header with the columns `file` and `label`, but it has: 1, a.png"),
        ("file;label\na.png;1\n", "separated by ';': use commas"),
        ("file\tlabel\na.png\t1\n", r"separated by '\\t': use commas"),
        ("file,label,file\n", "x has two columns named 'file'"),
        ("file,label\na.png,1\nb.png,a cat, red\n", "Line 3 of x has 3 cells, but the header has 2: write one cell"),
        ("file,label\na.png\n", "Line 2 of x has 1 cell, but the header has 2"),
        ('file,label\na.png,1\nb.png,"2\n', "Line 3 of x is not valid CSV: unexpected end of data"),
        ('file,label\na.png,"1"2\n', "Line 2 of x is not valid CSV: ',' expected after '\"'"),
        ("file,label\na.png,1\rb.png,2\n", "Line 2 of x is not valid CSV: an unquoted cell contains a carriage return"),
        (
            f"file,label\na.png,{'1' * 200_000}\n",
            r"Line 2 of x is not valid CSV: field larger than field limit \(131072\)",
        ),
    ],
)
def test_what_is_no_csv_is_one_sentence_with_the_line(text, sentence):
    with pytest.raises(DataError, match=sentence):
        rows(text)
