"""The page in a headless Chromium: sorting, filtering, tips, both schemes, a phone, print, and nothing from outside."""

import csv
from pathlib import Path

import pytest

from nanogen_bench.report.page import page
from nanogen_bench.report.reading import Request, read

pytest.importorskip("scipy")
pytest.importorskip("statsmodels")

PUBLISHED = Path(__file__).parents[2] / "docs" / "published.html"
FIRST_CELLS = "[...document.querySelectorAll('#models tbody tr:not([hidden]) th bdi')].map((cell) => cell.textContent)"


def column(place):
    """The visible texts of a column of the leaderboard."""
    return (
        f"[...document.querySelectorAll('#models tbody tr:not([hidden])')].map((row) => row.cells[{place}].textContent)"
    )


def heading(place):
    return f"#models thead tr:last-child th:nth-child({place + 1})"


@pytest.fixture
def published(browser):
    browser.open(PUBLISHED)
    return browser


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A page whose names are code for whatever context they might slip into."""
    names = [
        "<script>window.hit = 1</script>",
        "</script><script>window.hit = 2</script>",
        '"><img src=x onerror="window.hit = 3">',
        "' onfocus='window.hit = 4' autofocus='",
        "</title><svg onload='window.hit = 5'>",
        "</style><script src='http://127.0.0.1:1/x.js'></script>",
        "long" * 100,
        *(f"model {i}" for i in range(60)),
    ]
    folder = tmp_path_factory.mktemp("hostile")
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "family", "fid", "geneval"])
        for i, name in enumerate(names):
            writer.writerow([name, names[i % 3], "" if i == 9 else i % 11 + 1, round(0.3 + i % 7 / 20, 3)])
    made = page(read(Request(place=str(folder / "scores.csv"), draws=100, title=names[0], about=names)))
    (folder / "page.html").write_text(made, encoding="utf-8")
    return folder / "page.html"


# -- the table ---------------------------------------------------------------------------------------------------


def test_a_click_sorts_the_best_first_and_a_second_one_the_other_way(published):
    fid = 4
    assert "FID, guided" in published.run(f"document.querySelector('{heading(fid)}').textContent")
    published.click(f"{heading(fid)} button")
    values = [float(text) for text in published.run(column(fid))]
    assert values == sorted(values)
    assert published.run(f"document.querySelector('{heading(fid)}').ariaSort") == "ascending"
    published.click(f"{heading(fid)} button")
    assert [float(text) for text in published.run(column(fid))] == sorted(values, reverse=True)
    geneval = 8
    published.click(f"{heading(geneval)} button")
    scores = [float(text) for text in published.run(column(geneval))]
    assert scores == sorted(scores, reverse=True)
    states = published.run("[...document.querySelectorAll('#models th[aria-sort]')].map((head) => head.ariaSort)")
    assert sorted(set(states)) == ["descending", "none"]
    assert states.count("descending") == 1


def test_the_keyboard_sorts(published):
    published.run(f"document.querySelector('{heading(0)} button').focus()")
    published.press("Enter", 13, "\r")
    names = published.run(FIRST_CELLS)
    assert names == sorted(names, key=str.lower)
    published.press("Tab", 9)
    assert published.run("document.activeElement.textContent") == "Family"
    published.press(" ", 32, " ")
    families = published.run("[...document.querySelectorAll('#models tbody tr')].map((row) => row.dataset.family)")
    assert families == sorted(families, key=str.lower)


def test_models_without_a_number_stay_last(browser, hostile):
    browser.open(hostile)
    fid = 4
    browser.click(f"{heading(0)} button")  # by name: the model without a number stands in the middle now
    assert browser.run(column(fid))[-1] != "–"
    for _ in range(2):
        browser.click(f"{heading(fid)} button")
        assert browser.run(column(fid))[-1] == "–"


def test_the_filter(published):
    assert not published.run("document.querySelector('form.filter').hidden")
    published.click("input[type=search]")
    published.type("flux reg")
    assert published.run(FIRST_CELLS) == ["FLUX.2-VAE + REG"]
    assert published.run("document.querySelector('output').textContent") == "1 of 26 models"
    published.press("Enter", 13, "\r")  # sends nothing
    assert published.run("location.hash + location.search") == ""
    published.open(PUBLISHED)
    published.click("input[value=VAE]")
    published.click("input[value=RAE]")
    assert len(published.run(FIRST_CELLS)) == 5
    assert set(
        published.run("[...document.querySelectorAll('tr[data-family]:not([hidden])')].map((r) => r.dataset.family)")
    ) == {*("pixel", "meanflow")}


# -- the drawings ------------------------------------------------------------------------------------------------

TIP = "[...document.querySelectorAll('.tip')].filter((tip) => !tip.hidden).map((tip) => tip.textContent)"


def test_arrow_keys_walk_from_point_to_point_and_show_the_tip(published):
    points = "document.querySelector('.points').children"
    published.run(f"{points}[0].focus()")
    assert published.run(TIP) == ["FLUX.1-VAE\nFID, guided 3.55, GenEval 0.559"]  # the worst of the 21, on the left
    published.press("ArrowRight", 39)
    assert published.run(TIP) == ["SDXL-VAE\nFID, guided 3.07, GenEval 0.617"]
    published.press("End", 35)
    assert published.run(TIP) == ["FLUX.2-VAE\nFID, guided 1.37, GenEval 0.675"]
    published.press("Escape", 27)
    assert published.run(TIP) == []
    assert published.run(f"[...{points}].filter((point) => point.getAttribute('tabindex') === '0').length") == 1


def test_the_pointer_shows_the_tip_inside_the_figure(published):
    published.click(".points .point:last-child")
    (shown,) = published.run(TIP)
    assert shown.startswith("FLUX.2-VAE\n")
    assert published.run(
        "(() => { const shown = [...document.querySelectorAll('.tip')].find((one) => !one.hidden);"
        " const tip = shown.getBoundingClientRect(); return tip.left >= 0 && tip.right <= innerWidth; })()"
    )


# -- every screen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("which", ["published", "hostile"])
def test_nothing_is_wider_than_the_screen(browser, hostile, width, which):
    browser.open({"published": PUBLISHED, "hostile": hostile}[which], width=width)
    browser.run("[...document.querySelectorAll('details')].forEach((one) => (one.open = true))")
    assert browser.run("[document.documentElement.scrollWidth, document.body.scrollWidth]") == [width, width]


LIGHT = """(() => {
  const parts = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number);
  return parts.reduce((sum, part) => sum + part) / 3;
})()"""


def test_dark_and_light_by_the_system_and_by_the_button(browser):
    browser.open(PUBLISHED, dark=True)
    assert browser.run(LIGHT) < 64
    assert browser.run("getComputedStyle(document.querySelector('.chart text')).fill") != "rgb(0, 0, 0)"
    browser.click("button.theme")
    assert browser.run(LIGHT) > 192
    browser.open(PUBLISHED)
    assert browser.run(LIGHT) > 192
    browser.click("button.theme")
    assert browser.run(LIGHT) < 64


def test_print_is_light_and_whole(browser):
    browser.open(PUBLISHED, media="print", dark=True)
    assert browser.run(LIGHT) > 192
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("[...document.querySelectorAll('details')].every((one) => one.open)")
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert not browser.run("[...document.querySelectorAll('details')].every((one) => one.open)")


def test_without_scripts_everything_can_be_read(browser):
    browser.open(PUBLISHED, scripts=False)
    root = browser.call("DOM.getDocument")["root"]["nodeId"]

    def found(selector):
        return browser.call("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]

    (board,) = found("#models")
    assert browser.call("DOM.getBoxModel", nodeId=board)["model"]["height"] > 26 * 20
    assert len(found(".point")) == len(found(".point title")) == 3 * (21 + 26)  # the browser's own tips
    assert not found("th button")  # nothing that looks as if it did something
    assert found("form") == found("form[hidden]")
    assert found("button") == found("button[hidden]")


# -- nothing from outside ----------------------------------------------------------------------------------------


def test_the_console_stays_empty_and_nothing_is_asked_for(browser, hostile):
    for file in (PUBLISHED, hostile):
        browser.open(file)
        browser.click("#models thead tr:last-child th:first-child button")
        assert browser.complaints() == []
        assert browser.requests() == []


def test_no_name_becomes_code(browser, hostile):
    browser.open(hostile)
    browser.run("document.querySelector('.point').focus()")
    browser.click("#models thead tr:last-child th:first-child button")
    browser.run("new Promise((done) => setTimeout(done, 100))")
    assert browser.run("window.hit === undefined")
    assert browser.run("document.images.length") == 0
    assert browser.run("document.scripts.length") == 1


def test_the_policy_stops_what_would_slip_in(browser):
    """The second line of defence: even a script in the document does not run, and no address is asked."""
    browser.open(PUBLISHED)
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', `<img src=x onerror='window.hit = 1'>"
        "<img src='http://127.0.0.1:1/x.png'>`)"
    )
    browser.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.hit = 2';"
        " document.body.append(s); })()"
    )
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.run("window.hit === undefined")
    assert len(browser.complaints()) >= 3
