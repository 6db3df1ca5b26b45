"""`build_pipeline` and what it gives: the parts of one model, and pictures from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from nanogen_core.assembly import Assembly
from nanogen_core.config import CONFIG, Resolved, layered, load_config, resolve
from nanogen_core.errors import ConfigError, DataError, NanoGenError, listing, shown
from nanogen_core.kinds import groups
from nanogen_core.modes import eval_mode, modules_of
from nanogen_core.protocols import VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import velocity_field
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Batch, State, trimmed
from nanogen_core.validators import batch, sampling_steps, seed_number
from nanogen_files import storage, yaml_files
from nanogen_files.images import refuse_nonfinite as refuse_nonfinite_images
from nanogen_files.images import to_pil
from nanogen_files.weights import refuse_nonfinite

FACTS = "pipeline.json"
WEIGHTS = "{}.safetensors"  # of each part that learns
PARTS = ("task", "conditioner", "tokenizer", "latent", "backbone", "objective", "sampler")
LEARNING = ("backbone", "conditioner", "objective")  # the parts whose state is the pipeline's own
FORMAT = 1
LIMITS = {"seed": seed_number, "batch_size": batch, "steps": sampling_steps}  # of the options of `generate`


def build_pipeline(
    config: str | Path | Mapping[str, Any] | Resolved | None = None,
    *,
    device: torch.device | str | None = None,
    **options: Any,
) -> Pipeline:
    """The pipeline of a configuration (a file, a recipe's name, a mapping or a resolved one), of keywords, or of both.

    Keywords are the keys of a configuration file: `task="t2i"`, `method="vae"`, `backbone={"name": "ddt",
    "size": "tiny"}`, `guidance={"cfg": {"scale": 4.0}}`; an object stands for itself (`backbone=my_network`).
    Raises a NanoGenError that says what is wrong, before anything is loaded.
    """
    if isinstance(config, Resolved) and not options:
        resolved = config
    else:
        config = config.as_dict() if isinstance(config, Resolved) else config
        resolved = resolve(*layered(config, options))
    torch.manual_seed(resolved.seed)  # the initial weights; everything later draws from keyed generators
    return Pipeline(resolved, _assembly(resolved)).to(device or "cpu")


class Pipeline:
    """One model: its parts by name, and the road from a request to pictures."""

    config: Resolved
    parts: Assembly
    task: Any
    conditioner: Any
    tokenizer: Any
    latent: LatentSpec
    backbone: Any  # an nn.Module; None beside a stage that excludes it
    objective: Any
    sampler: Any
    guidance: Mapping[str, Any]  # by name, the innermost first

    def __init__(self, config: Resolved, parts: Assembly):
        guidance = dict(sorted(parts["guidance"].items(), key=lambda item: item[1].level))
        self.__dict__.update(
            config=config, parts=parts, guidance=MappingProxyType(guidance), **{name: parts.get(name) for name in PARTS}
        )

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuses another part: the configuration, the optimiser and a saved pipeline would not know it."""
        if name in self.__dict__:
            names = " by its name, which a plugin gives it" if name in groups() else ""
            raise NanoGenError(
                f"A part of a pipeline cannot be replaced: give it when the pipeline is built{names},"
                f" `build_pipeline(..., {name}=...)`."
            )
        super().__setattr__(name, value)

    def with_modules(self, **modules: nn.Module) -> Pipeline:
        """This pipeline with other modules in the place of parts that learn, such as averages of their weights."""
        found = copy(self)
        found.__dict__.update(modules)
        return found

    @property
    def device(self) -> torch.device:
        held = [module for part in (self.backbone, self.tokenizer) for module in modules_of(part)]
        return next((p.device for module in held for p in module.parameters()), torch.device("cpu"))

    def to(self, device: torch.device | str) -> Pipeline:
        """Moves every part that holds tensors; returns the pipeline itself."""
        for part in (self.conditioner, self.tokenizer, self.backbone, self.objective):
            if callable(getattr(part, "to", None)):
                part.to(device)
        return self

    def generate(
        self,
        prompts_or_labels: Sequence[str | int] | str | int,
        *,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | Mapping[str, float] | None = None,
        batch_size: int = 64,
        tensors: bool = False,
    ) -> list[Image.Image] | Tensor:
        """Pictures of what was asked for, one for each request.

        The noise of sample i depends on (seed, i) alone, so it is the same in a batch of any size; the pixels then
        agree to float rounding. `guidance` is a scale (1: none), or a mapping of names to scales where there are
        several. With `tensors=True` the answer is float32 [B, 3, H, W] in [-1, 1].
        """
        if not isinstance(prompts_or_labels, Iterable | int):
            raise NanoGenError(f"Give a label or a caption, or a list of them, not {shown(prompts_or_labels)}.")
        requests = [prompts_or_labels] if isinstance(prompts_or_labels, (str, int)) else list(prompts_or_labels)
        given = {"seed": seed, "batch_size": batch_size, **({} if steps is None else {"steps": steps})}
        for name, value in given.items():
            _refuse_outside(name, value)
        if not requests:
            raise NanoGenError("Nothing was asked for: give at least one label or caption.")
        batch = self.task.make_batch(requests)
        images = self.sample(batch, seed=seed, steps=steps, guidance=guidance, batch_size=batch_size)
        return images if tensors else to_pil(images)

    def sample(self, batch: Batch, *, batch_size: int = 64, **options: Any) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] for a batch of requests, in evaluation mode. `options` as in `generate`.

        Raises NanoGenError for a pipeline without a backbone.
        """
        if self.backbone is None:
            raise NanoGenError(_no_backbone(self.config))
        with eval_mode(self.backbone, self.conditioner, self.tokenizer, self.objective, *self.guidance.values()):
            parts = [self._sample(chunk, **options) for chunk in chunks(batch, batch_size)]
        return torch.cat(parts).clamp(-1, 1)

    @torch.no_grad()
    def _sample(
        self,
        batch: Batch,
        *,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | Mapping[str, float] | None = None,
    ) -> Tensor:
        draws = KeyedRNG(seed, batch.indices.tolist())  # on the CPU, so that every device draws the same pictures
        condition, null = trimmed(self.conditioner.encode(batch), self.conditioner.null(len(batch.indices)))
        velocity_fn: VelocityFn = velocity_field(self.objective, self.backbone)
        for wrapper in self._guidance(guidance):
            velocity_fn = wrapper.wrap(velocity_fn, null)
        state = self.sampler.sample(self.objective, velocity_fn, self._noise(draws), condition, steps)
        images: Tensor = self.tokenizer.decode(state.latent, draws).float()
        refuse_nonfinite_images(images)
        return images

    def _noise(self, draws: KeyedRNG) -> State:
        noise = State(draws.normal("sample.latent", self.latent.shape))  # [B, C, h, w]
        if self.latent.cls_token_width:
            noise = noise._replace(cls_token=draws.normal("sample.token", (self.latent.cls_token_width,)))
        return noise.map(lambda x: x.to(self.device))

    def _guidance(self, scales: float | Mapping[str, float] | None) -> list[Any]:
        if scales is None:
            return list(self.guidance.values())
        if not isinstance(scales, Mapping):
            scales = {_only(self.guidance): scales}
        unknown = set(scales) - set(self.guidance)
        if unknown:
            raise NanoGenError(f"This pipeline has no guidance {listing(unknown)}, only: {listing(self.guidance)}.")
        return [_scaled(name, g, scales[name]) if name in scales else g for name, g in self.guidance.items()]

    # -- saved pipelines ---------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, *, weights: Mapping[str, Mapping[str, Tensor]] | None = None) -> Path:
        """Writes `config.yaml`, `pipeline.json` and one safetensors file for each part that learns.

        `weights` stand in for those of the parts that they name (averaged weights, while training goes on).
        """
        folder = Path(folder)
        for name, state in {**self.state(), **(weights or {})}.items():
            storage.write_tensors(folder / WEIGHTS.format(name), state)
        storage.write_json(folder / FACTS, self._facts())
        storage.write_text(folder / CONFIG, yaml_files.dump(self.config.as_dict()))
        return folder

    def state(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of each part that learns."""
        modules = {name: self.parts[name] for name in LEARNING if hasattr(self.parts.get(name), "state_dict")}
        states = {name: dict(module.state_dict()) for name, module in modules.items()}
        return {name: state for name, state in states.items() if state}

    def _facts(self) -> dict[str, Any]:
        distributions = {part.chosen.distribution for part in self.config.slots.values()}
        return {
            "format": FORMAT,
            "classes": list(self.parts["classes"]),
            "latent": list(self.latent.shape),
            "versions": dict(sorted(_versions(distributions).items())),
        }

    @classmethod
    def load(cls, folder: str | Path, *, device: torch.device | str | None = None, **objects: Any) -> Pipeline:
        """A saved pipeline, or the newest state of a run. Needs no training data.

        A part that was an object is given again, `Pipeline.load(folder, backbone=network)`. Its weights are then those
        of the folder.

        Raises ConfigError where such an object is missing, DataError where the folder holds no pipeline or a damaged
        one.
        """
        folder = Path(folder)
        if not (folder / FACTS).is_file() or not (folder / CONFIG).is_file():
            raise DataError(
                f"There is no saved pipeline in {folder} (no {CONFIG} with {FACTS}): name the folder of a run, or one"
                " that Pipeline.save or `nanogen import` wrote."
            )
        facts = _read_facts(folder / FACTS)
        config = load_config(folder / CONFIG)
        try:
            resolved = resolve(config, objects)
        except ConfigError as error:
            raise ConfigError(f"{folder / CONFIG}: {error}") from error
        assembly = Assembly(resolved, {"classes": tuple(facts["classes"])})
        assembly.excuse_dataset()
        _refuse_other_latent(folder, facts, assembly)  # before a network of its size is built
        pipeline = cls(resolved, assembly)
        pipeline._load_state(folder)
        return pipeline.to(device or "cpu")

    def _load_state(self, folder: Path) -> None:
        for name, state in self.state().items():
            path = folder / WEIGHTS.format(name)
            tensors = storage.read_tensors(path)
            refuse_nonfinite(tensors, path)
            load_exactly(self.parts[name], tensors, expected=state, source=path)


def _no_backbone(config: Resolved) -> str:
    by = next(part for part in config.slots.values() if "backbone" in part.chosen.component.excludes)
    kind = by.chosen.component.kind
    return (
        f"This pipeline has no backbone, because its {kind} {by.name!r} trains another part. Load the folder of a run"
        " that trains a backbone."
    )


def _versions(distributions: Iterable[str]) -> dict[str, str]:
    """The versions of installed distributions; a part that is an object or comes from a file has none."""
    found = {}
    for name in filter(None, distributions):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _read_facts(path: Path) -> dict[str, Any]:
    """The facts of a saved pipeline. Raises DataError for a damaged file, or one of another format."""
    facts = storage.read_json(path)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise DataError(f"{path} is of another format than this nanogen-core reads ({FORMAT}).")
    classes = facts.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{path} is damaged: `classes` must be a list of names, got {shown(classes)}.")
    return facts


def _refuse_other_latent(folder: Path, facts: Mapping[str, Any], parts: Assembly) -> None:
    """Raises DataError where the configuration makes latents of another shape than those that were trained on."""
    shape, known = list(parts["latent"].shape), facts.get("latent", list(parts["latent"].shape))
    if shape != known:
        raise DataError(
            f"{folder / CONFIG} gives latents of the shape {shape}, and {FACTS} says {shown(known)}: one of the two was"
            " changed since the pipeline was saved (such as image_size). Restore it."
        )


def _assembly(resolved: Resolved) -> Assembly:
    """The parts. A section may know facts, such as class names: the dataset may then be absent."""
    known: dict[str, Any] = {}
    for options in resolved.sections.values():
        known.update(options.facts() if callable(getattr(options, "facts", None)) else {})
    assembly = Assembly(resolved, known)
    if "classes" in known:
        assembly.excuse_dataset()
    return assembly


def load_exactly(module: Any, state: Mapping[str, Tensor], *, expected: Mapping[str, Tensor], source: Path) -> None:
    """Loads a state whose names and shapes must be the expected ones. Raises DataError naming the first difference."""
    missing, extra = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"has the unknown {extra[0]!r}"
        raise DataError(f"{source} {what}: it belongs to another configuration.")
    for name, value in expected.items():
        if state[name].shape != value.shape:
            raise DataError(
                f"{source}: {name!r} has the shape {tuple(state[name].shape)}, the configuration {tuple(value.shape)}."
            )
    module.load_state_dict(state)


def chunks(batch: Batch, size: int) -> Iterator[Batch]:
    """The batch in parts of at most `size` examples."""
    if size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {size}.")
    for start in range(0, len(batch.indices), size):
        yield batch.part(start, start + size)


def _refuse_outside(name: str, value: Any) -> None:
    """Raises ConfigError for an option of `generate` that is no whole number within its limits."""
    limits = LIMITS[name]
    if not isinstance(value, Integral) or isinstance(value, bool) or not limits.holds(value):
        raise ConfigError(f"{name} must be a whole number, {limits}, got {shown(value)}.")


def _scaled(name: str, guidance: Any, scale: float) -> Any:
    if not callable(getattr(guidance, "with_scale", None)):
        raise NanoGenError(f"guidance {name!r} has no scale to set (no `with_scale`): leave out the scale.")
    try:
        return guidance.with_scale(scale)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"guidance {name!r}: {error.args[0]}.") from error


def _only(guidance: Mapping[str, Any]) -> str:
    """The name of the outermost guidance, which a plain number speaks of."""
    if not guidance:
        raise NanoGenError("This pipeline has no guidance to scale: add `guidance: cfg` to its configuration.")
    return list(guidance)[-1]
