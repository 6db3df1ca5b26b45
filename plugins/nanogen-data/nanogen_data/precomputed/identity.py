"""Identity of precomputed latents: the plain values that they depend on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from nanogen_core.assembly import Assembly
from nanogen_core.errors import NanoGenError
from nanogen_core.resolved import Part
from nanogen_data import contents
from nanogen_data.loader import Reading
from nanogen_data.mixture import mixing_of, parts_of
from nanogen_data.precomputed.manifest import CONTENTS, READ, ROOTS, VERSIONS
from nanogen_data.stored_files import RemoteFile
from nanogen_files.hashing import sample_hash
from nanogen_files.structure import plain

IGNORED = ("max_corrupt", "patience", "roots")  # options that do not change latents


def identity_of(parts: Assembly) -> dict[str, Any]:
    """Return the plain values that determine how images and captions are encoded, with hashes of the weights."""
    slots = parts.resolved.slots
    return {
        "task": _options(slots["task"]),
        "image_size": parts.resolved.image_size,
        "tokenizer": {**_options(slots["tokenizer"]), **_hashes(parts["tokenizer"])},
        "latent": list(parts["latent"].shape),
        "text": _text(parts),
        "classes": sha256("\n".join(parts["classes"]).encode()).hexdigest(),
    }


def source_identity(parts: Assembly, reading: Reading) -> dict[str, Any]:
    """Return the identity of a split: its dataset, options without paths, number of examples, and file hashes.

    The hash `files` covers the names and sizes of all files. `contents` covers bytes that `hashing.sample_hash` reads
    from the local files of each root. `versions` covers the versions of remote files, such as ETags.
    Several roots are hashed one by one, so a root can be moved to another folder. If the examples have no `files()`,
    there are no hashes.

    Args:
        parts: The assembled pipeline components.
        reading: Examples and transform of the split.
    """
    options = {name: value for name, value in _options(parts.resolved.slots["dataset"]).items() if value != {}}
    facts = {**options, "examples": len(reading.examples)}
    mixing = mixing_of(reading.examples)
    if mixing is not None:
        facts[ROOTS] = list(mixing.sizes)
    if not hasattr(reading.examples, "files"):
        return facts
    found = [_hashes_of_files(each) for each in parts_of(reading.examples)]
    joined = {name: _joined([each[name] for each in found]) for name in found[0]}
    return {**facts, **{name: value for name, value in joined.items() if value is not None}}


def _hashes_of_files(examples: Any) -> dict[str, str | None]:
    """Return the hashes of the files of one root. `contents` is None if all are remote, `versions` if none is."""
    files = examples.files()
    remote: list[RemoteFile] = getattr(examples, "remote_files", list)()
    versions = sha256("\n".join(file.version for file in remote).encode()).hexdigest() if remote else None
    contents_ = None if remote and not files else sample_hash(files)
    return {"files": files_hash([*files, *remote]), CONTENTS: contents_, VERSIONS: versions}


def _joined(hashes: list[str | None]) -> str | None:
    """Return the hash of several roots; the hash itself of one."""
    if len(hashes) == 1 or not any(hashes):
        return hashes[0]
    return sha256("\n".join(each or "" for each in hashes).encode()).hexdigest()


def common_folder(reading: Reading) -> str:
    """Return the common folder of the examples' files; empty if they list no files."""
    listing = getattr(reading.examples, "files", None)
    files = listing() if listing else []
    return os.path.commonpath([file.parent for file in files]) if files else ""


def variants(reading: Reading, task: str) -> int:
    """Return how many variants of an image the transform makes. Raises NanoGenError if it lacks `variants`."""
    count = getattr(reading.transform, "variants", None)
    if count is None:
        raise NanoGenError(
            f"The latents of the task {task!r} cannot be precomputed: its transform has no attribute `variants`, the"
            " number of variants of an image. Train on images."
        )
    return int(count)


def files_hash(files: Sequence[Path | RemoteFile]) -> str:
    """Return the SHA-256 over the names and sizes of files. Names are relative to the common folder of the files."""
    names = [file.name if isinstance(file, RemoteFile) else file for file in files]
    root = os.path.commonpath([name.parent for name in names])
    total = sha256()
    for name, file in zip(names, files, strict=True):
        total.update(f"{os.path.relpath(name, root)}\t{_size(file)}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _size(file: Path | RemoteFile) -> int:
    """Return the size of a file, or -1 if it is missing. Reading the example reports the missing file."""
    try:
        return file.size if isinstance(file, RemoteFile) else file.stat().st_size
    except OSError:
        return -1


def _text(parts: Assembly) -> dict[str, Any] | None:
    """Return the identity of text encodings; None for a condition that is cheap to compute.

    `null_tokens` is the number of unmasked tokens of the null text. It tells current latents (0) from older ones (1),
    whose empty captions have an unmasked token.
    """
    spec, conditioner = parts["condition"], parts["conditioner"]
    of_images = getattr(conditioner, "needs_images", False)
    if not spec.padded and not of_images:
        return None
    null_mask = conditioner.null(1).mask
    shape = {"length": spec.length, "width": spec.width, "null_tokens": int(null_mask.sum()) if spec.padded else None}
    if of_images or "encoder" not in parts.resolved.slots:
        weights = _hashes(conditioner) if of_images else {}
        return {**_options(parts.resolved.slots["conditioner"]), **shape, **weights}
    encoder = parts.resolved.slots["encoder"]
    return {**_options(encoder), **shape, **_hashes(parts["encoder"])}


def _hashes(part: Any) -> dict[str, Any]:
    """Return the hashes of a component's weights and of its other files, such as a vocabulary."""
    return {"weights": contents.weights_hash(part), READ: contents.small_files_hash(part)}


def _options(part: Part) -> dict[str, Any]:
    """Return the name and options of a component without paths, which differ between machines. The hashes identify the
    files.
    """
    options = {} if part.config is None else plain(part.config)
    options = {key: value for key, value in options.items() if key not in IGNORED and not _is_path(value)}
    return {"name": part.name, **options}


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and (os.sep in value or Path(value).exists())
