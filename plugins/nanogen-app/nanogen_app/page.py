"""The page: inputs, images, and the strip from noise to image, for one or two runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

import gradio as gr

from nanogen_app.generation import LARGEST, LoadedRun, Settings
from nanogen_core.errors import NanoGenError, is_out_of_memory, shown

AS_CONFIGURED = "as configured"
FONTS = ("system-ui", "sans-serif")  # of the reader's system: other fonts would come from another server
CSS = """
.gradio-container { width: 100% !important; max-width: 1200px !important; margin: 0 auto !important; }
.images .grid-wrap, .strip .grid-wrap { padding-top: 32px !important;
  min-height: 0 !important; height: auto !important; }
.images .grid-container, .strip .grid-container {
  grid-template-columns: repeat(auto-fill, minmax(80px, 1fr)) !important;
  grid-template-rows: none !important; height: auto !important;
}
.small-images img { image-rendering: pixelated; }
"""
log = logging.getLogger(__name__)


def page(runs: Sequence[LoadedRun]) -> gr.Blocks:
    """Build the page of one run, or of two runs side by side.

    Raises NanoGenError if two runs have classes, but no class in common.
    """
    names = _names(runs)
    with gr.Blocks(title=f"NanoGen: {', '.join(names)}", analytics_enabled=False) as blocks:
        gr.Markdown(f"# NanoGen: {' and '.join(names)}")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                inputs = [_request(runs), *_options(runs)]
                button = gr.Button("Generate", variant="primary", elem_id="generate")
            with gr.Column(scale=3, min_width=300), gr.Row():
                outputs = [part for name, run in zip(names, runs, strict=True) for part in _results(name, run)]
        events = [button.click, *([inputs[0].submit] if isinstance(inputs[0], gr.Textbox) else [])]
        gr.on(events, generator(runs), inputs, outputs, api_name="generate", concurrency_limit=1)
    return cast(gr.Blocks, blocks)


def generator(runs: Sequence[LoadedRun]) -> Any:
    """Return the function that the button calls: inputs -> images, strip and note of each run.

    Every error that it raises is a gr.Error with a message for the user.
    """

    def generate(
        request: str,
        count: float,
        seed: float | None,
        steps: str,
        guidance: str,
        sampler: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio recognizes the default)
    ) -> list[Any]:
        found: list[Any] = []
        for name, run in zip(_names(runs), runs, strict=True):

            def show(done: int, of: int, name: str = name) -> None:
                progress((done, of), desc=name, unit="steps")

            try:
                settings = Settings(
                    request=str(request or ""),
                    count=_integer("The number of images", count),
                    seed=_integer("The seed", seed),
                    steps=None if not steps.strip() else _integer("The number of steps", _number("Steps", steps)),
                    guidance=None if not guidance.strip() else _number("Guidance scale", guidance),
                    sampler=None if sampler == AS_CONFIGURED else sampler,
                )
                made = run.generate(settings, show)
            except Exception as error:
                raise gr.Error(_sentence(error, name if len(runs) > 1 else ""), print_exception=False) from error
            found += [made.images, made.strip, gr.Markdown(made.note, visible=bool(made.note))]
        return found

    return generate


def serve(blocks: gr.Blocks, *, host: str, port: int | None, share: bool) -> gr.Blocks:
    """Start the server of a page in a thread and return the page, which has `local_url` and `block_thread`."""
    theme = gr.themes.Default(font=FONTS, font_mono=("ui-monospace", "monospace"))
    blocks.launch(
        server_name=host,
        server_port=port,
        share=share,
        theme=theme,
        css=CSS,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        prevent_thread_lock=True,
    )
    return blocks


def _names(runs: Sequence[LoadedRun]) -> list[str]:
    """Return a name per run. Two runs of one name are numbered."""
    names = [run.name for run in runs]
    return names if len({*names}) == len(names) else [f"{name} ({i})" for i, name in enumerate(names, start=1)]


def _request(runs: Sequence[LoadedRun]) -> gr.Dropdown | gr.Textbox:
    """Return a list of the classes that all runs with classes have, or a text field if every run takes captions."""
    classes = [found for run in runs if (found := run.classes())]
    if not classes:
        return gr.Textbox(label="Prompt", placeholder="a red apple", elem_id="request")
    common = [pair for pair in classes[0].items() if all(pair in other.items() for other in classes[1:])]
    if not common:
        raise NanoGenError("The two runs have no class in common: give two runs of the same classes.")
    return gr.Dropdown(common, value=common[0][1], label="Class", elem_id="request")


def _options(runs: Sequence[LoadedRun]) -> list[gr.components.Component]:
    configured = {run.sampler for run in runs}
    samplers = sorted(set.intersection(*({*run.samplers()} for run in runs)))
    steps = {run.pipeline.sampler.steps for run in runs}
    scales = {name for run in runs for name in run.pipeline.guidance}
    return [
        gr.Slider(1, LARGEST, value=4, step=1, label="Images"),
        gr.Number(0, label="Seed", precision=0, elem_id="seed"),
        gr.Textbox(label="Steps", placeholder=_hint(steps)),
        gr.Textbox(
            label="Guidance scale",
            placeholder=AS_CONFIGURED if scales else "none in this run",
            interactive=bool(scales),
        ),
        gr.Dropdown([(_hint(configured), AS_CONFIGURED), *samplers], value=AS_CONFIGURED, label="Sampler"),
    ]


def _hint(values: set[Any]) -> str:
    return f"{AS_CONFIGURED} ({values.copy().pop()})" if len(values) == 1 else AS_CONFIGURED


def _results(name: str, run: LoadedRun) -> list[gr.components.Component]:
    """Return the images, the strip and the note of a run."""
    small = ["small-images"] if run.pipeline.task.image_size <= 128 else []
    look: dict[str, Any] = {"format": "png", "columns": 4, "interactive": False, "height": "auto"}
    with gr.Column(min_width=300):
        images = gr.Gallery(label=f"Images of {name}", elem_classes=["images", *small], **look)
        strip = gr.Gallery(label="From noise to image", elem_classes=["strip", *small], **look)
        note = gr.Markdown(visible=False)
    return [images, strip, note]


def _integer(what: str, value: float | None) -> int:
    if value is None or not float(value).is_integer():
        raise NanoGenError(f"{what} must be an integer, got {value if value is not None else 'nothing'}.")
    return int(value)


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise NanoGenError(f"{what}: {shown(text)} is not a number. Enter one.") from None


def _sentence(error: Exception, name: str) -> str:
    """Return an error as a sentence. Programming errors are also logged with their traceback."""
    if isinstance(error, NanoGenError):
        text = str(error)
    elif is_out_of_memory(error):
        text = "The machine or its device ran out of memory: lower the number of images."
    else:
        log.error("Sampling failed.", exc_info=error)
        text = f"Sampling failed with {type(error).__name__}. The terminal of `nanogen app` has the details."
    return f"{name}: {text}" if name else text
