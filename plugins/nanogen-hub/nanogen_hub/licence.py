"""Licence identifiers that the Hugging Face hub knows."""

from __future__ import annotations

from attrs import frozen

from nanogen_core.errors import DataError, near_miss

#: From the hub's documentation (docs/hub/repositories-licenses.md), August 2026. Others are `other` with a name.
KNOWN = frozenset(
    [
        "afl-3.0",
        "agpl-3.0",
        "apache-2.0",
        "apple-amlr",
        "apple-ascl",
        "artistic-2.0",
        "bigcode-openrail-m",
        "bigscience-bloom-rail-1.0",
        "bigscience-openrail-m",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "bsl-1.0",
        "c-uda",
        "cc",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "cdla-sharing-1.0",
        "creativeml-openrail-m",
        "deepfloyd-if-license",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "fair-noncommercial-research-license",
        "gemma",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "grok2-community",
        "h-research",
        "intel-research",
        "isc",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "lgpl-lr",
        "llama2",
        "llama3",
        "llama3.1",
        "llama3.2",
        "llama3.3",
        "llama4",
        "lppl-1.3c",
        "mit",
        "mpl-2.0",
        "ms-pl",
        "ncsa",
        "odbl",
        "odc-by",
        "ofl-1.1",
        "openmdw-1.0",
        "openmdw-1.1",
        "openrail",
        "openrail++",
        "osl-3.0",
        "pddl",
        "postgresql",
        "unknown",
        "unlicense",
        "wtfpl",
        "zlib",
    ]
)
OTHER = "other"
LIST = "https://huggingface.co/docs/hub/repositories-licenses"


@frozen
class Licence:
    """Licence of a model repository: an identifier that the hub knows, or `other` with a name."""

    identifier: str
    name: str | None = None

    def __str__(self) -> str:
        return self.name or self.identifier

    @property
    def metadata(self) -> dict[str, str]:
        """Return the keys of the model card."""
        return {"license": self.identifier, **({"license_name": self.name} if self.name else {})}


def read_licence(identifier: str | None, name: str | None = None) -> Licence | None:
    """Check a licence for the model card. None if there is none.

    Args:
        identifier: Identifier in any case, such as "apache-2.0" or "Apache-2.0".
        name: Name of a licence that the hub does not know. The identifier is then "other".

    Raises:
        DataError: The hub does not know the identifier, the identifier "other" comes without a name, or another
            identifier comes with a name.
    """
    if identifier is None and name is None:
        return None
    known = (identifier or "").lower()
    if known != OTHER and name is not None:
        raise DataError(f"The licence name {name!r} needs `--licence other` (licence='other').")
    if known == OTHER and not (name or "").strip():
        raise DataError("The licence `other` needs a name: add --licence-name NAME (licence_name='NAME').")
    if known not in (OTHER, *KNOWN):
        raise DataError(
            f"{identifier!r} is not a licence that the hub knows.{near_miss(known, KNOWN)} Use one of {len(KNOWN)}"
            f" identifiers such as apache-2.0, cc-by-4.0 or mit ({LIST}). For another licence, use `--licence other"
            " --licence-name NAME` (licence='other', licence_name='NAME')."
        )
    return Licence(known, name)
