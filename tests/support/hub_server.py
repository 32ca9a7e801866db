"""A stand-in for the Hugging Face Hub that serves files of one repository over HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit


@contextmanager
def serve(repository: str, commit: str, folder: Path) -> Iterator[str]:
    """Serve the files of a folder as one commit of a repository. Yields the endpoint."""

    class Handler(_HubHandler):
        files: ClassVar[dict[str, Path]] = {path.name: path for path in folder.iterdir()}

    Handler.repository, Handler.commit = repository, commit
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _HubHandler(BaseHTTPRequestHandler):
    repository: ClassVar[str]
    commit: ClassVar[str]
    files: ClassVar[dict[str, Path]]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        prefix = f"/{self.repository}/resolve/{self.commit}/"
        if path == f"/api/models/{self.repository}/revision/{self.commit}":
            siblings = [{"rfilename": name} for name in self.files]
            facts = {"id": self.repository, "sha": self.commit, "siblings": siblings}
            self._send(json.dumps(facts).encode(), with_body, "application/json")
        elif path == f"/api/models/{self.repository}/tree/{self.commit}":
            entries = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": "0" * 40}
                for name, file in self.files.items()
            ]
            self._send(json.dumps(entries).encode(), with_body, "application/json")
        elif path.removeprefix(prefix) in self.files:
            content = self.files[path.removeprefix(prefix)].read_bytes()
            self._send(content, with_body, "application/octet-stream")
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, content: bytes, with_body: bool, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass
