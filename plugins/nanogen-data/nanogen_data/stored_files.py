"""Files that are read by byte ranges: on this machine, on an HTTP server, or in object storage."""

from __future__ import annotations

import io
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPException, HTTPMessage, InvalidURL
from importlib import import_module
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Any, BinaryIO, Protocol, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from attrs import field, frozen

from nanogen_core.errors import DataError
from nanogen_data.notes import warn_once
from nanogen_files.errors import counted
from nanogen_files.reading import opened, reason

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE = 120.0  # seconds of one remote read, with its retries
STALL = 30.0  # seconds without a byte that end an attempt
FIRST_DELAY, LONGEST_DELAY = 0.25, 10.0  # seconds between attempts
BUFFER = 1 << 20  # bytes that a remote file is read ahead while it is indexed
CHUNK = 1 << 16
CONNECTIONS = 8  # remote files that are indexed at the same time
CHECK_EVERY = 60.0  # seconds between two checks whether an object in storage has changed
RETRIED = (408, 425, 429)  # HTTP statuses of transient failures, besides 5xx
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
#: fsspec's protocols and the package that pip installs for each. Others are named by fsspec's own error.
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
CREDENTIALS = "Give credentials that may read it: for s3://, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
#: Keys of `fsspec.info` that change when an object is written again, in the order of preference.
VERSIONS = ("ETag", "etag", "VersionId", "md5Hash", "generation", "LastModified", "last_modified", "mtime", "created")


class StoredFile(Protocol):
    """A file with random access. `str(file)` is its path or URL, without passwords and tokens."""

    @property
    def size(self) -> int:
        """The size in bytes. Raises DataError if the file cannot be read."""

    @property
    def identity(self) -> str:
        """Path or URL, size, and modification time or version, as text. Raises DataError if the file cannot be read."""

    def read(self, offset: int, size: int) -> bytes:
        """Read `size` bytes from `offset` on, or fewer at the end of the file. Raises DataError if the read fails."""

    def opened(self) -> AbstractContextManager[BinaryIO]:
        """Open the file for sequential reading and seeking."""


@frozen
class LocalFile:
    """A file on this machine."""

    path: Path

    @property
    def size(self) -> int:
        return self._state().st_size

    @property
    def identity(self) -> str:
        state = self._state()
        return f"{self.path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"

    def read(self, offset: int, size: int) -> bytes:
        with opened(self.path) as file:
            file.seek(offset)
            return file.read(size)

    def opened(self) -> AbstractContextManager[BinaryIO]:
        return opened(self.path)

    def _state(self) -> os.stat_result:
        try:
            return self.path.stat()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {reason(error)}.") from error
        except ValueError as error:  # a NUL in the path
            raise DataError(f"{str(self.path)!r} is not a valid file path ({error}). Correct it.") from error

    def __str__(self) -> str:
        return str(self.path)


@frozen
class RemoteFile:
    """A file of an HTTP server or object store. Its size and version are those that `remote_file` found.

    Args:
        url: Its address.
        size: Its size in bytes.
        version: Its ETag, or another text that changes when the file is written again; empty if the server states none.
        patience: Seconds that a read may take, including retries.
    """

    url: str
    size: int
    version: str
    patience: float = field(default=PATIENCE, eq=False)

    @property
    def identity(self) -> str:
        return f"{self.url}\n{self.size}\n{self.version}"

    @property
    def name(self) -> Path:
        """The host and path of the file, as an absolute path."""
        parts = urlsplit(self.url)
        return Path(f"/{parts.hostname or ''}/{parts.path.lstrip('/')}")

    def read(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        return _patiently(lambda end: _store(self.url).read(self, offset, size, end), self.url, self.patience)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        with io.BufferedReader(_Ranges(self), BUFFER) as file:
            yield file

    def __str__(self) -> str:
        return shown_url(self.url)


def remote_file(url: str, patience: float = PATIENCE) -> RemoteFile:
    """Look up the size and version of a remote file.

    Raises:
        DataError: The file cannot be read, or its server does not support byte ranges. Transient failures, such as a
            lost connection, are retried for `patience` seconds.
    """
    size, version = _patiently(lambda end: _store(url).look_up(url, end), url, patience)
    if not version:
        warn_once(
            log,
            f"The server of {shown_url(url)} states neither an ETag nor a time of modification, so only a change of "
            "size would be noticed.",
            topic=f"version of {urlsplit(url).netloc}",
        )
    return RemoteFile(url, size, version, patience)


def matches(pattern: str, patience: float = PATIENCE) -> list[str]:
    """Return the URLs of an object store that match a pattern with `*`, sorted. Raises DataError for an HTTP server."""
    return _patiently(lambda end: _store(pattern).matches(pattern), pattern, patience)


def over_files(function: Callable[[Any], T], files: Iterable[Any], *, remote: bool) -> list[T]:
    """Return the results of a function for each file, in order. If `remote`, up to 8 calls run at the same time."""
    if not remote:
        return [function(file) for file in files]
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        return list(pool.map(function, files))
    finally:
        pool.shutdown(cancel_futures=True)


def shown_url(url: str) -> str:
    """Return a URL for messages. User and password are removed, and `?...` replaces a query, which may have a token."""
    parts = urlsplit(url)
    query = "?..." if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


class _TransientError(Exception):
    """A transient failure: no answer, a server error, a body that ends early."""


def _patiently(attempt: Callable[[float], T], url: str, patience: float) -> T:
    """Call `attempt(deadline)` again while it fails transiently. Raises DataError after `patience` seconds."""
    deadline, delay, attempts = time.monotonic() + patience, FIRST_DELAY, 0
    while True:
        attempts += 1
        try:
            return attempt(deadline)
        except _TransientError as error:
            if time.monotonic() + delay >= deadline:
                raise DataError(
                    f"{shown_url(url)} cannot be read: {error} ({counted(attempts, 'attempt')} in {patience:g} seconds)"
                    ". No sample was skipped. Check the server and the network, and resume; or raise"
                    " `dataset.patience`."
                ) from error
            warn_once(log, f"{shown_url(url)}: {error}. Trying again for {patience:g} seconds.", topic=f"retry {url}")
        time.sleep(delay)
        delay = min(2 * delay, LONGEST_DELAY)


def _changed(file: RemoteFile, what: str) -> DataError:
    return DataError(
        f"{file} has changed since it was opened ({what}), so its index is wrong. Put the earlier file back, or "
        "start the command again to read the new one."
    )


class _Ranges(io.RawIOBase):
    """A remote file as a raw file object."""

    def __init__(self, file: RemoteFile):
        self._file, self._position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class _Store(Protocol):
    """A way to read remote files. Raises _TransientError for transient failures, and DataError for others."""

    def look_up(self, url: str, deadline: float) -> tuple[int, str]:
        """Return the size and version of a file."""

    def read(self, file: RemoteFile, offset: int, size: int, deadline: float) -> bytes:
        """Read exactly `size` bytes. Raises DataError if the file has changed."""

    def matches(self, pattern: str) -> list[str]:
        """Return the URLs that match a pattern with `*`."""


class _Http:
    """Byte ranges of an HTTP server."""

    def look_up(self, url: str, deadline: float) -> tuple[int, str]:
        _, size, headers = self._get(url, 0, 1, deadline)
        return size, _version(headers)

    def read(self, file: RemoteFile, offset: int, size: int, deadline: float) -> bytes:
        data, total, headers = self._get(file.url, offset, size, deadline, file)
        _refuse_changed(file, total, _version(headers))
        return data

    def matches(self, pattern: str) -> list[str]:
        raise DataError(
            f"{shown_url(pattern)} has a `*`, but an HTTP server does not list its files. Write the names with braces, "
            "such as {00000..00099}.tar."
        )

    def _get(
        self, url: str, offset: int, size: int, deadline: float, file: RemoteFile | None = None
    ) -> tuple[bytes, int, HTTPMessage]:
        """Return the bytes of a range, the size of the file, and the headers of the answer."""
        headers = {"Range": f"bytes={offset}-{offset + size - 1}", "Accept-Encoding": "identity"}
        left = max(0.01, deadline - time.monotonic())
        try:
            with urlopen(Request(url, headers=headers), timeout=min(STALL, left)) as response:
                total = _total(url, response, offset, size)
                if file is not None:
                    _refuse_changed(file, total, _version(response.headers))
                return _body(response, size, deadline), total, response.headers
        except HTTPError as error:
            with error:
                raise _http_error(url, error, file) from error
        except URLError as error:
            if isinstance(error.reason, SSLCertVerificationError):
                advice = "Set SSL_CERT_FILE to the certificates that your network uses, or use another server."
                raise DataError(f"{shown_url(url)} cannot be read: {error.reason}. {advice}") from error
            raise _TransientError(f"no connection ({error.reason})") from error
        except (InvalidURL, UnicodeError) as error:
            raise DataError(f"{shown_url(url)} is not a valid URL ({error}). Correct it.") from error
        except (HTTPException, OSError) as error:
            raise _TransientError(f"the connection broke ({str(error) or type(error).__name__})") from error


def _total(url: str, response: Any, offset: int, size: int) -> int:
    """Return the size of the file from the answer to a range request. Raises DataError for a server without ranges."""
    if response.status == 200:
        raise DataError(
            f"The server of {shown_url(url)} does not support byte ranges: it answers with the whole file. Use a "
            "server that supports them, such as nginx or object storage, or download the file."
        )
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status != 206 or found is None or found[3] == "*":
        raise DataError(
            f"The server of {shown_url(url)} answers a range request with the status {response.status} and the "
            f"Content-Range {response.headers.get('Content-Range')!r}. Expected: the status 206, and a Content-Range "
            "with the range and the size of the file. Download the file."
        )
    first, last, total = map(int, found.groups())
    if first != offset or last != min(offset + size, total) - 1:
        raise _TransientError(f"it answers with the bytes {first}-{last} in place of {offset}-{offset + size - 1}")
    return total


def _body(response: Any, size: int, deadline: float) -> bytes:
    """Read the body of an answer. A slow one ends at the deadline, not only a stalled one."""
    data = bytearray()
    while len(data) < size:
        if time.monotonic() > deadline:
            raise _TransientError(f"too slow: {len(data):,} of {size:,} bytes arrived")
        block = response.read1(min(CHUNK, size - len(data)))
        if not block:
            raise _TransientError(f"the body ends after {len(data):,} of {size:,} bytes")
        data += block
    return bytes(data)


def _http_error(url: str, error: HTTPError, file: RemoteFile | None) -> Exception:
    if error.code == 416 and file is not None:
        return _changed(file, "it is shorter")
    if error.code >= 500 or error.code in RETRIED:
        return _TransientError(f"the server answers {error.code} {error.reason}")
    advice = {
        401: "it needs a login; use a signed URL",
        403: "access is denied; check the permissions, or whether a signed URL has expired",
        404: "the file does not exist; check the URL",
        416: "it is empty; upload it again or leave it out",
    }.get(error.code, "check the URL")
    return DataError(f"{shown_url(url)} cannot be read: the server answers {error.code} {error.reason}: {advice}.")


def _version(headers: HTTPMessage) -> str:
    return headers.get("ETag") or headers.get("Last-Modified") or ""


def _refuse_changed(file: RemoteFile, size: int, version: str) -> None:
    if size != file.size:
        raise _changed(file, f"it had {file.size:,} bytes and has {size:,}")
    if version != file.version:
        raise _changed(file, f"its version was {file.version} and is {version}")


class _Fsspec:
    """Files of any protocol of fsspec, such as `s3://`."""

    def __init__(self) -> None:
        self._checked: dict[tuple[int, str], float] = {}  # (process, URL) -> time of the last check

    def look_up(self, url: str, deadline: float) -> tuple[int, str]:
        with _store_errors(url):
            system = self._system(url)
            system.invalidate_cache()
            facts = system.info(url)
        if facts.get("type") == "directory" or facts.get("size") is None:
            raise DataError(f"{shown_url(url)} is not a file of known size: give the URL of a file.")
        return int(facts["size"]), _fsspec_version(facts)

    def read(self, file: RemoteFile, offset: int, size: int, deadline: float) -> bytes:
        key = (os.getpid(), file.url)
        if time.monotonic() - self._checked.get(key, -CHECK_EVERY) >= CHECK_EVERY:
            _refuse_changed(file, *self.look_up(file.url, deadline))
            self._checked[key] = time.monotonic()
        with _store_errors(file.url):
            data = bytes(self._system(file.url).cat_file(file.url, start=offset, end=offset + size))
        if len(data) != size:
            self._checked.pop(key, None)
            raise _TransientError(f"{len(data):,} of {size:,} bytes arrived")
        return data

    def matches(self, pattern: str) -> list[str]:
        scheme = urlsplit(pattern).scheme
        with _store_errors(pattern):
            return sorted(f"{scheme}://{path.lstrip('/')}" for path in self._system(pattern).glob(pattern))

    def _system(self, url: str) -> Any:
        """Return the file system. fsspec caches it in each process, because asynchronous ones do not survive a fork."""
        scheme = urlsplit(url).scheme
        try:
            return import_module("fsspec").filesystem(scheme)
        except ImportError as error:
            package = PACKAGES.get(scheme)
            advice = f": pip install {package}" if package else f" ({error})"
            raise DataError(f"{shown_url(url)} needs a package that is not installed{advice}.") from error
        except ValueError as error:
            raise DataError(
                f"{shown_url(url)} has an unknown protocol: use http, https or a protocol of fsspec."
            ) from error


@contextmanager
def _store_errors(url: str) -> Iterator[None]:
    """Convert errors of fsspec, whose file systems raise errors of many types."""
    try:
        yield
    except (DataError, _TransientError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{shown_url(url)} cannot be read: the file does not exist; check the URL.") from error
    except PermissionError as error:
        raise DataError(f"{shown_url(url)} cannot be read: access is denied. {CREDENTIALS}") from error
    except Exception as error:
        if type(error).__name__ == "NoCredentialsError":
            raise DataError(f"{shown_url(url)} cannot be read: there are no credentials. {CREDENTIALS}") from error
        raise _TransientError(f"{type(error).__name__}: {str(error)[:200]}") from error


def _fsspec_version(facts: Mapping[str, Any]) -> str:
    return next((str(facts[name]) for name in VERSIONS if facts.get(name)), "")


_HTTP, _FSSPEC = _Http(), _Fsspec()
_STORES: dict[str, _Store] = {"http": _HTTP, "https": _HTTP}


def _store(url: str) -> _Store:
    return _STORES.get(urlsplit(url).scheme.lower(), _FSSPEC)
