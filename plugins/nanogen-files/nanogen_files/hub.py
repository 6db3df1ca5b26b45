"""Saved pipelines and models on the Hugging Face hub: addresses, downloads and error messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nanogen_files.errors import DataError, cause

SCHEME = "hf:"
READ = ("*.safetensors", "*.json", "*.yaml", "*.txt", "*.model")  # the files of a pipeline: no pickles, no code
FOLDER = "{folder}"  # in a saved configuration: the folder of the pipeline
PROBE = 5  # seconds
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_ADDRESS = re.compile(r"hf:/{1,2}(?P<name>[^/@]+/[^/@]+)(?:@(?P<revision>[^@]+))?/?")


def is_address(text: str | Path) -> bool:
    """Return whether a source is an address `hf://...`, or the Path of an address, which begins with `hf:/`."""
    return str(text).startswith(f"{SCHEME}/")


def is_path(source: str | Path) -> bool:
    """Return whether a source can only be local: a Path, or a text that is not of the form `name` or `user/name`."""
    return isinstance(source, Path) or _NAME.fullmatch(source) is None


def can_download(source: str | Path) -> bool:
    """Return whether the hub answers. Raises FileNotFoundError if the source cannot be the name of a hub model."""
    if is_path(source):
        raise FileNotFoundError(f"There is no folder {source}. Give an existing folder, or the name of a hub model.")
    return reachable()


def missing(what: str, source: str, advice: str, error: Exception) -> str:
    """Return the error message for a source that is no local folder and could not be downloaded or read.

    Args:
        what: The model, such as "The VAE".
        source: A path, or a name on the hub.
        advice: Sentences on what to do.
        error: The error of the download or of reading the files.
    """
    if is_path(source):
        return f"{what} {source!r} is neither a local folder nor the name of a model on the hub. {advice}"
    failed = "downloaded" if isinstance(error, OSError) else "read"
    return (
        f"{what} {source!r} is not a local folder and cannot be {failed} from the Hugging Face hub ({cause(error)}). "
        f"{advice}"
    )


def pipeline_folder(source: str | Path, revision: str | None = None) -> Path:
    """Return the local folder of a saved pipeline. Downloads a pipeline on the hub into the cache of huggingface_hub.

    Args:
        source: Folder, address `hf://user/name` or `hf://user/name@revision`, or name `user/name`. An existing folder
            takes precedence over a name.
        revision: Branch, tag or commit on the hub.

    Raises:
        DataError: There is neither such a folder nor such a model, the download fails, or `revision` is given for a
            folder or for an address that contains a revision.
    """
    text = str(source)
    if is_address(text):
        return _address_folder(text, revision)
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is None:
            return folder
        raise DataError(
            f"{text} is a local folder, and folders have no revisions. Leave out the revision {revision!r}, or write"
            f" {SCHEME}//{text} for the model on the hub."
        )
    if is_path(source) or "/" not in text:
        raise DataError(f"There is no folder {text}. Give an existing folder, or the name user/name of a hub model.")
    return _snapshot(text, revision, f"There is no folder {text}, and the hub was tried: ")


def address_folder(text: str) -> Path:
    """Return the local folder of an address `hf://user/name[@revision]`. Raises DataError if the address is
    malformed or cannot be downloaded."""
    return _address_folder(text, None)


def _address_folder(text: str, revision: str | None) -> Path:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise DataError(f"{text} is not the address of a hub model. Write hf://user/name or hf://user/name@revision.")
    if revision is not None and found["revision"] is not None:
        raise DataError(f"{text} has a revision, and {revision!r} was given as well. Leave out one of them.")
    return _snapshot(found["name"], revision or found["revision"], "")


def output_folder(folder: Path) -> Path:
    """Return the folder to which results about a pipeline are written.

    This is the pipeline's own `folder`. For a pipeline from the hub, it is `user--name` in the current folder.
    """
    repository = folder.parent.parent.name
    downloaded = folder.parent.name == "snapshots" and repository.startswith("models--")
    return Path(repository.removeprefix("models--")) if downloaded else folder


def with_folder(values: Any, folder: Path) -> Any:
    """Replace the placeholder `{folder}` at the start of texts in a configuration by the folder of the pipeline."""
    if isinstance(values, Mapping):
        return {key: with_folder(value, folder) for key, value in values.items()}
    if isinstance(values, list):
        return [with_folder(value, folder) for value in values]
    if isinstance(values, str) and values.startswith(f"{FOLDER}/"):
        return str(folder.absolute() / values.removeprefix(f"{FOLDER}/"))
    return values


def reachable() -> bool:
    """Return whether the hub answers within 5 seconds. Makes one request, or none if HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE)
    except (HTTPError, OSError):
        return False
    return True


def model_file(name: str, file: str, subfolder: str | None = None) -> Path:
    """Return the local path of a file of a hub model. Raises OSError or ValueError if it cannot be downloaded."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, file, subfolder=subfolder, local_files_only=not can_download(name)))


def _snapshot(name: str, revision: str | None, prefix: str) -> Path:
    """Download the files of a pipeline. Without a connection, a complete copy in the cache is used."""
    with errors(name, revision, prefix):
        from huggingface_hub import snapshot_download

        options: dict[str, Any] = {"local_files_only": not reachable()}
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(READ), **options))


@contextmanager
def errors(name: str, revision: str | None = None, prefix: str = "") -> Iterator[None]:
    """Raise a DataError if the block raises an error of huggingface_hub or any OSError.

    Args:
        name: Name of the model on the hub, `user/name`.
        revision: Its branch, tag or commit.
        prefix: Beginning of the message.
    """
    import huggingface_hub.errors as known
    from huggingface_hub.constants import ENDPOINT

    what = f"{prefix}{name}"
    try:
        yield
    except known.GatedRepoError as error:
        raise DataError(f"{what} is gated: accept its terms at {ENDPOINT}/{name}, and run `hf auth login`.") from error
    except known.RepositoryNotFoundError as error:
        raise DataError(
            f"{what} is not on the hub {ENDPOINT}, or it is private: check the name, or run `hf auth login`."
        ) from error
    except known.RevisionNotFoundError as error:
        raise DataError(f"{what} has no revision {revision!r} on the hub: check the branch, tag or commit.") from error
    except known.HFValidationError as error:
        raise DataError(f"{what} is not the name of a hub model: write user/name. ({error})") from error
    except known.LocalTokenNotFoundError as error:
        raise DataError(f"{what} needs a token of the hub: run `hf auth login`, or set HF_TOKEN.") from error
    except known.LocalEntryNotFoundError as error:
        raise DataError(
            f"{what} has no complete copy on this machine, and the hub {ENDPOINT} cannot be reached (or HF_HUB_OFFLINE"
            " is set): connect to the network, or give a folder."
        ) from error
    except known.HfHubHTTPError as error:
        raise DataError(f"{what}: {_refusal(name, error)}") from error
    except (known.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{what}: the transfer from or to the hub {ENDPOINT} broke off ({reason}). Check the network and the free"
            " disk space, then repeat it."
        ) from error


def _refusal(name: str, error: Any) -> str:
    status = getattr(error.response, "status_code", None)
    if status == 401:
        return "the hub requires a token (status 401). Run `hf auth login`, or set HF_TOKEN."
    if status == 403:
        owner = name.partition("/")[0]
        return f"the token does not allow it (status 403). Use one with access to {owner!r} (to upload: write access)."
    return f"the hub refused the request (status {status}). Try again later."
