"""A Gradio page that generates images with pipelines, and a view of an image in the terminal while it forms."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_app.generation import LoadedRun, Settings
    from nanogen_app.page import page
    from nanogen_app.states import RecordedState, recording
    from nanogen_app.terminal import watched

__all__ = ["LoadedRun", "RecordedState", "Settings", "page", "recording", "watched"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "LoadedRun": "generation",
        "RecordedState": "states",
        "Settings": "generation",
        "page": "page",
        "recording": "states",
        "watched": "terminal",
    },
)
