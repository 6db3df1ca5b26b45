"""Upload of a pipeline with its model card to the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import evolve

from nanogen_core.config import CONFIG
from nanogen_core.errors import DataError
from nanogen_core.pipeline import Pipeline
from nanogen_eval.record import FILE as SCORES
from nanogen_eval.record import HISTORY, read_scores, write_scores
from nanogen_files import hub, storage, yaml_files
from nanogen_hub.card import model_card
from nanogen_hub.contents import flat_state
from nanogen_hub.frozen import public, without_paths
from nanogen_hub.licence import Licence, read_licence
from nanogen_hub.new_folder import new_content
from nanogen_hub.sheet import SHEET, write_sheet

CARD = "README.md"


def push_to_hub(
    pipeline: Pipeline,
    name: str,
    *,
    run: str | Path | None = None,
    licence: str | None = None,
    licence_name: str | None = None,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    message: str | None = None,
    include_frozen: bool = False,
    seed: int = 0,
    dry_run: str | Path | None = None,
) -> str:
    """Upload a pipeline as the model repository `user/name`. An existing repository gets a new commit.

    Args:
        pipeline: The pipeline.
        name: Name of the repository, `user/name`.
        run: Folder of the run, for the data, training steps and scores in the card.
        licence: Licence of the weights for the card: an identifier that the hub knows, such as "apache-2.0", or "other"
            with `licence_name`. If not given, the card states none.
        licence_name: Name of a licence that the hub does not know.
        private: Create the repository as private. An existing one stays as it is.
        revision: Branch to upload to; `main` by default. It is created if it does not exist.
        token: Token of the hub; by default the one of `hf auth login` or HF_TOKEN.
        message: Commit message.
        include_frozen: Also upload frozen models that the configuration names by a local path.
        seed: Seed of the sample sheet.
        dry_run: Folder to write the files to instead of uploading them.

    Returns:
        The URL of the commit, or the folder of a dry run.

    Raises:
        DataError: The name or licence is wrong, the folder of the dry run is not empty, the hub cannot be reached or
            refuses the upload, `include_frozen` is false for a local frozen model, or such a model has no safetensors
            file.
    """
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        raise DataError(f"{name!r} is not the name of a model on the hub: write user/name.")
    licences = {"licence": licence, "licence_name": licence_name}
    options: dict[str, Any] = {"run": run, "include_frozen": include_frozen, "seed": seed, **licences}
    if dry_run is not None:
        return str(write_repository(pipeline, Path(dry_run), name, **options))
    from huggingface_hub import HfApi

    _refuse_offline(name)
    with TemporaryDirectory() as temporary:
        folder = write_repository(pipeline, Path(temporary) / "model", name, **options)
        with hub.errors(name, revision):
            api = HfApi(token=token)
            api.create_repo(name, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(name, branch=revision, exist_ok=True)
            text = message or "Upload a NanoGen pipeline"
            commit = api.upload_folder(repo_id=name, folder_path=folder, revision=revision, commit_message=text)
    return str(commit.commit_url)


def write_repository(
    pipeline: Pipeline,
    folder: Path,
    name: str,
    *,
    run: str | Path | None = None,
    licence: str | None = None,
    licence_name: str | None = None,
    include_frozen: bool = False,
    seed: int = 0,
) -> Path:
    """Write the files of a model repository: the saved pipeline, scores, a sample sheet and the card.

    The arguments are as in `push_to_hub`. Returns the folder. If writing fails, the folder stays missing or empty, so
    that it can be written again.

    Raises:
        DataError: The licence is wrong, the folder is not empty, `include_frozen` is false for a local frozen model, or
            such a model has no safetensors file.
    """
    run, known = None if run is None else Path(run), read_licence(licence, licence_name)
    with new_content(folder) as place:
        _write(pipeline, place, name, run, known, include_frozen=include_frozen, seed=seed)
    return folder


def _write(
    pipeline: Pipeline,
    folder: Path,
    name: str,
    run: Path | None,
    licence: Licence | None,
    *,
    include_frozen: bool,
    seed: int,
) -> None:
    """Write the files into a folder."""
    known = read_scores(run) if run is not None and (run / SCORES).is_file() else []
    weights = storage.tensors_hash(flat_state(pipeline))
    scores = [score for score in known if weights.startswith(score.about.get("weights") or weights)]
    found = public(pipeline.config.as_dict(), folder, include=include_frozen)
    pipeline.save(folder)
    storage.write_text(folder / CONFIG, yaml_files.dump(found.config))
    if scores:
        write_scores(folder, [evolve(score, about=without_paths(score.about)) for score in scores])
        (folder / HISTORY).unlink()
    sheet = write_sheet(pipeline, folder / SHEET, seed)
    card = model_card(
        pipeline,
        name,
        run=run,
        scores=scores,
        licence=licence,
        paths=found,
        sheet=sheet,
        outdated=len(known) - len(scores),
    )
    storage.write_text(folder / CARD, card)


def _refuse_offline(name: str) -> None:
    if not hub.reachable():
        from huggingface_hub.constants import ENDPOINT

        raise DataError(
            f"{name} cannot be uploaded, because the hub {ENDPOINT} cannot be reached. `--dry-run FOLDER` (dry_run)"
            " writes the files without a network."
        )
