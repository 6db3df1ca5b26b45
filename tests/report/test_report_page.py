"""The page as a document: whole, escaped, accessible, and the same when it is made again."""

import base64
import csv
import io
import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from nanogen_bench.audit.lines import Audit, Line
from nanogen_bench.correlation.table import read_table
from nanogen_bench.report.page import page
from nanogen_bench.report.reading import Request, read
from nanogen_core.cli.main import cli
from nanogen_files.config_diff import Difference
from nanogen_files.structure import plain

pytest.importorskip("scipy")
pytest.importorskip("statsmodels")

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "published.html"
VOID = {"meta", "img", "input", "br"}
NASTY = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "]]><svg onload=alert(1)>",
    "</title></svg><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}${7*7}\\u003cb\\u003e",
    "&lt;script&gt; &amp;amp;",
    "\u202eelttiL\u202c",
    "a" * 300,
]


class Page(HTMLParser):
    """Refuses tags that are not closed in order; notes every element, and the texts in them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.raw, self.text = [], [], {"style": [], "script": []}, ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute occurs twice in {tag}: {attrs}"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"{tag} is closed out of order"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in self.raw:
            self.raw[self.open[-1]].append(data)
        else:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def table(folder, rows, name="scores.csv"):
    """A CSV file of these rows."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    return file


def models(names, **more):
    """A row for each name, with two scores that go together loosely."""
    return [
        {"model": name, "family": f"f{i % 3}", "fid": 2 + i % 7, "geneval": round(0.7 - 0.04 * (i % 5), 3), **more}
        for i, name in enumerate(names)
    ]


def made(place, **more):
    return page(read(Request(place=str(place), **{"draws": 100, **more})))


def run(*words):
    return CliRunner().invoke(cli, ["bench", "report", *map(str, words)])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """What the documented command writes."""
    file = tmp_path_factory.mktemp("published") / "page.html"
    done = run("published", "--output", file)
    assert done.exit_code == 0, done.output
    return file.read_text(encoding="utf-8")


# -- the committed page ------------------------------------------------------------------------------------------


def split(text):
    """The text without its numbers, and the numbers with how far each may be off: two of its last digits."""
    numbers = re.findall(r"\d+(?:\.\d+)?", text)
    return re.sub(r"\d+(?:\.\d+)?", "#", text), [(float(n), 2 * 10 ** -len(n.partition(".")[2])) for n in numbers]


def test_the_committed_page_is_what_the_command_makes(published):
    (words, numbers), (kept_words, kept) = split(published), split(PUBLISHED.read_text(encoding="utf-8"))
    assert words == kept_words, "make it again: nanogen bench report published --output docs/published.html"
    wrong = [(a, b) for (a, off), (b, _) in zip(numbers, kept, strict=True) if abs(a - b) > (off if off < 1 else 0)]
    assert not wrong


def test_it_is_small_enough_to_send_and_says_where_it_comes_from(published):
    assert len(published.encode()) < 1_000_000
    text = Page(published).text
    assert "arXiv 2606.24888" in text
    for value in ("−0.555", "−0.580", "−0.377", "+0.555", "+0.580", "+0.377", "+0.910"):  # raw and turned; over all
        assert value in text
    assert str(ROOT) not in published


def test_the_leaderboard_has_every_number_of_the_file(published):
    found = Page(published).text
    for row in csv.DictReader(io.StringIO((files("nanogen_bench") / "published.csv").read_text(encoding="utf-8"))):
        assert all(value in found for value in row.values()), row


def test_the_table_travels_with_the_page(published, tmp_path):
    (link,) = [a["href"] for a in Page(published).all("a") if "download" in a]
    (tmp_path / "back.csv").write_bytes(base64.b64decode(link.partition("base64,")[2]))
    assert read_table(tmp_path / "back.csv").rows == read_table("published").rows


# -- nothing from elsewhere, nothing let in ----------------------------------------------------------------------


def policy(parsed):
    return next(meta["content"] for meta in parsed.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")


def test_nothing_comes_from_elsewhere(published):
    parsed = Page(published)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in parsed.elements}
    addresses = [a[key] for _, a in parsed.elements for key in ("src", "href", "xlink:href", "action") if key in a]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "default-src 'none'" in policy(parsed)
    assert "unsafe" not in policy(parsed)
    assert not re.search(r"url\(|@import", parsed.raw["style"][0])


def nasty_folder(folder):
    """A folder of `nanogen bench mini`'s kind in which every name and text is hostile."""
    rows = [
        {**row, "family": NASTY[i % 4], "note": NASTY[-1 - i % 4], "fid": row["fid"] + i / 10}
        for i, row in enumerate(models(NASTY))
    ]
    table(folder, rows, "table.csv")
    (folder / "plan.yaml").write_text("x: [fid]\ny: [geneval]\n", encoding="utf-8")
    hostile = NASTY[1]
    audit = Audit(
        first=hostile,
        second=hostile,
        tasks=(hostile, NASTY[3]),
        lines=(
            Line(group="logs", name=hostile, first=hostile, second={hostile: 1.0}, verdict="differs", rule=hostile),
        ),
        configuration=(Difference(hostile, hostile, None),),
        curves={hostile: ([(1, 1.0), (2, 2.0)], [(1, 2.0), (2, 1.0)])},
    )
    from nanogen_files import storage

    storage.write_json(folder / "audits.json", {hostile: [{"equal": False, "verdict": hostile, **plain(audit)}]})
    sheet = folder / "<b>t2i" / '" onload="alert(1)' / "seed-0" / "samples" / "step-00000010.png"
    sheet.parent.mkdir(parents=True)
    Image.new("RGB", (40, 20)).save(sheet)
    return folder


def test_hostile_names_stay_text_everywhere(tmp_path):
    text = made(nasty_folder(tmp_path), title=NASTY[0], about=NASTY)
    parsed = Page(text)
    own = {
        name: (files("nanogen_bench.report") / f"page.{end}").read_text()
        for name, end in (("style", "css"), ("script", "js"))
    }
    assert parsed.raw == {name: [content] for name, content in own.items()}  # no data in either
    assert not [key for _, attributes in parsed.elements for key in attributes if key.startswith("on")]
    assert not [attributes for _, attributes in parsed.elements if "style" in attributes]
    assert len(parsed.all("img")) == 1
    for name in NASTY:
        assert name in parsed.text
    labels = [attributes.get("aria-label", "") for _, attributes in parsed.elements]
    assert any(NASTY[3] in label for label in labels)  # in attributes of the drawings too


# -- for everyone ------------------------------------------------------------------------------------------------


def test_headings_go_down_by_one_and_sections_are_named(published):
    parsed = Page(published)
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {section["aria-labelledby"] for section in parsed.all("section")} <= set(ids)
    assert {link["href"][1:] for link in parsed.all("a") if link["href"].startswith("#")} <= set(ids)
    assert [tag for tag, _ in parsed.elements if tag in ("header", "nav", "main", "footer")] == [
        *("header", "nav", "main", "footer")
    ]
    assert parsed.all("html")[0]["lang"] == "en"


def test_every_heading_cell_says_what_it_heads_and_every_picture_what_it_shows(published):
    parsed = Page(published)
    assert all(head.get("scope") in ("row", "col", "colgroup") for head in parsed.all("th"))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    sorted_by = [head["aria-sort"] for head in parsed.all("th") if "aria-sort" in head]
    assert sorted_by.count("ascending") == 1
    drawings = [svg for svg in parsed.all("svg") if "x" not in svg]  # an inner one cuts off what leaves the plot
    assert all("aria-label" in svg or svg.get("aria-hidden") == "true" for svg in drawings)
    assert all(image["alt"] for image in parsed.all("img"))


def colours(scheme):
    """The colours of page.css by name in this scheme, `light` or `dark`."""
    style = (files("nanogen_bench.report") / "page.css").read_text(encoding="utf-8")
    pairs = re.findall(r"(--\w+|\.c\d \{ --mark): light-dark\((#\w{6}), (#\w{6})\)", style)
    return {name.split()[0]: (light, dark)[scheme == "dark"] for name, light, dark in pairs}


def contrast(one, other):
    """WCAG 2.1's ratio."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme):
    found = colours(scheme)
    texts = ["--ink", "--soft", "--link", "--good", "--bad", "--open"]
    assert all(contrast(found[text], found[ground]) >= 4.5 for text in texts for ground in ("--paper", "--raised"))
    assert len([name for name in found if name.startswith(".c")]) == 7
    assert all(contrast(found[name], found["--paper"]) >= 4.5 for name in found if name.startswith(".c"))


# -- what may be missing -----------------------------------------------------------------------------------------


def text_of(place, **more):
    return Page(made(place, **more)).text


def test_one_model(tmp_path):
    text = text_of(table(tmp_path, models(["alone"])))
    assert "1 model." in text
    assert "A correlation needs at least 4" in text


def test_no_second_task(tmp_path):
    rows = [{"model": name, "fid": i} for i, name in enumerate("abcdef")]
    assert "lacks known scores of one task" in text_of(table(tmp_path, rows))


def test_missing_values_are_dashes_and_come_last(tmp_path):
    rows = models([f"m{i}" for i in range(8)])
    rows[0]["fid"] = ""
    parsed = Page(made(table(tmp_path, rows)))
    assert "–" in parsed.text
    bodies = [a for tag, a in parsed.elements if tag == "tr" and "data-family" in a]
    assert len(bodies) == 8
    assert parsed.text.index("m1") < parsed.text.rindex("m0")
    assert "n = 7" in parsed.text


def test_a_column_that_is_constant_is_a_sentence_and_the_others_are_studied(tmp_path):
    rows = models([f"m{i}" for i in range(8)], dpgbench=0.5)
    text = text_of(table(tmp_path, rows))
    assert "dpgbench is 0.5 for all 8 models" in text
    assert "Over all 8 models" in text


def test_without_families(tmp_path):
    rows = [{key: value for key, value in row.items() if key != "family"} for row in models("abcdefgh")]
    text = made(table(tmp_path, rows))
    assert "<fieldset>" not in text
    assert "Over all 8 models" in Page(text).text


def test_two_hundred_models_with_very_long_names(tmp_path):
    rows = models([f"{'long-name ' * 20}{i}" for i in range(200)])
    parsed = Page(made(table(tmp_path, rows)))
    assert "No chart is drawn for more than 40 models" in parsed.text
    assert parsed.text.count("long-name") >= 200 * 20


def test_spreads_and_notes_stand_at_their_rows(tmp_path):
    rows = models("abcdef", fid_sd=0.25, note="")
    rows[2]["note"] = "sampling.steps 25 in place of 50"
    parsed = Page(made(table(tmp_path, rows)))
    assert "± 0" in parsed.text
    assert "† sampling.steps 25 in place of 50" in parsed.text
    assert "fid_sd" not in parsed.text


def test_sheets_are_downsized_and_what_is_no_picture_is_a_sentence(tmp_path):
    table(tmp_path, models("abcdef"), "table.csv")
    for task, method, seed, step, size in (
        ("imagenet", "a", 0, 10, (9, 9)),
        ("imagenet", "a", 0, 20, (3000, 1500)),  # the latest of the lowest seed is shown
        ("imagenet", "a", 1, 30, (9, 9)),
        ("t2i", "b", 0, 10, (10_000, 6_000)),  # more pixels than are opened
    ):
        sheet = tmp_path / task / method / f"seed-{seed}" / "samples" / f"step-{step:08d}.png"
        sheet.parent.mkdir(parents=True, exist_ok=True)
        Image.new("1", size).save(sheet)
    broken = tmp_path / "t2i" / "c" / "seed-0" / "samples" / "step-00000010.png"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no picture")
    parsed = Page(made(tmp_path))
    (image,) = parsed.all("img")
    assert (image["width"], image["height"]) == ("800", "400")
    assert Image.open(io.BytesIO(base64.b64decode(image["src"].partition("base64,")[2]))).size == (800, 400)
    assert "samples after 20 steps, seed 0" in parsed.text
    assert "it has 10000 x 6000 pixels" in parsed.text
    assert "step-00000010.png cannot be shown: it is not an image" in parsed.text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.csv"], "There is no file 'nowhere.csv'"),
        (["publishd"], "Did you mean 'published'?"),
        (["."], "has no table.csv: write one with `nanogen bench mini` or `nanogen bench collect`."),
        (["published", "--y", "genevil"], "has no column 'genevil'. Did you mean 'geneval'?"),
        (["published", "--where", "family=pixle"], "family"),
        (["published", "--direction", "geneval"], "--direction takes COLUMN=lower or COLUMN=higher"),
        (["published", "--x", "fid_cfg", "--y", "fid_cfg"], "is given twice"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code == 1
    assert sentence in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_the_page_goes_beside_the_table(tmp_path):
    file = table(tmp_path, models("abcdef"))
    assert run(file).exit_code == 0
    assert (tmp_path / "scores.html").is_file()
    table(tmp_path / "folder", models("abcdef"), "table.csv")
    assert run(tmp_path / "folder").exit_code == 0
    assert (tmp_path / "folder" / "report.html").is_file()
