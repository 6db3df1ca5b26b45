"""A stand-in of the Hugging Face hub: its file calls over HTTP, with repositories in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test"
NAME = r"(?P<name>[^/]+/[^/]+)"


class Hub:
    """Repositories: name -> branch -> path -> bytes. `truncated` is a file whose download breaks off."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.private: dict[str, bool] = {}
        self.truncated: str | None = None
        self.requests: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def files(self, name: str, revision: str = "main") -> dict[str, bytes] | None:
        branches = self.repos[name]
        return next((files for branch, files in branches.items() if revision in (branch, commit_of(files))), None)

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return the constants of huggingface_hub for this server, with an empty cache and no saved token."""
        return {
            "ENDPOINT": self.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(folder / "cache"),
            "HF_TOKEN_PATH": str(folder / "no-token"),
            "HF_HUB_DISABLE_XET": True,
        }


def commit_of(files: dict[str, bytes]) -> str:
    digest = hashlib.sha1()
    for path in sorted(files):
        digest.update(path.encode() + b"\0" + files[path])
    return digest.hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *values: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if path == "/":
            return self._send(200, b"")
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        writes = self.command == "POST"
        if writes and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if found := re.fullmatch(rf"/api/models/{NAME}/(?P<verb>\w+)/(?P<revision>.+)", path):
            return self._api(body, **found.groupdict())
        if found := re.fullmatch(rf"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", path):
            return self._file(**found.groupdict())
        return self._json({"error": path}, 404)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "others":
            return self._json({"error": "You don't have the rights to create a model under this namespace"}, 403)
        known = name in self.hub.repos
        self.hub.repos.setdefault(name, {"main": {}})
        self.hub.private.setdefault(name, asked.get("private", asked.get("visibility") == "private"))
        return self._json({"url": f"{self.hub.url}/{name}"}, 409 if known else 200)

    def _api(self, body: bytes, name: str, verb: str, revision: str) -> None:
        if name not in self.hub.repos:
            return self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if verb == "branch":
            self.hub.repos[name].setdefault(revision, {})
            return self._json({})
        files = self.hub.files(name, revision)
        if files is None:
            return self._json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        if verb == "revision":
            siblings = [{"rfilename": path} for path in files]
            return self._json({"id": name, "sha": commit_of(files), "siblings": siblings, "private": False})
        if verb == "tree":
            return self._json([{"type": "file", "path": p, "size": len(d), "oid": oid(d)} for p, d in files.items()])
        if verb == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            return self._json({"files": modes})
        assert verb == "commit", verb
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        commit = commit_of(files)
        return self._json({"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})

    def _file(self, name: str, revision: str, file: str) -> None:
        files = self.hub.files(name, revision) if name in self.hub.repos else None
        if files is None or file not in files:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        data = files[file]
        headers = {"ETag": f'"{oid(data)}"', "X-Repo-Commit": commit_of(files)}
        return self._send(200, data, headers, broken=self.command == "GET" and file == self.hub.truncated)

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None, broken: bool = False) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if broken else data)
        if broken:
            self.close_connection = True


def oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
