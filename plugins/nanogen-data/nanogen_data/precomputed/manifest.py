"""`manifest.json`: what lies in a folder of prepared latents, and whether that is what a configuration asks for."""

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
HASH = "sha256"  # of all other values of the file
CONTENTS = "contents"  # of the source, a hash of a sample; older manifests have none
READ = "read"  # the hash of the small files that a part reads; None where it does not say which they are

#: What a difference of the data means, and one of what a part reads.
DATA = {
    "source.examples": "they had {there} examples and have {here}",
    "source.files": "their files have other names or sizes",
    f"source.{CONTENTS}": "their files have other contents, under the same names and sizes",
    "classes": "their class names or the order of these differ",
}
PARTS = {
    "weights": "the {part} has other weights",
    READ: "the {part} reads other files beside its weights, such as a configuration or a vocabulary",
}
NAMES = {"text": "text encoder"}


@frozen(kw_only=True)
class Manifest:
    """`wanted`, `source`: see `identity`. `classes`: the label names, so that training needs no source.

    `shards` have `examples`, `bytes`, and the SHA-256 of their `tar` and `index`; there are none while the folder is
    still being written. `skipped` counts bad examples by reason, and `first` says what was wrong with the first ten.
    """

    wanted: Mapping[str, Any]
    source: Mapping[str, Any]
    classes: list[str]
    variants: int
    dtype: str
    shard_size: int
    batch_size: int  # of encoding; another one may move the last bit of a latent
    shards: list[dict[str, Any]] = field(factory=list)
    skipped: Mapping[str, int] = field(factory=dict)
    first: list[str] = field(factory=list)
    format: int = FORMAT

    @property
    def examples(self) -> int:
        return int(self.source["examples"])

    @property
    def complete(self) -> bool:
        return bool(self.shards)

    def write(self, folder: Path) -> None:
        values = asdict(self)
        storage.write_json(folder / NAME, {**values, HASH: _hash(values)})

    def finished(self, shards: list[dict[str, Any]], tally: CorruptionCounter) -> dict[str, Any]:
        """The fields that are known when all shards are there."""
        return {"shards": shards, "skipped": dict(sorted(tally.reasons.items())), "first": tally.first}


def read(folder: Path) -> Manifest:
    """The manifest of a folder. Raises DataError where there is none, or one of another format."""
    if not (folder / NAME).is_file():
        raise DataError(
            f"{folder} holds no prepared latents (no {NAME}): make them by `nanogen data prepare SOURCE {folder}`."
        )
    values = storage.read_json(folder / NAME)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{folder / NAME} is of another format than this nanogen-core reads ({FORMAT}).")
    written = values.pop(HASH, None)
    if written is not None and written != _hash(values):
        raise DataError(f"{folder / NAME} is damaged or was changed by hand (SHA-256): prepare the latents again.")
    try:
        return Manifest(**values)
    except TypeError as error:
        raise DataError(f"{folder / NAME} is damaged ({error}): prepare the latents again.") from error


def _hash(values: Mapping[str, Any]) -> str:
    """Of the values as JSON has them."""
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def refuse_others(folder: Path, there: Mapping[str, Any], here: Mapping[str, Any], place: str = "") -> None:
    """Raises DataError that says what changed, where the facts of a folder are not those that are asked for.

    `place` is where the data are, for the sentence."""
    found = list(_differences(there, here, ""))
    if not found:
        return
    changes = "; ".join(_change(*one) for one in found)
    if all(name in DATA for name, _, _ in found):
        raise DataError(
            f"The data{f' in {place}' if place else ''} are not those that the latents in {folder} were prepared from:"
            f" {changes}. Restore the data, or prepare them again into another folder."
        )
    raise DataError(
        f"The latents in {folder} were prepared otherwise than this configuration asks: {changes}. Mend the"
        " configuration, or prepare into another folder."
    )


def _change(name: str, there: Any, here: Any) -> str:
    """What changed, in words; of a hash, that it did."""
    part, _, key = name.rpartition(".")
    sentence = DATA.get(name) or PARTS.get(key, "{name} is {there} there and {here} here")
    return sentence.format(name=name, part=NAMES.get(part, part), there=_shown(there), here=_shown(here))


def _differences(there: Any, here: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(there, Mapping) and isinstance(here, Mapping) and there.get("name") == here.get("name"):
        for key in dict.fromkeys([*there, *here]):
            if key in (CONTENTS, READ) and None in (there.get(key), here.get(key)):
                continue  # one of them does not know: the name of a model on the hub
            yield from _differences(there.get(key), here.get(key), f"{name}.{key}".lstrip("."))
    elif isinstance(there, Mapping) and isinstance(here, Mapping):
        yield name, there.get("name"), here.get("name")
    elif there != here:
        yield name, there, here


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:16]}...{text[-1]}"
