"""`manifest.json`, which describes a folder of precomputed latents, and its comparison with a configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from nanogen_core.errors import DataError
from nanogen_data.corrupt import CorruptionCounter
from nanogen_files import storage

NAME = "manifest.json"
FORMAT = 1
HASH = "sha256"  # key of the hash over all other values
CONTENTS = "contents"  # key of the hash over a sample of the source's bytes; older manifests have none
VERSIONS = "versions"  # key of the hash over the ETags of remote files; None if all are local
ROOTS = "roots"  # key of the numbers of examples of several roots
READ = "read"  # key of the hash of a component's other files; None if it does not list them
FILES = "source.files"  # name of the difference of file names and sizes
SAME_NAMES = (f"source.{CONTENTS}", f"source.{VERSIONS}")  # differences that are listed only without FILES

#: Messages for differences of the data, and of the networks.
DATA = {
    "source.examples": "the data had {stored} examples and now have {current}",
    FILES: "the data files have other names or sizes",
    f"source.{CONTENTS}": "the data files have other contents, under the same names and sizes",
    f"source.{VERSIONS}": "the remote data files were written again, under the same names and sizes",
    f"source.{ROOTS}": "the roots had {stored} examples and now have {current} (None: a single root)",
    "classes": "the class names or their order differ",
}
PARTS = {
    "weights": "the {part} has other weights",
    READ: "files of the {part} other than its weights differ, such as its configuration or vocabulary",
}
NAMES = {"text": "text encoder"}


@frozen(kw_only=True)
class Manifest:
    """Manifest of precomputed latents.

    Args:
        identity: How images and captions were encoded, see `identity.identity_of`.
        source: The data, see `identity.source_identity`.
        classes: Label names, so that training does not need the source.
        shards: For each shard, its `Shard.facts()` without `skipped`. Empty while preparing.
        skipped: Number of corrupt samples by reason.
        first: Messages of the first ten corrupt samples.
    """

    identity: Mapping[str, Any]
    source: Mapping[str, Any]
    classes: list[str]
    variants: int
    dtype: str
    shard_size: int
    batch_size: int  # of encoding; affects the last bit of latents
    shards: list[dict[str, Any]] = field(factory=list)
    skipped: Mapping[str, int] = field(factory=dict)
    first: list[str] = field(factory=list)
    format: int = FORMAT

    @property
    def examples(self) -> int:
        """Number of examples of the source."""
        return int(self.source["examples"])

    @property
    def complete(self) -> bool:
        """Whether all shards are written."""
        return bool(self.shards)

    def write(self, folder: Path) -> None:
        """Write the manifest with its hash."""
        values = asdict(self)
        storage.write_json(folder / NAME, {**values, HASH: _hash(values)})

    def shard_fields(self, shards: list[dict[str, Any]], counter: CorruptionCounter) -> dict[str, Any]:
        """Return the fields that are known only after all shards are written."""
        return {"shards": shards, "skipped": dict(sorted(counter.reasons.items())), "first": counter.first}


def read(folder: Path) -> Manifest:
    """Read the manifest of a folder. Raises DataError if it is missing, corrupt, or of another format."""
    if not (folder / NAME).is_file():
        raise DataError(
            f"{folder} contains no precomputed latents (no {NAME}): create them with"
            f" `nanogen data prepare SOURCE {folder} --config CONFIG`."
        )
    values = storage.read_json(folder / NAME)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(
            f"{folder / NAME} does not have format {FORMAT}: prepare the latents again into another folder."
        )
    written = values.pop(HASH, None)
    if written is not None and written != _hash(values):
        raise DataError(
            f"{folder / NAME} is corrupt or was edited (its SHA-256 does not match). Restore it from a copy, or prepare"
            " the latents again into another folder."
        )
    try:
        return Manifest(**values)
    except TypeError as error:
        raise DataError(
            f"{folder / NAME} is corrupt ({error}): prepare the latents again into another folder."
        ) from error


def _hash(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the values as JSON."""
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def refuse_mismatch(folder: Path, stored: Mapping[str, Any], current: Mapping[str, Any], location: str = "") -> None:
    """Raise DataError, which lists the differences, if stored latents do not match the configuration and data.

    Args:
        folder: Folder of the latents.
        stored: Identity from the manifest.
        current: Identity of the configuration and its data.
        location: Folder of the data, for the error message.
    """
    changed = list(_differences(stored, current, ""))
    if not changed:
        return
    names = {name for name, _, _ in changed}
    told = [change for change in changed if FILES not in names or change[0] not in SAME_NAMES]
    changes = "; ".join(_change(*difference) for difference in told)
    if names <= DATA.keys():
        raise DataError(
            f"The data{f' in {location}' if location else ''} differ from the data of the latents in {folder}:"
            f" {changes}. Restore the data, or prepare them again into another folder."
        )
    raise DataError(
        f"The latents in {folder} do not match this configuration: {changes}. Undo these"
        " changes, or prepare the latents again into another folder."
    )


def _change(name: str, stored: Any, current: Any) -> str:
    """Describe a difference in words."""
    part, _, key = name.rpartition(".")
    sentence = DATA.get(name) or PARTS.get(key, "{name} was {stored} and is now {current}")
    return sentence.format(name=name, part=NAMES.get(part, part), stored=_shown(stored), current=_shown(current))


def _differences(stored: Any, current: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(stored, Mapping) and isinstance(current, Mapping) and stored.get("name") == current.get("name"):
        for key in dict.fromkeys([*stored, *current]):
            if key in (CONTENTS, VERSIONS, READ) and None in (stored.get(key), current.get(key)):
                continue  # unknown on one side, as for a model on the hub
            yield from _differences(stored.get(key), current.get(key), f"{name}.{key}".lstrip("."))
    elif isinstance(stored, Mapping) and isinstance(current, Mapping):
        yield name, stored.get("name"), current.get("name")
    elif stored != current:
        yield name, stored, current


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:16]}...{text[-1]}"
