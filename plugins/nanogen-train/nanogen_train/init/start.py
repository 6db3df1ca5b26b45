"""Start a pipeline from pretrained weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_core.errors import ConfigError, Incompatible, NanoGenError, listing
from nanogen_core.pipeline import WEIGHTS, Pipeline
from nanogen_data import contents
from nanogen_files.adaptation import FRESH, Adaptable, Adapted, Origin
from nanogen_files.config_diff import ABSENT, differences, flat
from nanogen_train.init.report import Entry, InitReport, PartReport
from nanogen_train.init.source import TOKENIZER, Source, read

CONDITIONING = ("conditioner", "encoder")  # the parts that decide what condition tokens mean
TRAINS_TOKENIZER = "trains-tokenizer"  # capability of a stage
COMPARED = ("tokenizer", "backbone", "objective")  # the parts whose options change the meaning of weights


def start_from(pipeline: Pipeline, init: str) -> InitReport:
    """Load pretrained weights into the trained parts of a pipeline: `start_from(build_pipeline(config), "runs/base")`.

    Tensors are copied by name and shape, unless a module converts them (`adapt_state`). All others keep their initial
    values. An objective of another name is not loaded. The conditioner is only loaded if conditioner, text encoder and
    classes are known to be the same. A tokenizer that the source trained is loaded if this pipeline trains one of the
    same name.

    Args:
        pipeline: A pipeline with initial weights.
        init: The folder of a run or saved pipeline, or a file of weights of a backbone.

    Returns:
        The report: which tensors were loaded, converted, left at their initial values, or not used.

    Raises:
        ConfigError: There is nothing at `init`, or the pipeline has no backbone.
        DataError: A file is damaged.
        Incompatible: No matrix of the backbone could be loaded.
    """
    if pipeline.backbone is None:
        raise ConfigError("train.init: this configuration trains no backbone. Remove train.init.")
    source = read(init)
    same = _same_condition(pipeline, source)
    origin = Origin(
        options=source.config.get("backbone", {}), latent=_latent(source), same_condition=True if same is None else same
    )
    own = _trained_parts(pipeline)
    parts = {}
    for part in own:
        given = source.states.get(part, {})
        module = pipeline.parts[part]
        if part == "backbone":
            parts[part] = adapt(module, given, origin)
            _refuse_too_little(pipeline, source, parts[part])
        elif _same_part(pipeline, source, part) and (part != "conditioner" or same):
            parts[part] = adapt(module, given, origin)
        else:
            parts[part] = adapt(module, {}, origin, unused=given)
    absent = {
        part: PartReport(entries=(), unused=_sizes(s), notes=()) for part, s in source.states.items() if part not in own
    }
    adapted = dict.fromkeys(note for part in parts.values() for note in part.notes)
    notes = [*_notes(pipeline, source, same), *adapted]
    return InitReport(source=source.path, sha256=source.sha256, parts={**parts, **absent}, notes=notes)


def fresh_auxiliaries(pipeline: Pipeline, nets: nn.ModuleDict) -> list[str]:
    """Return a note that names the auxiliary losses with trained networks, or no note if there are none.

    Args:
        pipeline: The pipeline.
        nets: The networks of its stage. An auxiliary loss with a network has its name there.
    """
    names = [name for name in pipeline.config.groups["auxiliary"] if name in nets]
    if not names:
        return []
    return [f"saved pipelines have no networks of auxiliary losses, so these begin fresh: {listing(names)}"]


def adapt(
    net: nn.Module, given: Mapping[str, Tensor], origin: Origin, *, unused: Mapping[str, Tensor] | None = None
) -> PartReport:
    """Load pretrained tensors into a network.

    Args:
        net: The network.
        given: Tensors by name.
        origin: What is known about the model that these tensors come from.
        unused: Further tensors by name, which are not loaded but reported as unused.

    Raises:
        NanoGenError: `adapt_state` of a module returns an unknown name or a tensor of another shape.
    """
    own = net.state_dict()
    decided = _decided(net, given, origin)
    for name, tensor in own.items():
        fits = name in given and given[name].shape == tensor.shape
        decided.setdefault(name, Adapted(given[name], "taken", (name,)) if fits else FRESH)
    values = {name: adapted.value for name, adapted in decided.items() if adapted.value is not None}
    with torch.no_grad():
        net.load_state_dict({**own, **values})
    entries = [Entry(name, decided[name].action, tuple(decided[name].sources), own[name].numel()) for name in own]
    used = {source for entry in entries for source in entry.sources}
    rest = {name: tensor for name, tensor in {**given, **(unused or {})}.items() if name not in used}
    notes = tuple(dict.fromkeys(adapted.note for adapted in decided.values() if adapted.note))
    return PartReport(entries=entries, unused=_sizes(rest), notes=notes)


def _decided(net: nn.Module, given: Mapping[str, Tensor], origin: Origin) -> dict[str, Adapted]:
    """Return the tensors that modules adapt, by full name. Outer modules decide first."""
    found: dict[str, Adapted] = {}
    for path, module in net.named_modules() if isinstance(net, nn.Module) else ():
        if not isinstance(module, Adaptable):
            continue
        prefix = f"{path}." if path else ""
        state = {name.removeprefix(prefix): tensor for name, tensor in given.items() if name.startswith(prefix)}
        own = net.get_submodule(path).state_dict()
        for name, adapted in module.adapt_state(state, origin).items():
            _check(f"{type(module).__name__}.adapt_state", name, adapted, own)
            full = adapted._replace(sources=tuple(prefix + source for source in adapted.sources))
            found.setdefault(prefix + name, full)
    return found


def _check(who: str, name: str, adapted: Adapted, own: Mapping[str, Tensor]) -> None:
    if name not in own:
        raise NanoGenError(f"{who} returns {name!r}, which is not a tensor of the module. Fix the plugin.")
    if adapted.value is not None and adapted.value.shape != own[name].shape:
        raise NanoGenError(
            f"{who} returns {name!r} of shape {list(adapted.value.shape)}, but the module has"
            f" {list(own[name].shape)}. Fix the plugin."
        )


def _refuse_too_little(pipeline: Pipeline, source: Source, report: PartReport) -> None:
    """Raise Incompatible if no matrix of the backbone was taken, with the first difference of names or shapes."""
    own = {name: p for name, p in pipeline.backbone.named_parameters() if p.ndim > 1}
    if any(entry.sources and entry.name in own for entry in report.entries):
        return
    given = source.states.get("backbone", {})
    shared = next((name for name in own if name in given), None)
    if shared is not None:
        old, new = list(given[shared].shape), list(own[shared].shape)
        what = f"{shared!r} has shape {old} in the source and {new} in this configuration"
    else:
        there = next((name for name, tensor in given.items() if tensor.ndim > 1), next(iter(given), None))
        what = f"the first matrix is {there!r} in the source and {next(iter(own), None)!r} in this configuration"
    there_kind, here_kind = _name(source.config.get("backbone")), _name(pipeline.config.as_dict()["backbone"])
    differ = there_kind not in (None, here_kind)
    kinds = f" The backbone is {there_kind!r} in the source and {here_kind!r} in this configuration."
    raise Incompatible(
        f"train.init: no matrix of the backbone can be taken from {source.path}: {what}.{kinds if differ else ''}"
        " Choose the backbone and its sizes as in the source. `nanogen import` converts another program's weights."
    )


def _same_condition(pipeline: Pipeline, source: Source) -> bool | None:
    """Return whether condition tokens have the same meaning; None if the configuration of the source is unknown."""
    if not source.config:
        return None
    here = pipeline.config.as_dict()
    classes = source.facts.get("classes", list(pipeline.parts["classes"]))
    same_parts = _identified(source.config) == _identified(here)
    needs_classes = "labels" in pipeline.config.slots["task"].chosen.component.provides
    return same_parts and (not needs_classes or list(classes) == list(pipeline.parts["classes"]))


def _identified(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the conditioning parts, with hashes in place of paths."""
    options = {kind: config.get(kind) for kind in CONDITIONING}
    return {**dict(flat(options)), **contents.of_values(options)}


def _same_part(pipeline: Pipeline, source: Source, part: str) -> bool:
    there, here = _name(source.config.get(part)), _name(pipeline.config.as_dict()[part])
    return there is None or there == here


def _trained_parts(pipeline: Pipeline) -> list[str]:
    """Return the trained parts with weights, including a tokenizer that only the stage trains."""
    by_stage = TRAINS_TOKENIZER in pipeline.config.slots["stage"].chosen.component.provides
    return list(dict.fromkeys([*pipeline.state(), *([TOKENIZER] if by_stage else [])]))


def _name(options: Any) -> Any:
    return options.get("name") if isinstance(options, Mapping) else None


def _latent(source: Source) -> tuple[int, ...] | None:
    latent = source.facts.get("latent")
    return tuple(latent) if isinstance(latent, list) else None


def _notes(pipeline: Pipeline, source: Source, same: bool | None) -> Iterator[str]:
    """Yield differences between the source and the pipeline that change the meaning of equal tensors."""
    if same is None:
        yield f"the options and classes of {source.path.name} are unknown: only names and shapes were compared"
        return
    if not same:
        yield "the condition differs (conditioner, text encoder or classes): layers that read it adapt their weights"
    if TOKENIZER in source.states and TOKENIZER not in _trained_parts(pipeline):
        yield from _frozen_tokenizer(pipeline, source)
    for kind in COMPARED:
        yield from _changes(kind, source.config.get(kind, {}), pipeline.config.as_dict().get(kind, {}))


def _frozen_tokenizer(pipeline: Pipeline, source: Source) -> Iterator[str]:
    """Yield a note if the source trained its tokenizer, and the frozen one of this pipeline has other weights."""
    given = source.states[TOKENIZER]
    own = pipeline.tokenizer.state_dict() if isinstance(pipeline.tokenizer, nn.Module) else {}
    if own.keys() == given.keys() and all(torch.equal(own[name].cpu(), given[name]) for name in own):
        return
    yield (
        f"the source trained its tokenizer, and the tokenizer here has other weights: load"
        f" {source.path / WEIGHTS.format(TOKENIZER)} by an option of the tokenizer, such as `tokenizer.weights`"
    )


def _changes(kind: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that differ; for another component those that both have, and those that only the former has."""
    for line in differences({**there, "name": None}, {**here, "name": None}):
        if ABSENT not in (line.first, line.second):
            yield f"{kind}.{line.key} was {line.first!r} and is {line.second!r}"
    if _name(there) != _name(here):
        only = ", ".join(f"{key} {value!r}" for key, value in there.items() if key not in here)
        former = f" Options of {_name(there)!r} only: {only}." if only else ""
        yield f"{kind} was {_name(there)!r} and is {_name(here)!r}.{former}"


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: tensor.numel() for name, tensor in tensors.items()}
