"""A file server with byte ranges, like an object store, that fails on request.

It runs in its own process, because GDAL may hold Python's lock while it waits for a response.
"""

import http.server
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import urlopen

CONTROL = "/!"


class Server:
    """Serve a folder over HTTP."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.address = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def fail(self, *codes: int) -> None:
        """Answer the next requests with these status codes, one each."""
        self._control(",".join(map(str, codes)))

    def pending_failures(self) -> list[int]:
        """Status codes that have not been sent yet."""
        codes: list[int] = self._control("")["failures"]
        return codes

    def request_counts(self) -> dict[str, int]:
        """Number of requests for each path."""
        counts: dict[str, int] = self._control("")["requests"]
        return counts

    def stop(self) -> None:
        """Stop the process."""
        self._process.kill()
        self._process.wait()

    def _control(self, codes: str) -> dict[str, Any]:
        """Add failures; return the state of the server."""
        with urlopen(f"{self.address}{CONTROL}{codes}", timeout=20) as response:
            state: dict[str, Any] = json.load(response)
        return state


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    requests: ClassVar[Counter[str]] = Counter()
    failures: ClassVar[list[int]] = []

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        if self.path.startswith(CONTROL):
            self.failures += [int(code) for code in self.path[len(CONTROL) :].split(",") if code]
            state = {"failures": self.failures, "requests": self.requests}
            return self.send(200, json.dumps(state).encode(), body)
        name = self.path.partition("?")[0].strip("/")
        self.requests[name] += 1
        path = self.folder / name
        if self.failures:
            return self.send(self.failures.pop(0), b"", body)
        if not path.is_file():
            return self.send(404, b"", body)
        whole = path.read_bytes()
        byte_range = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not byte_range:
            return self.send(200, whole, body)
        first, last = int(byte_range[1]), min(int(byte_range[2] or len(whole)), len(whole) - 1)
        return self.send(206, whole[first : last + 1], body, f"bytes {first}-{last}/{len(whole)}")

    def send(self, code: int, content: bytes, body: bool, span: str = "") -> None:
        self.send_response(code)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


if __name__ == "__main__":
    _Handler.folder = Path(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
