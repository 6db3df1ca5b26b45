"""The documentation site builds without a warning and without a network."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from importlib import import_module
from urllib.parse import quote

import pytest

from nanogen_core.registry import registry
from tests.docs.blocks import ROOT
from tests.docs.site import generate

pytest.importorskip("material", reason="the extra `docs` is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_pages_load_nothing_from_other_hosts(site):
    loaded = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//[^\"'> ]+|<link[^>]*rel=[\"']?(?:stylesheet|preconnect|icon)[\"']?[^>]*href=[\"']?https?://[^>]+"
    )
    pages = [path for path in site.rglob("*.html") if path.name != "published.html"]
    assert len(pages) > 80
    assert {path.name: loaded.findall(path.read_text(encoding="utf-8")) for path in pages
            if loaded.search(path.read_text(encoding="utf-8"))} == {}  # fmt: skip
    assert not [path for path in pages if 'class="mermaid"' in path.read_text(encoding="utf-8")]


def test_every_public_name_with_a_docstring_has_an_entry(site):
    for name in generate().DISTRIBUTIONS:
        package = name.replace("-", "_")
        page = (site / "reference" / "python" / name / "index.html").read_text(encoding="utf-8")
        names = list(getattr(import_module(package), "__all__", ()))
        documented = [one for one in names if getattr(getattr(import_module(package), one), "__doc__", None)]
        anchors = set(re.findall(r'id="?([\w.]+)', page))
        assert {one for one in documented if not any(anchor.endswith(f".{one}") for anchor in anchors)} == set(), name


def test_every_page_is_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    pages -= {"gallery.in"}
    assert {page for page in pages if f'href="{page}/"' not in home and f"href={page}/" not in home} == set()
    assert {kind for kind in registry().components if f"reference/configuration/{kind}/" not in home} == set()


def test_links_to_files_of_the_repository_lead_somewhere(site):
    for page in site.rglob("*.html"):
        for target in re.findall(r'href="?((?!https?:|#|mailto|data:)[^" >#]+)', page.read_text(encoding="utf-8")):
            if not target.startswith("/"):
                assert (page.parent / target).exists(), (page.relative_to(site), target)


def test_the_gallery_shows_every_measured_cell(site):
    page = (site / "gallery" / "index.html").read_text(encoding="utf-8")
    rows = list(csv.DictReader((ROOT / "docs" / "gallery" / "results.csv").read_text(encoding="utf-8").splitlines()))
    tasks = sorted({row["task"] for row in rows})
    assert tasks == ["imagenet", "t2i"]
    for task in tasks:
        part = re.split('<h3 id="|<h2 id="', page.split(f'<h3 id="{task}"')[1])[0]
        done = {row["method"] for row in rows if row["network"] == "trained" and row["task"] == task}
        assert set(re.findall(r"<tr>\s*<td>(.+?)</td>", part)) == done
        assert all(quote(f"{task}-{name}.png") in page for name in done)
        line = part.partition("Not measured yet:")[2]
        missing = {row["method"] for row in rows if row["task"] == task} - done
        assert set(re.findall("<code>(.+?)</code>", line)) == missing
