"""Reading tables, choosing rows and knowing which way a column points: what works, and each mistake in one sentence."""

import math

import pytest

from nanogen_bench.correlation.directions import all_directions, known_direction
from nanogen_bench.correlation.groupings import defaults, labels
from nanogen_bench.correlation.row_filters import choose
from nanogen_bench.correlation.table import Table, read_table
from nanogen_core.errors import ConfigError, DataError

ROWS = "method,family,fid,geneval\na,VAE,1.5,0.9\nb,VAE,2.5,0.8\nc,RAE,nan,0.7\nd,pixel,4,\n"


@pytest.fixture
def table(tmp_path):
    return written(tmp_path, ROWS)


def written(folder, text):
    path = folder / "scores.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path)


def test_numbers_and_what_is_missing(table):
    assert table.models == ("a", "b", "c", "d")
    assert table.numbers("fid")[[0, 1, 3]].tolist() == [1.5, 2.5, 4.0]
    assert math.isnan(table.numbers("fid")[2])
    assert math.isnan(table.numbers("geneval")[3])


@pytest.mark.parametrize("word", ["", "NaN", "n/a", "None", "—", " NA "])
def test_words_for_nothing(tmp_path, word):
    assert math.isnan(written(tmp_path, f"method,fid\na,{word}\n").numbers("fid")[0])


def test_a_byte_order_mark_blank_lines_spaces_quotes_and_windows_line_ends(tmp_path):
    found = written(tmp_path, '\ufeffmethod , fid\r\n"a, b", 1 \r\n\r\n ,\r\nc,2\r\n'.encode())
    assert found.columns == ("method", "fid")
    assert found.models == ("a, b", "c")
    assert found.numbers("fid").tolist() == [1, 2]


def test_a_table_of_values():
    found = Table.of([{"model": "a", "fid": 1.5}, {"model": "b", "fid": None, "psnr": 30}], source="runs")
    assert found.name_column == "model"
    assert found.numbers("fid")[0] == 1.5
    assert math.isnan(found.numbers("psnr")[0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("method,fid\n", "has no rows"),
        ("method,fid,fid\na,1,2\n", "two columns named 'fid'"),
        ("method,fid\na,1\nA,2\n", "two rows whose method is 'A'"),
        ("method,fid\na,1\n,2\n", "A row of"),
        ("method,fid\na,1\nb,2,3\n", "Line 3 of"),
        ("method,fid\na\n", "1 cell,"),
        (b"method,fid\n\xff\xfe,1\n", "is not UTF-8 in line 2"),
        ('method,fid\n"a,1\n', r"Line 2 of .* is not valid CSV"),
        ("method,fid\n" + "".join(f"m{i},1\n" for i in range(10_001)), "more than 10,000 rows"),
    ],
)
def test_damaged_files(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        written(tmp_path, text)


def test_no_such_file():
    with pytest.raises(DataError, match=r"no file 'publishd'. Did you mean 'published'\?"):
        read_table("publishd")


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("x", "is not a number"),
        ("0,5", "is not a number"),
        ("12%", "is not a number"),
        ("inf", "is not a finite float64 number"),
        ("1e999", "is not a finite float64 number"),
        ("1_000", "has an underscore: remove it"),
    ],
)
def test_text_that_is_no_number(tmp_path, cell, says):
    found = written(tmp_path, f'method,fid\na,"{cell}"\n')
    with pytest.raises(DataError, match=f"fid of 'a' in .* is '{cell}', which {says}. Leave the cell empty"):
        found.numbers("fid")


def test_an_unknown_column(table):
    with pytest.raises(DataError, match=r"no column 'genevall'. Did you mean 'geneval'\? Columns: method, family"):
        table.numbers("genevall")


@pytest.mark.parametrize(
    ("conditions", "left"),
    [
        ([], "abcd"),
        (["family!=vae"], "cd"),
        (["FAMILY!=x"], None),
        (["family=VAE"], "ab"),
        (["family == Vae"], None),
        (["family!=pixel", "family!=RAE"], "ab"),
        (["fid<2.5"], "a"),
        (["fid<=2.5"], "ab"),
        (["fid>2"], "bd"),
        (["fid >= 4"], "d"),
        (["fid=4.0"], "d"),
        (["geneval!="], "abc"),
    ],
)
def test_choosing_rows(table, conditions, left):
    if left is None:
        with pytest.raises((DataError, ConfigError)):
            choose(table, conditions)
    else:
        assert "".join(choose(table, conditions).models) == left


@pytest.mark.parametrize(
    ("condition", "error", "says"),
    [
        ("family", ConfigError, "--where takes COLUMN OPERATOR VALUE"),
        ("family~pixel", ConfigError, "not 'family~pixel'"),
        ("family=<pixel", ConfigError, "--where takes"),
        ("fid<small", ConfigError, "takes a finite number without underscores, not 'small'"),
        ("fid<inf", ConfigError, "not 'inf'"),
        ("fid<", ConfigError, "takes a finite number"),
        ("famly!=pixel", DataError, "Did you mean 'family'"),
        ("family!=pixl", DataError, "Did you mean 'pixel'.*Values: RAE, VAE, pixel"),
        ("family<1", DataError, "not a number"),
        ("fid>100", DataError, "leaves no row of"),
    ],
)
def test_wrong_conditions(table, condition, error, says):
    with pytest.raises(error, match=says):
        choose(table, [condition])


@pytest.mark.parametrize(
    ("column", "way"),
    [
        ("fid", "lower"),
        ("fid_cfg", "lower"),
        ("FID-nocfg", "lower"),
        ("fdr6", "lower"),
        ("is_cfg", "higher"),
        ("inception_score", "higher"),
        ("GenEval", "higher"),
        ("vqascore_clip-flant5-xxl", "higher"),
        ("fid_rank", None),
        ("accuracy_error", None),
        ("fidelity", None),
        ("score", None),
    ],
)
def test_directions_of_names(column, way):
    assert known_direction(column) == way


def test_directions_that_are_said():
    assert all_directions(["fid", "score"], {"score": "lower"}) == {"fid": "lower", "score": "lower"}
    assert all_directions(["fid"], {"fid": "higher"}) == {"fid": "higher"}
    with pytest.raises(ConfigError, match="add --direction score=higher"):
        all_directions(["fid", "score"], {})
    with pytest.raises(ConfigError, match="not score=up"):
        all_directions(["score"], {"score": "up"})


def test_groups_from_a_column_from_names_and_from_nowhere(table):
    assert labels("family", table) == {"a": "VAE", "b": "VAE", "c": "RAE", "d": "pixel"}
    assert set(labels("tokenizer", table).values()) == {"a", "b", "c", "d"}
    assert defaults(table) == ("family",)  # no two of these models share a tokenizer
    with pytest.raises(DataError, match=r"--cluster famly.*Did you mean 'family'"):
        labels("famly", table)


def test_the_groups_of_the_published_table():
    table = read_table("published")
    tokenizers = labels("tokenizer", table)
    latent = [model for model, family in labels("family", table).items() if family in ("RAE", "VAE")]
    assert (len(table.models), len(set(tokenizers.values()))) == (26, 15)
    assert (len(latent), len({tokenizers[model] for model in latent})) == (21, 11)
