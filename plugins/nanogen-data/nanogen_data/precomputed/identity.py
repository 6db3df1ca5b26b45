"""What prepared latents depend on, in plain values: two of these are equal, or the latents are other ones."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

from nanogen_core.assembly import Assembly
from nanogen_core.errors import NanoGenError
from nanogen_core.resolved import Part
from nanogen_data import contents
from nanogen_data.loader import Reading
from nanogen_data.precomputed.manifest import CONTENTS, READ
from nanogen_files.hashing import sample_hash
from nanogen_files.structure import plain

UNIMPORTANT = ("max_corrupt",)  # options that change no latent


def wanted(parts: Assembly) -> dict[str, Any]:
    """Of a configuration: how images and captions become latents and token states. Reads the networks' weights."""
    slots = parts.resolved.slots
    return {
        "task": _options(slots["task"]),
        "image_size": parts.resolved.image_size,
        "tokenizer": {**_options(slots["tokenizer"]), **_read(parts["tokenizer"])},
        "latent": list(parts["latent"].shape),
        "text": _text(parts),
        "classes": sha256("\n".join(parts["classes"]).encode()).hexdigest(),
    }


def source(parts: Assembly, reading: Reading) -> dict[str, Any]:
    """Of a split as it lies there: its dataset with its options, its length, and hashes of its files.

    `files` covers all names and sizes, `contents` a sample of the bytes (`hashing.sample_hash`). Datasets whose
    examples have no `files()` are told apart by their options alone.
    """
    listing = getattr(reading.examples, "files", None)
    facts = {**_options(parts.resolved.slots["dataset"]), "examples": len(reading.examples)}
    if listing is None:
        return facts
    files = listing()
    return {**facts, "files": files_hash(files), CONTENTS: sample_hash(files)}


def place(reading: Reading) -> str:
    """The folder that all files of the examples share; empty where they say none."""
    listing = getattr(reading.examples, "files", None)
    files = listing() if listing else []
    return os.path.commonpath([file.parent for file in files]) if files else ""


def variants(reading: Reading, task: str) -> int:
    """How many images a transform makes of one. Raises NanoGenError where it does not say so."""
    found = getattr(reading.transform, "variants", None)
    if found is None:
        raise NanoGenError(
            f"The latents of the task {task!r} cannot be prepared, because its transform does not say how many variants"
            " of an image it has (`variants`): train it on pixels."
        )
    return int(found)


def files_hash(files: list[Path]) -> str:
    """SHA-256 over the names, from the folder that all share, and sizes of files."""
    home = os.path.commonpath([file.parent for file in files])
    total = sha256()
    for file in files:
        total.update(f"{os.path.relpath(file, home)}\t{_size(file)}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _size(file: Path) -> int:
    """-1 for a file that is not there: reading the example says so."""
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _text(parts: Assembly) -> dict[str, Any] | None:
    """None for a condition that costs nothing to make.

    `null_tokens`: how many tokens the null text shows. States prepared when it was 1 are refused: an empty caption
    among them has a token.
    """
    spec = parts["condition"]
    if not spec.padded:
        return None
    null_tokens = int(parts["conditioner"].null(1).mask.sum())
    shape = {"length": spec.length, "width": spec.width, "null_tokens": null_tokens}
    if "encoder" not in parts.resolved.slots:
        return {**_options(parts.resolved.slots["conditioner"]), **shape}
    encoder = parts.resolved.slots["encoder"]
    return {**_options(encoder), **shape, **_read(parts["encoder"])}


def _read(part: Any) -> dict[str, Any]:
    """The hash of its weights, and that of the other files that it reads, where it says which: its configuration, its
    vocabulary."""
    return {"weights": contents.weights_hash(part), READ: contents.small_files_hash(part)}


def _options(part: Part) -> dict[str, Any]:
    """The name and options of a part without paths, which are other ones on another machine: the hash of the weights
    speaks for what lies there."""
    options = {} if part.config is None else plain(part.config)
    kept = {key: value for key, value in options.items() if key not in UNIMPORTANT and not _is_path(value)}
    return {"name": part.name, **kept}


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and (os.sep in value or Path(value).exists())
