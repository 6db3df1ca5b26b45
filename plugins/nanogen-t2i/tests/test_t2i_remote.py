"""Tars of a local HTTP server, which is killed, slowed, cut short and changed, and of an object store in memory."""

from __future__ import annotations

import multiprocessing
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from nanogen_core.errors import DataError
from nanogen_data import notes, stored_files
from nanogen_data.loader import loader
from nanogen_data.stored_files import remote_file
from nanogen_t2i import cache
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.crop import ResizeAndCrop
from nanogen_t2i.dataset import TarExamples, WebDataset


class Server:
    """A server of files with ranges. Its attributes are the faults of its later answers."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = self.etags = True
        self.failures = 0  # answers with the status 503
        self.cuts = 0  # answers whose body is cut to half
        self.trickle = False  # one byte each 50 ms
        self.requests: list[tuple[str, str]] = []
        self._start(0)

    def _start(self, port: int) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.http.server_address[1])

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def kill(self) -> int:
        port = self.port
        self.http.shutdown()
        self.http.server_close()
        return port

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        name, wanted = to.path.lstrip("/").partition("?")[0], to.headers.get("Range", "")
        self.requests.append((name, wanted))
        if self.failures:
            self.failures -= 1
            to.send_error(503)
            return
        if name not in self.files:
            to.send_error(404)
            return
        whole = self.files[name]
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        body = whole
        if self.ranges and int(first) >= len(whole):
            to.send_error(416)
            return
        if self.ranges:
            body = whole[int(first) : int(last) + 1]
        to.send_response(206 if self.ranges else 200)
        if self.ranges:
            to.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{len(whole)}")
        if self.etags:
            to.send_header("ETag", f'"{hash(whole)}"')
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        if self.cuts:
            self.cuts -= 1
            body = body[: len(body) // 2]
        for byte in body if self.trickle else ():
            time.sleep(0.05)
            try:
                to.wfile.write(bytes([byte]))
            except OSError:
                return
        if not self.trickle:
            to.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stored_files, "FIRST_DELAY", 0.05)
    notes._logged.clear()


def tar(numbers: range) -> bytes:
    """A tar of noise pictures with captions."""
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for number in numbers:
            picture = BytesIO()
            noise = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(noise).save(picture, "PNG")
            for name, data in ((f"{number:03d}.png", picture.getvalue()), (f"{number:03d}.txt", b"number %d" % number)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, BytesIO(data))
    return content.getvalue()


def examples(url: str, **options: Any) -> TarExamples:
    found = WebDataset(WebDatasetConfig(root=url, **options)).open("train", 16, "captions")
    assert isinstance(found, TarExamples)
    return found


def reference(*tars: bytes) -> list[tuple[bytes, str]]:
    """The pixels and captions of the samples as the module tarfile reads them."""
    found = []
    for content in tars:
        with tarfile.open(fileobj=BytesIO(content)) as archive:
            data = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        for name in data:
            if name.endswith(".png"):
                pixels = Image.open(BytesIO(data[name])).convert("RGB").tobytes()
                found.append((pixels, data[name.replace(".png", ".txt")].decode()))
    return found


def read(examples: TarExamples, index: int) -> tuple[bytes, Any]:
    example = examples[index]
    assert isinstance(example.image, Image.Image)
    return example.image.tobytes(), example.caption


def test_random_access_gives_what_tarfile_reads(server: Server) -> None:
    server.files = {"0.tar": tar(range(7)), "1.tar": tar(range(7, 12))}
    expected = reference(*server.files.values())
    found = examples(server.url("{0..1}.tar"))
    assert len(found) == 12
    assert [found.caption(index) for index in (11, 3)] == [expected[11][1], expected[3][1]]
    server.requests.clear()
    assert [read(found, index) for index in (9, 0, 11, 3)] == [expected[index] for index in (9, 0, 11, 3)]
    assert len(server.requests) == 4  # image and caption at once


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_and_a_resume_equal_those_of_the_files(server: Server, tmp_path: Path, num_workers: int) -> None:
    server.files = {"0.tar": tar(range(7)), "1.tar": tar(range(7, 12))}
    for name, content in server.files.items():
        (tmp_path / name).write_bytes(content)
    options = {"transform": ResizeAndCrop(16), "seed": 3}
    local = list(islice(loader(examples(str(tmp_path / "{0..1}.tar")), 5, **options), 6))
    remote = examples(server.url("{0..1}.tar"))
    resumed = list(islice(loader(remote, 5, start=2, num_workers=num_workers, **options), 4))
    for ours, theirs in zip(resumed, local[2:], strict=True):
        assert ours.captions == theirs.captions
        assert ours.images.equal(theirs.images)  # type: ignore[union-attr, arg-type]


def test_the_index_is_made_once_and_again_for_another_version(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    indexed: list[str] = []
    original = cache.index_tar
    monkeypatch.setattr(cache, "index_tar", lambda file, *keys: indexed.append(str(file)) or original(file, *keys))  # type: ignore[func-returns-value]
    server.files = {"0.tar": tar(range(3))}
    assert len(examples(server.url("0.tar"))) == len(examples(server.url("0.tar"))) == 3
    assert indexed == [server.url("0.tar")]
    server.files = {"0.tar": tar(range(4))}
    assert len(examples(server.url("0.tar"))) == 4
    assert len(indexed) == 2


def _length(url: str, results: Any) -> None:
    results.put(len(examples(url)))


def test_two_processes_at_once_make_one_index(server: Server) -> None:
    server.files = {"0.tar": tar(range(40))}
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_length, args=(server.url("0.tar"), results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [40, 40]
    for process in processes:
        process.join(60)
    looked_up = [wanted for _, wanted in server.requests if wanted == "bytes=0-0"]
    headers = [wanted for _, wanted in server.requests if wanted == "bytes=0-511"]
    assert (len(looked_up), len(headers)) == (2, 1)


def test_a_server_that_comes_back_is_waited_for(server: Server) -> None:
    server.files = {"0.tar": tar(range(5))}
    found, expected = examples(server.url("0.tar")), reference(server.files["0.tar"])
    port = server.kill()
    threading.Timer(0.4, server._start, (port,)).start()
    assert read(found, 3) == expected[3]
    server.failures = 2
    assert read(found, 1) == expected[1]
    server.cuts = 2
    assert read(found, 2) == expected[2]


def test_a_server_that_stays_away_is_an_error_and_nothing_is_skipped(server: Server) -> None:
    server.files = {"0.tar": tar(range(5))}
    found = examples(server.url("0.tar"), patience=0.5)
    batches = loader(found, 2, transform=ResizeAndCrop(16))
    next(batches)
    server.failures = 10**6
    with pytest.raises(DataError, match=r"the server answers 503 .*attempts in 0\.5 seconds\)\. No sample was skipped"):
        next(batches)
    server.kill()
    with pytest.raises(DataError, match=r"0\.tar cannot be read: no connection"):
        found[0]
    server._start(0)


def test_a_failure_while_indexing_is_no_end_of_the_tar(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tar that ends early is a corrupt sample; a server that fails must not look like one."""
    monkeypatch.setattr(stored_files, "BUFFER", 2048)
    server.files = {"0.tar": tar(range(30))}
    original = server.answer

    def failing(to: BaseHTTPRequestHandler) -> None:
        if len(server.requests) == 12:
            server.failures = 10**6
        original(to)

    monkeypatch.setattr(server, "answer", failing)
    with pytest.raises(DataError, match="the server answers 503"):
        examples(server.url("0.tar"), patience=0.3)
    monkeypatch.setattr(server, "answer", original)
    server.failures = 0
    assert len(examples(server.url("0.tar"))) == 30


def test_a_slow_server_ends_at_the_deadline(server: Server) -> None:
    server.files = {"0.tar": tar(range(5))}
    found = examples(server.url("0.tar"), patience=0.6)
    server.trickle = True
    with pytest.raises(DataError, match=r"too slow: [\d,]+ of [\d,]+ bytes arrived"):
        found[0]


def test_a_body_that_is_always_cut_is_an_error(server: Server) -> None:
    server.files = {"0.tar": tar(range(5))}
    found = examples(server.url("0.tar"), patience=0.3)
    server.cuts = 10**6
    with pytest.raises(DataError, match=r"the body ends after [\d,]+ of [\d,]+ bytes"):
        found[0]


def test_a_changed_file_is_refused(server: Server) -> None:
    old = tar(range(5))
    server.files = {"0.tar": old}
    found = examples(server.url("0.tar"))
    server.files = {"0.tar": old[:-1] + b"x"}  # of the same size
    with pytest.raises(DataError, match=r"has changed since it was opened \(its version was"):
        found[0]
    server.files = {"0.tar": tar(range(20))}
    with pytest.raises(DataError, match=r"has changed since it was opened \(it had [\d,]+ bytes and has [\d,]+\)"):
        found[0]
    server.files = {"0.tar": b"x"}
    with pytest.raises(DataError, match="it is shorter"):
        found[4]
    server.files = {"0.tar": old}
    assert read(found, 0) == reference(old)[0]


def test_a_server_without_ranges_is_refused(server: Server) -> None:
    server.files, server.ranges = {"0.tar": tar(range(5))}, False
    with pytest.raises(DataError, match="does not support byte ranges"):
        examples(server.url("0.tar"))


def test_a_server_without_versions_is_said(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.files, server.etags = {"0.tar": tar(range(2))}, False
    assert len(examples(server.url("0.tar"))) == 2
    assert "states neither an ETag nor a time of modification" in caplog.text


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("1.tar", r"1\.tar cannot be read: the server answers 404 .*the file does not exist"),
        ("*.tar", r"an HTTP server does not list its files. Write the names with braces"),
        ("{0,0}.tar", "names .*0.tar twice"),
        ("empty.tar", "it is empty"),
    ],
)
def test_what_is_not_there_is_one_sentence(server: Server, name: str, sentence: str) -> None:
    server.files = {"0.tar": tar(range(1)), "empty.tar": b""}
    with pytest.raises(DataError, match=sentence):
        examples(server.url(name))


def test_tokens_are_not_shown(server: Server) -> None:
    with pytest.raises(DataError) as error:
        remote_file(server.url("1.tar?token=secret"))
    assert "secret" not in str(error.value)


def test_an_object_store_is_read_through_fsspec() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/tars/0.tar", tar(range(4)))
    memory.pipe("/tars/1.tar", tar(range(4, 6)))
    expected = reference(tar(range(6)))
    for pattern in ("memory://tars/{0..1}.tar", "memory://tars/*.tar"):
        found = examples(pattern)
        assert [read(found, index) for index in (5, 0, 3)] == [expected[index] for index in (5, 0, 3)]
    stored_files._FSSPEC._checked.clear()
    memory.pipe("/tars/1.tar", tar(range(4, 9)))
    with pytest.raises(DataError, match=r"memory://tars/1\.tar has changed since it was opened"):
        found[4]
    with pytest.raises(DataError, match=r"memory://tars/2\.tar cannot be read: the file does not exist"):
        examples("memory://tars/2.tar")


def test_a_listing_that_fails_ends_after_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Any, path: str) -> list[str]:
        raise OSError("reset by peer")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "glob", failing)
    with pytest.raises(DataError, match=r"reset by peer \(\d attempts? in 0\.3 seconds\)"):
        examples("memory://tars/*.tar", patience=0.3)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(DataError, match=r"needs a package that is not installed: pip install s3fs"):
        examples("s3://bucket/0.tar")


def test_data_prepare_recognises_a_url() -> None:
    assert WebDataset.recognises("https://host/{00000..00009}.tar")
    assert not WebDataset.recognises("https://host/table.parquet")


def test_held_out_tars_may_be_remote(server: Server) -> None:
    server.files = {"0.tar": tar(range(3)), "v.tar": tar(range(50, 52))}
    config = WebDatasetConfig(root=server.url("0.tar"), validation=server.url("v.tar"))
    assert [WebDataset(config).open("val", 16, "captions").caption(0)] == ["number 50"]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="names only training tars"):
        WebDataset(WebDatasetConfig(root=server.url("0.tar"))).open("val", 16, "captions")
