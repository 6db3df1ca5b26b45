"""Generates the images of the page, and the strip of states from noise to image."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import define, field, frozen
from PIL import Image

from nanogen_app.states import RecordedState, decoded, recording
from nanogen_core.errors import ConfigWarning, NanoGenError
from nanogen_core.pipeline import Pipeline
from nanogen_core.registry import registry
from nanogen_core.validators import guidance_scale
from nanogen_files.images import to_pil

FRAMES = 8  # images of the strip
LARGEST = 16  # images of one request
Progress = Callable[[int, int], None]  # called with the steps done and their number


@frozen(kw_only=True)
class Settings:
    """The settings of one request. None means as configured.

    Args:
        request: Class name, class number or caption.
        count: Number of images, 1 to 16.
        seed: Seed of the noise.
        steps: Sampling steps.
        guidance: Guidance scale, 1 for none.
        sampler: Name of a sampler.
    """

    request: str
    count: int = 4
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None


@frozen
class Generated:
    """Images of a request, a strip of frames (image, caption) from noise to the first image, and a note."""

    images: Sequence[Image.Image]
    strip: Sequence[tuple[Image.Image, str]]
    note: str


@define
class LoadedRun:
    """A pipeline with the name that the page shows."""

    name: str
    pipeline: Pipeline
    _by_sampler: dict[str, Pipeline] = field(factory=dict, init=False)

    @classmethod
    def load(cls, folder: Path, *, device: str | None = None) -> LoadedRun:
        """Load the pipeline in a folder. Raises NanoGenError if there is none, or it generates no images."""
        run = cls(folder.resolve().name, Pipeline.load(folder, device=device))
        if run.pipeline.backbone is None:
            raise NanoGenError(f"The pipeline in {folder} has no backbone: give a run that generates images.")
        return run

    @property
    def sampler(self) -> str:
        """Name of the configured sampler."""
        return str(self.pipeline.config.slots["sampler"].name)

    def samplers(self) -> list[str]:
        """Return the names of the installed samplers that the pipeline can use."""
        return [name for name in sorted(registry().components.get("sampler", {})) if self._accepts(name)]

    def _accepts(self, sampler: str) -> bool:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConfigWarning)  # notes that its options replace the configured ones
                self._with_sampler(sampler)
        except NanoGenError:  # such as an objective without an instantaneous velocity
            return False
        return True

    def classes(self) -> dict[str, str]:
        """Map the menu entry of each class to its request. The result is empty if the task takes captions.

        Entry and request are the class name. If several classes share a name, each has the entry `name (number)` and
        the request `number`.
        """
        names = list(self.pipeline.parts["classes"])
        if not names or self.pipeline.task.make_batch(["0"]).labels is None:
            return {}
        times = Counter(names)
        return {f"{n} ({i})" if times[n] > 1 else n: str(i) if times[n] > 1 else n for i, n in enumerate(names)}

    def generate(self, settings: Settings, progress: Progress = lambda done, steps: None) -> Generated:
        """Generate the images of a request as `Pipeline.generate` does, and record the states of the first one.

        Raises NanoGenError for settings that the pipeline does not accept.
        """
        _check(settings)
        states: list[RecordedState] = []

        def listen(state: RecordedState, steps: int) -> None:
            states.append(state)
            progress(min(state.number, steps), steps)

        pipeline = self._with_sampler(settings.sampler)
        scale = settings.guidance if pipeline.guidance else None
        images = recording(pipeline, listen).generate(
            [settings.request] * settings.count,
            seed=settings.seed,
            steps=settings.steps,
            guidance=scale,
            batch_size=LARGEST,
        )
        assert isinstance(images, list)
        return Generated(images, self._strip(states, images[0]), self._note(settings, states))

    def _with_sampler(self, name: str | None) -> Pipeline:
        if name in (None, self.sampler):
            return self.pipeline
        assert name is not None
        if name not in self._by_sampler:
            self._by_sampler[name] = self.pipeline.reconfigured({"sampler": {"name": name}})
        return self._by_sampler[name]

    def _strip(self, states: Sequence[RecordedState], image: Image.Image) -> list[tuple[Image.Image, str]]:
        """Return the frames of the strip. The last one is the image itself."""
        chosen = _evenly(states[:-1], FRAMES - 1)
        frames = to_pil(decoded(self.pipeline, chosen))
        return [(f, f"t = {s.time:.2f}") for f, s in zip(frames, chosen, strict=True)] + [(image, "t = 0.00")]

    def _note(self, settings: Settings, states: Sequence[RecordedState]) -> str:
        notes = []
        if len(states) <= 2:
            notes.append("The sampler goes from noise to image in one step, so there are no states between them.")
        if settings.guidance is not None and not self.pipeline.guidance:
            notes.append("This run has no guidance, so the guidance scale has no effect.")
        return " ".join(notes)


def _check(settings: Settings) -> None:
    if not settings.request.strip():
        raise NanoGenError("The request is empty: enter a prompt or choose a class.")
    if not 1 <= settings.count <= LARGEST:
        raise NanoGenError(f"The number of images must be 1 to {LARGEST}, got {settings.count}.")
    if settings.guidance is not None and not guidance_scale.holds(settings.guidance):
        raise NanoGenError(f"The guidance scale must be {guidance_scale}, got {settings.guidance}.")


def _evenly(states: Sequence[RecordedState], count: int) -> list[RecordedState]:
    """Return at most `count` states at even distances, with the first one."""
    return list(states) if len(states) <= count else [states[i * len(states) // count] for i in range(count)]
