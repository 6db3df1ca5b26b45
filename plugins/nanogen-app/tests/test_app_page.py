"""The page: the functions, the server, and the page in headless Chromium."""

import json
import time
import warnings

import gradio as gr
import numpy as np
import pytest
from click.testing import CliRunner
from gradio_client import Client
from PIL import Image

from nanogen_app.cli import app
from nanogen_app.generation import LoadedRun, Settings
from nanogen_app.page import AS_CONFIGURED, _options, generator, page
from nanogen_core import Pipeline
from nanogen_core.cli.sample import sample
from nanogen_core.errors import NanoGenError
from nanogen_core.registry import registry

from .conftest import saved

REQUEST = ("apple", 2, 3, "5", "2.0", AS_CONFIGURED)


def pixels(picture):
    return np.asarray(Image.open(picture) if isinstance(picture, str) else picture)


@pytest.fixture(scope="module")
def sampled(by_class, tmp_path_factory):
    """The files of `nanogen sample` for REQUEST."""
    output = tmp_path_factory.mktemp("sampled")
    options = ["--label", "apple", "--count", "2", "--seed", "3", "--steps", "5", "--guidance", "2.0", "--output"]
    result = CliRunner().invoke(sample, [str(by_class), *options, str(output)])
    assert result.exit_code == 0, result.output
    return [pixels(str(output / f"0000{index}-apple.png")) for index in range(2)]


def test_the_images_are_those_of_nanogen_sample(by_class, sampled):
    images, strip, note = generator([LoadedRun.load(by_class)])(*REQUEST)
    assert len(images) == 2
    assert all(map(np.array_equal, map(pixels, images), sampled))
    assert [caption for _, caption in strip][:: len(strip) - 1] == ["t = 1.00", "t = 0.00"]
    assert len(strip) == 6
    assert np.array_equal(pixels(strip[-1][0]), sampled[0])
    assert not note.visible


def test_empty_fields_mean_as_configured(by_class):
    images, _, _ = generator([LoadedRun.load(by_class)])("apple", 1, 0, "", "", AS_CONFIGURED)
    assert np.array_equal(pixels(images[0]), pixels(Pipeline.load(by_class).generate("apple")[0]))


def test_a_sampler_can_be_chosen(by_class):
    images, _, _ = generator([LoadedRun.load(by_class)])("apple", 1, 0, "5", "", "heun")
    expected = Pipeline.load(by_class).reconfigured({"sampler": "heun"}).generate("apple", steps=5)
    assert np.array_equal(pixels(images[0]), pixels(expected[0]))
    assert not np.array_equal(pixels(images[0]), pixels(Pipeline.load(by_class).generate("apple", steps=5)[0]))


def test_only_samplers_that_every_run_can_use_are_listed(by_class, tmp_path):
    scm = LoadedRun.load(saved(tmp_path, task="imagenet", objective="scm"))
    flow = LoadedRun.load(by_class)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no note for a sampler that nobody chose
        assert "consistency" in scm.samplers()
    assert {"euler", "heun"} <= {*flow.samplers()}
    for name in registry().components["sampler"].keys() - flow.samplers():
        with pytest.raises(NanoGenError):
            Pipeline.load(by_class).reconfigured({"sampler": {"name": name}})
    for runs, common in (([flow], {*flow.samplers()}), ([flow, scm], {*flow.samplers()} & {*scm.samplers()})):
        listed = [name for _, name in _options(runs)[-1].choices]
        assert listed == [AS_CONFIGURED, *sorted(common)]
        assert "consistency" not in listed


def test_a_long_strip_has_eight_frames(by_class):
    strip = LoadedRun.load(by_class).generate(Settings(request="apple", count=1, steps=40)).strip
    assert [caption for _, caption in strip][::7] == ["t = 1.00", "t = 0.00"]
    assert len(strip) == 8


def test_one_step_has_no_states_between(by_class):
    made = LoadedRun.load(by_class).generate(Settings(request="apple", count=1, steps=1))
    assert len(made.strip) == 2
    assert "one step" in made.note


def test_two_runs_get_the_same_request(by_class, by_caption):
    found = generator([LoadedRun.load(by_class), LoadedRun.load(by_caption)])("apple", 1, 7, "3", "2.0", AS_CONFIGURED)
    expected = [
        Pipeline.load(by_class).generate("apple", seed=7, steps=3, guidance=2.0),
        Pipeline.load(by_caption).generate("apple", seed=7, steps=3),
    ]
    assert all(np.array_equal(pixels(found[3 * i][0]), pixels(expected[i][0])) for i in range(2))
    assert "no guidance" in found[5].value


def test_the_field_follows_the_task(by_class, by_caption):
    assert LoadedRun.load(by_caption).classes() == {}
    classes = LoadedRun.load(by_class).classes()
    assert list(classes) == json.loads((by_class / "pipeline.json").read_text(encoding="utf-8"))["classes"]
    kinds = {}
    for name, folder in (("class", by_class), ("caption", by_caption)):
        blocks = page([LoadedRun.load(folder)])
        kinds[name] = {type(block) for block in blocks.blocks.values() if block.elem_id == "request"}
    assert kinds == {"class": {gr.Dropdown}, "caption": {gr.Textbox}}


def test_equal_class_names_are_told_apart_by_number(by_class):
    run = LoadedRun.load(by_class)

    class Twice(dict):
        pass

    run.pipeline = run.pipeline.with_parts(parts=Twice(classes=("crane", "dog", "crane")))
    assert run.classes() == {"crane (0)": "0", "dog": "dog", "crane (2)": "2"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: "unicorn horn"}, "unicorn horn"),
        ({0: ""}, "request is empty"),
        ({0: None}, "request is empty"),
        ({1: 17}, "1 to 16"),
        ({2: -1}, "seed must be"),
        ({2: None}, "seed must be an integer"),
        ({3: "0"}, "steps must be"),
        ({3: "2.5"}, "steps must be an integer"),
        ({3: "nan"}, "steps must be an integer"),
        ({3: "many"}, "'many' is not a number"),
        ({4: "-1"}, "guidance scale must be"),
        ({4: "nan"}, "guidance scale must be"),
        ({5: "nonsense"}, "nonsense"),
    ],
)
def test_errors_are_one_sentence(by_class, change, message):
    request = [change.get(place, value) for place, value in enumerate(REQUEST)]
    with pytest.raises(gr.Error) as caught:
        generator([LoadedRun.load(by_class)])(*request)
    assert message in caught.value.message
    assert not caught.value.print_exception
    assert "\n" not in caught.value.message


def test_a_programming_error_names_no_traceback(by_class, monkeypatch, caplog):
    run = LoadedRun.load(by_class)
    monkeypatch.setattr(type(run.pipeline.tokenizer), "decode", lambda *_: 1 / 0)
    with pytest.raises(gr.Error) as caught:
        generator([run])(*REQUEST)
    assert "ZeroDivisionError" in caught.value.message
    assert "Traceback" in caplog.text


def test_runs_without_a_common_class_are_refused(by_class):
    runs = [LoadedRun.load(by_class), LoadedRun.load(by_class)]
    runs[1].pipeline = runs[1].pipeline.with_parts(parts={"classes": ("other",)})
    with pytest.raises(NanoGenError, match="no class in common"):
        page(runs)


def test_three_runs_are_refused(by_class):
    result = CliRunner().invoke(app, [str(by_class)] * 3)
    assert result.exit_code == 2
    assert "at most two runs, got 3" in result.output


def test_the_server_sends_the_pixels_of_nanogen_sample(address, sampled):
    found = Client(address, verbose=False).predict(*REQUEST, api_name="/generate")
    assert (len(found), len(found[0])) == (6, 2)
    assert all(
        np.array_equal(pixels(item["image"]), expected) for item, expected in zip(found[0], sampled, strict=True)
    )


def until(browser, script):
    """Wait until a JavaScript expression is true."""
    for _ in range(600):
        if browser.run(script):
            return
        time.sleep(0.05)
    raise AssertionError(f"never true: {script}\n{browser.run('document.body.innerText')}")


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_works_in_a_browser_without_the_network(address, browser, width):
    browser.open(address, width=width)
    until(browser, "!!document.querySelector('#generate')")
    browser.run("document.querySelector('#generate').click()")  # the layout may still move
    until(browser, "[...document.querySelectorAll('.images img, .strip img')].length >= 18")
    until(browser, "[...document.querySelectorAll('.images img, .strip img')].every((i) => i.naturalWidth === 16)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert [url for url in browser.requests() if not url.startswith((address, "blob:"))] == []
    assert not [c for c in browser.complaints() if c.get("type") == "error" or "exceptionDetails" in c]


def test_an_error_is_shown_in_the_page(address, browser):
    browser.open(address)
    until(browser, "!!document.querySelector('#seed input')")
    browser.run("document.querySelector('#seed input').focus(); document.querySelector('#seed input').select()")
    browser.type("-5")
    browser.run("document.querySelector('#generate').click()")  # the layout may still move
    until(browser, "document.body.innerText.includes('seed must be an integer')")
    assert not browser.run("document.body.innerText.includes('Traceback')")
