"""`build_pipeline` and `Pipeline`: the parts of one model, image generation, saving and loading."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from nanogen_core.assembly import Assembly
from nanogen_core.config import CONFIG, Resolved, import_object, layered, load_config, resolve
from nanogen_core.config_layers import normalise
from nanogen_core.errors import ConfigError, ConfigWarning, DataError, NanoGenError, listing, shown
from nanogen_core.eval_mode import eval_mode, modules_of
from nanogen_core.kinds import groups, slots
from nanogen_core.protocols import Guidance, VelocityFn
from nanogen_core.randomness import KeyedRNG
from nanogen_core.registry import registry
from nanogen_core.sampling import velocity_field
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Batch, State
from nanogen_core.validators import batch, sampling_steps, seed_number
from nanogen_files import hub, storage, yaml_files
from nanogen_files.images import refuse_nonfinite as refuse_nonfinite_images
from nanogen_files.images import to_pil
from nanogen_files.reading import user_path
from nanogen_files.weights import load_exactly, refuse_nonfinite

FACTS = "pipeline.json"
WEIGHTS = "{}.safetensors"  # one file per trained part
PARTS = ("task", "conditioner", "tokenizer", "latent", "backbone", "objective", "sampler")
LEARNING = ("backbone", "conditioner", "objective")  # the parts that are saved if they have weights
FORMAT = 1
TRAINED = ("classes", "encoder", "conditioner", "tokenizer", "latent", "backbone", "objective")
FREE = ("task", "dataset", "sampler", "guidance")  # parts that may be changed after training
GuidanceChoice = float | str | Mapping[str, float] | Guidance | None
LIMITS = {"seed": seed_number, "batch_size": batch, "steps": sampling_steps}  # limits of the options of `generate`


def build_pipeline(
    config: str | Path | Mapping[str, Any] | Resolved | None = None,
    *,
    device: torch.device | str | None = None,
    **options: Any,
) -> Pipeline:
    """Build a pipeline with initial weights.

    `build_pipeline("config.yaml", device="cuda", guidance={"cfg": {"scale": 4.0}})`, or without a file
    `build_pipeline(task="t2i", method="vae", backbone={"name": "ddt", "size": "tiny"})`.

    Args:
        config: A YAML file, a recipe name, a mapping, or a resolved configuration.
        device: Device of the parts; the CPU by default.
        options: Configuration keys that override `config`. A slot also takes an object: `backbone=my_network`.

    Raises NanoGenError for a wrong configuration. Names and options are checked before any part is built.
    """
    below = (config.as_dict(), config.objects()) if isinstance(config, Resolved) else layered(config)
    resolved = config if isinstance(config, Resolved) and not options else resolve(*below, options)
    torch.manual_seed(resolved.seed)  # for the initial weights; all later random numbers come from KeyedRNG
    return Pipeline(resolved, _assembly(resolved)).to(device or "cpu")


class Pipeline:
    """A model: its parts as attributes, image generation, saving and loading."""

    config: Resolved
    parts: Assembly
    task: Any
    conditioner: Any
    tokenizer: Any
    latent: LatentSpec
    backbone: Any  # an nn.Module; None if the stage excludes a backbone
    objective: Any
    sampler: Any
    guidance: Mapping[str, Any]  # by name, innermost first
    learned: tuple[str, ...]  # parts whose weights are saved: those in LEARNING, and others that the stage trained

    def __init__(self, config: Resolved, parts: Assembly):
        guidance = dict(sorted(parts["guidance"].items(), key=lambda item: item[1].level))
        self.__dict__.update(
            config=config, parts=parts, guidance=MappingProxyType(guidance), **{name: parts.get(name) for name in PARTS}
        )
        trained = ("tokenizer",) if getattr(self.tokenizer, "trainable", False) else ()
        self.__dict__["learned"] = (*LEARNING, *trained)

    def __setattr__(self, name: str, value: Any) -> None:
        """Raise NanoGenError for a part: the configuration, the optimizer and `save` would not use the new one."""
        if name in self.__dict__:
            names = ", in a mapping of names to objects" if name in groups() else ""
            how = f"Give it when you build the pipeline{names}: `build_pipeline(..., {name}=...)`."
            if name not in {*slots(), *groups()}:
                how = "Build another pipeline with other options: `build_pipeline(pipeline.config, ...)`."
            raise NanoGenError(f"The part {name!r} of a pipeline cannot be replaced. {how}")
        super().__setattr__(name, value)

    def with_parts(self, **parts: Any) -> Pipeline:
        """Return a copy with other parts, such as `with_parts(backbone=ema_network)`."""
        found = copy(self)
        found.__dict__.update(parts)
        return found

    @property
    def device(self) -> torch.device:
        """Device of the weights of the backbone, else of the tokenizer. It is the CPU if neither has weights."""
        held = [module for part in (self.backbone, self.tokenizer) for module in modules_of(part)]
        return next((p.device for module in held for p in module.parameters()), torch.device("cpu"))

    def to(self, device: torch.device | str) -> Pipeline:
        """Move the conditioner, tokenizer, backbone and objective to a device, and return this pipeline."""
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
        guidance: GuidanceChoice = None,
        batch_size: int = 64,
        tensors: bool = False,
    ) -> list[Image.Image] | Tensor:
        """Generate one image per request: `pipeline.generate(["apple", "dog"], seed=0, steps=50)`.

        The noise of sample i depends only on (seed, i), not on the batch size.

        Args:
            prompts_or_labels: Captions, or class names and numbers; one or a list.
            seed: Seed of the noise.
            steps: Sampling steps; by default as configured.
            guidance: The scale of the outermost guidance (1 means none), or a mapping of guidance names to scales. An
                object, or the name of an installed guidance, replaces the configured guidances. Default: as configured.
            batch_size: Number of images that are computed at once.
            tensors: Return a float32 tensor [B, 3, H, W] in [-1, 1] instead of PIL images.

        Raises NanoGenError for a request that the task does not know and for an option that is out of range.
        """
        if not isinstance(prompts_or_labels, Iterable | int):
            raise NanoGenError(f"Expected a label, a caption or a list of them, got {shown(prompts_or_labels)}.")
        requests = [prompts_or_labels] if isinstance(prompts_or_labels, (str, int)) else list(prompts_or_labels)
        for name, value in {"seed": seed, "batch_size": batch_size, "steps": 1 if steps is None else steps}.items():
            _refuse_outside(name, value)
        if not requests:
            raise NanoGenError("The list of requests is empty: give at least one label or caption.")
        batch = self.task.make_batch(requests)
        images = self.sample(batch, seed=seed, steps=steps, guidance=guidance, batch_size=batch_size)
        return images if tensors else to_pil(images)

    def sample(self, batch: Batch, *, batch_size: int = 64, **options: Any) -> Tensor:
        """Generate images [B, 3, H, W] in [-1, 1] for a batch of requests, in evaluation mode.

        Args:
            batch: Requests, as `task.make_batch` or `task.eval_batch` returns them.
            batch_size: Number of images that are computed at once.
            options: `seed`, `steps` and `guidance` as in `generate`.

        Raises NanoGenError if the pipeline has no backbone or an image is not finite.
        """
        if self.backbone is None:
            raise NanoGenError(_no_backbone(self.config))
        with eval_mode(self.backbone, self.conditioner, self.tokenizer, self.objective, *self.guidance.values()):
            parts = [self._sample(chunk, **options) for chunk in chunks(batch, batch_size)]
        return torch.cat(parts).clamp(-1, 1)

    @torch.no_grad()
    def _sample(
        self, batch: Batch, *, seed: int = 0, steps: int | None = None, guidance: GuidanceChoice = None
    ) -> Tensor:
        draws = KeyedRNG(seed, batch.indices.tolist())  # on the CPU, so that images agree on every device
        condition, null = self.conditioner.encode(batch), self.conditioner.null(len(batch.indices))
        velocity_fn: VelocityFn = velocity_field(self.objective, self.backbone)
        for wrapper in self._guidance(guidance):
            velocity_fn = wrapper.wrap(velocity_fn, null)
        steps = self.sampler.steps if steps is None else steps
        state = self.sampler.sample(self.objective, velocity_fn, self._noise(draws), condition, steps, draws)
        images: Tensor = self.tokenizer.decode(state.latent, draws).float()
        refuse_nonfinite_images(images)
        return images

    def _noise(self, draws: KeyedRNG) -> State:
        noise = State(draws.normal("sample.latent", self.latent.shape))  # [B, C, h, w]
        if self.latent.cls_token_width:
            noise = noise._replace(cls_token=draws.normal("sample.token", (self.latent.cls_token_width,)))
        noise = noise.map(lambda x: x.to(self.device))
        zero, one = noise.map(torch.zeros_like), torch.ones(len(draws.slots), device=self.device)
        return self.objective.interpolate(zero, noise, one)  # type: ignore[no-any-return]

    def _guidance(self, scales: GuidanceChoice) -> list[Any]:
        if scales is None:
            return list(self.guidance.values())
        if isinstance(scales, str):
            others: dict[str, Any] = dict.fromkeys({*self.config.groups["guidance"]} - {scales})
            return list(self.reconfigured({"guidance": {**others, scales: {}}}).guidance.values())
        if hasattr(scales, "wrap"):
            return [scales]
        if not isinstance(scales, Mapping):
            if not self.guidance:
                raise NanoGenError("This pipeline has no guidance: add `guidance: cfg` to its configuration.")
            scales = {list(self.guidance)[-1]: scales}  # a scale without a name applies to the outermost guidance
        if unknown := set(scales) - set(self.guidance):
            raise NanoGenError(f"This pipeline has no guidance {listing(unknown)}. It has: {listing(self.guidance)}.")
        return [_scaled(name, g, scales[name]) if name in scales else g for name, g in self.guidance.items()]

    def reconfigured(self, settings: Mapping[str, Any], free: Sequence[str] = FREE) -> Pipeline:
        """Return a pipeline with other settings, such as `{"sampler": "heun"}`, and the trained parts of this one.

        Raises ConfigError for a key that is not in `free`, and NanoGenError for any other wrong setting.
        """
        if fixed := sorted(set(settings) - set(free)):
            raise ConfigError(f"Settings cannot change {listing(fixed)} of a trained pipeline, only {listing(free)}.")
        resolved = resolve(self.config.as_dict(), self.config.objects(), self._replaced(settings), settings)
        kept = {name: vars(self).get(name) or self.parts[name] for name in TRAINED if name in self.parts}
        parts = Assembly(resolved, kept)
        parts.excuse_dataset()
        return Pipeline(resolved, parts).with_parts(learned=self.learned)

    def _replaced(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return null for the members of groups that newly selected ones replace by their defaults, and warn."""
        nulls: dict[str, Any] = {}
        for kind in groups() & (layer := normalise(settings, [])).keys():
            saved = self.config.groups[kind]
            for name in [n for n, options in layer[kind].items() if n not in saved and isinstance(options, dict)]:
                defaults = normalise(registry().component(kind, name).what.defaults, []).get(kind, {})
                if old := [each for each in saved if each not in layer[kind] and defaults.get(each, {}) is None]:
                    note = f"{kind}: {name!r} replaces {listing(old)}, whose options are dropped."
                    warnings.warn(note, ConfigWarning, stacklevel=3)
                    nulls[kind] = {**nulls.get(kind, {}), **dict.fromkeys(old)}
        return nulls

    def save(self, folder: str | Path, *, weights: Mapping[str, Mapping[str, Tensor]] | None = None) -> Path:
        """Write `config.yaml`, `pipeline.json` and one safetensors file per trained part. Returns the folder.

        Args:
            folder: Folder to write to. It is created if missing. The files of a pipeline in it are overwritten.
            weights: Part name -> state dict to write instead of the part's own, such as EMA weights.
        """
        folder = Path(folder)
        states = {**self.state(), **(weights or {})}
        for name, state in states.items():
            storage.write_tensors(folder / WEIGHTS.format(name), state)
        storage.write_json(folder / FACTS, self._facts(states))
        storage.write_text(folder / CONFIG, yaml_files.dump(self.config.as_dict()))
        return folder

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return the state dict of each trained part, by part name."""
        parts: dict[str, Any] = {name: vars(self).get(name, self.parts.get(name)) for name in self.learned}
        states = {name: dict(part.state_dict()) for name, part in parts.items() if hasattr(part, "state_dict")}
        return {name: state for name, state in states.items() if state}

    def _facts(self, trained: Iterable[str]) -> dict[str, Any]:
        distributions = {part.chosen.distribution for part in self.config.slots.values()}
        return {
            "format": FORMAT,
            "trained": sorted(set(trained) & set(self.parts)),
            "classes": list(self.parts["classes"]),
            "latent": list(self.latent.shape),
            "versions": dict(sorted(_versions(distributions).items())),
        }

    @classmethod
    def load(cls, folder: str | Path, *, device: torch.device | str | None = None, **objects: Any) -> Pipeline:
        """Load a saved pipeline, or the newest state of a run. Does not need the training data.

        Args:
            folder: Folder that `save`, a training run or `nanogen import` wrote, or an address `hf://user/name`.
            device: Device of the parts; the CPU by default.
            objects: Parts that were given as objects, such as `backbone=network`. The saved weights are loaded into
                them. Options may be given too, such as `tokenizer={"path": "my-vae"}`.

        Raises:
            ConfigError: `objects` lacks a part that was an object when the pipeline was saved.
            DataError: The folder has no pipeline, or a damaged one.
        """
        folder = user_path(str(folder))
        if not (folder / FACTS).is_file() or not (folder / CONFIG).is_file():
            raise DataError(
                f"There is no saved pipeline in {folder} ({CONFIG} or {FACTS} is missing). Give the folder of a run,"
                " one that Pipeline.save or `nanogen import` wrote, or hf://user/name for a model on the hub."
            )
        facts = _read_facts(folder / FACTS)
        config = hub.with_folder(load_config(folder / CONFIG), folder)
        try:
            resolved = resolve(config, objects)
        except ConfigError as error:
            raise ConfigError(f"{folder / CONFIG}: {error}") from error
        assembly = Assembly(resolved, {"classes": tuple(facts["classes"])})
        assembly.excuse_dataset()
        _refuse_other_latent(folder, facts, assembly)  # before the network is built
        pipeline = cls(resolved, assembly)
        pipeline = pipeline.with_parts(learned=tuple(facts.get("trained", pipeline.learned)))
        for options in resolved.sections.values():
            getattr(options, "before_load", lambda built: None)(pipeline)
        pipeline._load_state(folder)
        return pipeline.to(device or "cpu")

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None, **options: Any) -> Pipeline:
        """Load a pipeline from the folder `name`. Without such a folder, load the model `user/name` from the hub.

        `revision` is a branch, tag or commit on the hub; `options` are the keyword arguments of `load`.
        """
        return cls.load(hub.pipeline_folder(name, revision), **options)

    def push_to_hub(self, name: str, **options: Any) -> str:
        """Upload the pipeline with a model card, and return the URL. Options: see `nanogen_hub.push_to_hub`."""
        return str(offered("nanogen_hub:push_to_hub")(self, name, **options))

    def to_diffusers(self, folder: str | Path) -> Path:
        """Write a folder for `DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)`, and return it."""
        return Path(offered("nanogen_hub:to_diffusers")(self, folder))

    def _load_state(self, folder: Path) -> None:
        for name, state in self.state().items():
            path = folder / WEIGHTS.format(name)
            tensors = storage.read_tensors(path)
            refuse_nonfinite(tensors, path)
            load_exactly(self.parts[name], tensors, expected=state, source=path)


def offered(function: str) -> Any:
    """Import a function of another distribution. Raises NanoGenError with the pip command if it is not installed."""
    package = function.partition(":")[0]
    if find_spec(package) is None:
        raise NanoGenError(f"{package} is not installed: run `pip install {package.replace('_', '-')}`.")
    return import_object(function)


def _no_backbone(config: Resolved) -> str:
    by = next(part for part in config.slots.values() if "backbone" in part.chosen.component.excludes)
    what = f"{by.chosen.component.kind} {by.name!r}"
    return f"This pipeline has no backbone, because {what} trains another part. Load a run that trains a backbone."


def _versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that are installed. Plugin files and objects have none."""
    found = {}
    for name in filter(None, distributions):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _read_facts(path: Path) -> dict[str, Any]:
    """Read `pipeline.json`. Raises DataError for a damaged file or another format version."""
    facts = storage.read_json(path)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise DataError(
            f"{path} does not have format version {FORMAT}, the only one that can be read. Load it with the version of"
            " nanogen-core that saved it. If the file is damaged, use a copy of it, or save the pipeline again."
        )
    for key, names in {"classes": facts.get("classes"), "trained": facts.get("trained", [])}.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"{path}: `{key}` must be a list of names, got {shown(names)}. Save the pipeline again.")
    return facts


def _refuse_other_latent(folder: Path, facts: Mapping[str, Any], parts: Assembly) -> None:
    """Raise DataError if the latent shape of the configuration differs from the saved one."""
    shape, known = list(parts["latent"].shape), facts.get("latent", list(parts["latent"].shape))
    if shape != known:
        raise DataError(
            f"{folder / CONFIG} gives latents of shape {shape}, but {FACTS} has {shown(known)}. Restore the"
            " values with which the pipeline was saved, such as image_size and the tokenizer."
        )


def _assembly(resolved: Resolved) -> Assembly:
    """Return the assembly. If a section knows the class names (precomputed latents), the dataset may be missing."""
    known: dict[str, Any] = {}
    for options in resolved.sections.values():
        known.update(options.facts() if callable(getattr(options, "facts", None)) else {})
    assembly = Assembly(resolved, known)
    if "classes" in known:
        assembly.excuse_dataset()
    return assembly


def chunks(batch: Batch, size: int) -> Iterator[Batch]:
    """Split a batch into parts of at most `size` examples."""
    if size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {size}.")
    for start in range(0, len(batch.indices), size):
        yield batch.part(start, start + size)


def _refuse_outside(name: str, value: Any) -> None:
    """Raise ConfigError if an option of `generate` is not an integer within its limits."""
    limits = LIMITS[name]
    if not isinstance(value, Integral) or isinstance(value, bool) or not limits.holds(value):
        raise ConfigError(f"{name} must be an integer, {limits}, got {shown(value)}.")


def _scaled(name: str, guidance: Any, scale: float) -> Any:
    if not callable(getattr(guidance, "with_scale", None)):
        raise NanoGenError(f"guidance {name!r} has no adjustable scale (no `with_scale`): leave out the scale.")
    try:
        return guidance.with_scale(scale)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"guidance {name!r}: {error.args[0]}.") from error
