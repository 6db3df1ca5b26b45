"""The model card: facts about a pipeline and its run, and a list of what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nanogen_core.pipeline import Pipeline
from nanogen_eval.score import Score
from nanogen_files import yaml_files
from nanogen_files.errors import counted
from nanogen_hub.card_scores import label, without_smaller
from nanogen_hub.contents import data_facts, distributions, licences, not_installable, parts_of, steps, trained_parts
from nanogen_hub.frozen import Public
from nanogen_hub.licence import Licence
from nanogen_hub.sheet import SHEET, Sheet

LIBRARY = "nanogen"


def model_card(
    pipeline: Pipeline,
    name: str,
    *,
    run: Path | None,
    scores: Sequence[Score],
    licence: Licence | None,
    paths: Public,
    sheet: Sheet,
    outdated: int = 0,
) -> str:
    """Return the README.md of a model repository.

    Args:
        pipeline: The pipeline.
        name: Name of the repository, `user/name`.
        run: Folder of the run, if known.
        scores: Scores of the pipeline's weights. Of scores that differ in the number of images, the card lists the
            largest.
        licence: Licence of the weights, if known.
        paths: The published configuration, and its local paths that were copied or left out.
        sheet: The sample sheet.
        outdated: Number of scores of the run that belong to other weights. They are not in `scores`.
    """
    from huggingface_hub import ModelCard

    listed = without_smaller(scores)
    smaller = len(scores) - len(listed)
    sections = {
        "Samples": _samples(sheet),
        "Use": _use(pipeline, name, sheet),
        "Model": _model(pipeline),
        "Training": _training(pipeline, run),
        "Scores": _scores(listed, run),
        "Licences": _licences(pipeline, licence),
        "Left out": _left_out(pipeline, paths, outdated, smaller),
        "Configuration": ["```yaml", yaml_files.dump(paths.config).rstrip(), "```"],
    }
    body = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items())
    title = name.partition("/")[2]
    return str(ModelCard(f"---\n{_metadata(pipeline, title, listed, licence)}\n---\n\n# {title}\n\n{body}\n"))


def _metadata(pipeline: Pipeline, title: str, scores: Sequence[Score], licence: Licence | None) -> str:
    """Return the YAML block of the card. It has no licence if none was given."""
    from huggingface_hub import EvalResult, ModelCardData

    config = pipeline.config
    dataset = config.slots["dataset"].name
    text = "encoder" in config.slots
    task = "text-to-image" if text else "unconditional-image-generation"
    tags = [LIBRARY, *filter(None, [config.method]), config.task, *([] if text else ["class-conditional"])]
    results = [
        EvalResult(
            task_type=task,
            dataset_type=dataset,
            dataset_name=dataset,
            metric_type=score.metric,
            metric_name=label(score, scores),
            metric_value=score.value,
        )
        for score in scores
    ]
    known: dict[str, Any] = licence.metadata if licence else {}
    if results:
        known |= {"model_name": title, "eval_results": results}
    data = ModelCardData(library_name=LIBRARY, pipeline_tag=task, tags=list(dict.fromkeys(tags)), **known)
    return data.to_yaml().rstrip()


def _samples(sheet: Sheet) -> list[str]:
    if sheet.problem:
        return [f"There is no sample sheet: {sheet.problem}"]
    requests = ", ".join(sheet.requests)
    return [
        f"![samples]({SHEET})",
        "",
        f"Not selected: seed {sheet.seed}, {counted(sheet.steps, 'step')}, the configured sampler and guidance."
        f" Requests in order: {requests}.",
    ]


def _use(pipeline: Pipeline, name: str, sheet: Sheet) -> list[str]:
    request = sheet.requests[0] if sheet.requests else "a red apple"
    call = f"images = pipeline.generate([{request!r}], seed=0)"
    if pipeline.backbone is None:
        call = "latents = pipeline.tokenizer.encode(images)"
    packages = ", ".join(f"`{name}`" for name in distributions(pipeline.config))
    return [
        f"Needs the Python packages {packages}. Those that are not on the package index yet are installed from a"
        " checkout: NanoGen with `make install`, others with `pip install -e FOLDER`.",
        "",
        "```python",
        "from nanogen_core import Pipeline",
        f'pipeline = Pipeline.from_pretrained("{name}")',
        call,
        "```",
    ]


def _model(pipeline: Pipeline) -> list[str]:
    config = pipeline.config
    rows = [("task", config.task), ("method", config.method or "none named"), ("image size", f"{config.image_size} px")]
    rows += [(kind, part.written) for kind, part in parts_of(config) if kind not in ("task", "dataset", "metric")]
    rows += [("latent", f"{list(pipeline.latent.shape)}, one cell for {pipeline.latent.factor} px a side")]
    rows += [(f"values in {part}.safetensors", f"{count:,}") for part, count in trained_parts(pipeline).items()]
    return _table(("", ""), rows)


def _training(pipeline: Pipeline, run: Path | None) -> list[str]:
    config, facts, done = pipeline.config, data_facts(run), steps(run)
    train = config.as_dict().get("train", {})
    examples, classes = facts.get("examples"), len(pipeline.parts["classes"])
    rows = [
        ("data", config.slots["dataset"].written),
        ("training examples", f"{examples:,}" if isinstance(examples, int) else "not known"),
        ("classes", f"{classes:,}" if classes else "none"),
        ("optimizer steps", f"{done:,}" if done is not None else "not known"),
    ]
    if done is not None and isinstance(train.get("batch_size"), int):
        rows += [("batch size", f"{train['batch_size']:,}"), ("samples seen", f"{done * train['batch_size']:,}")]
    known = [] if run is not None else ["", "The card was made without the folder of a run."]
    return [*_table(("", ""), rows), *known]


def _scores(scores: Sequence[Score], run: Path | None) -> list[str]:
    if not scores:
        return ["There are no scores: " + ("the run has none for these weights." if run else "no run was given.")]
    rows = [
        (
            f"{label(score, scores)} {'↑' if score.higher_is_better else '↓'}",
            f"{score.value:.6g}",
            _interval(score),
            f"{score.n:,}" + (f" x {len(score.seeds)} seeds" if len(score.seeds) > 1 else ""),
            f"`{score.fingerprint}`",
        )
        for score in scores
    ]
    note = "↑: higher is better; ↓: lower is better. Scores with equal fingerprints are comparable (scores.json)."
    return [*_table(("score", "value", "interval", "images", "fingerprint"), rows), "", note]


def _interval(score: Score) -> str:
    found = score.interval
    if found is None:
        return "none"
    return f"[{found.low:.6g}, {found.high:.6g}] at {found.level:.0%} ({found.method})"


def _licences(pipeline: Pipeline, licence: Licence | None) -> list[str]:
    known = licences(pipeline.config)
    frozen = [
        f"{kind} {part.name}" for kind, part in parts_of(pipeline.config) if kind in ("dataset", "tokenizer", "encoder")
    ]
    rows = [("weights of this repository", str(licence or "not stated"))]
    rows += [
        (name, known.get(name, "not known to NanoGen: check its source")) for name in dict.fromkeys([*frozen, *known])
    ]
    return _table(("", "licence"), rows)


def _left_out(pipeline: Pipeline, paths: Public, outdated: int, smaller: int) -> list[str]:
    other = [f"Scores of the run that belong to other weights: {outdated}."] if outdated else []
    if smaller:
        other += [f"Scores of fewer images with otherwise equal settings: {smaller}. They are in scores.json."]
    return [f"- {line}" for line in (*other, *_missing(pipeline, paths))]


def _missing(pipeline: Pipeline, paths: Public) -> Iterator[str]:
    yield "The training data, checkpoints and optimizer states."
    for option, name in sorted(paths.left_out.items()):
        yield f"`{option}`: a local path. The configuration has only its last part, `{name}`."
    for what in not_installable(pipeline.config):
        yield f"{what}. `Pipeline.from_pretrained` needs it as an argument or by `--plugin`."
    hosted = [f"{kind} {part.written}" for kind, part in parts_of(pipeline.config) if kind in ("tokenizer", "encoder")]
    if hosted:
        yield f"Weights that were frozen in training. They come from a package or their source: {', '.join(hosted)}."
    for option, name in sorted(paths.included.items()):
        yield f"Not left out: `{option}`, a frozen model (`{name}`), is in the folder `frozen`."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    ]
