"""A server of files, with byte ranges as object stores have them, that fails when it is told to.

It is a process of its own: GDAL may hold Python's lock while it waits for an answer.
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
    """Serves a folder."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.address = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def fail(self, *codes: int) -> None:
        """Answer what is asked next with these codes, one each."""
        self._told(",".join(map(str, codes)))

    def to_fail(self) -> list[int]:
        """The codes that nobody was answered yet."""
        left: list[int] = self._told("")["failures"]
        return left

    def asked(self) -> dict[str, int]:
        """How often each path was asked for."""
        counts: dict[str, int] = self._told("")["asked"]
        return counts

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _told(self, codes: str) -> dict[str, Any]:
        with urlopen(f"{self.address}{CONTROL}{codes}", timeout=20) as answer:
            told: dict[str, Any] = json.load(answer)
        return told


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    asked: ClassVar[Counter[str]] = Counter()
    failures: ClassVar[list[int]] = []

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        if self.path.startswith(CONTROL):
            self.failures += [int(code) for code in self.path[len(CONTROL) :].split(",") if code]
            told = {"failures": self.failures, "asked": self.asked}
            return self.send(200, json.dumps(told).encode(), body)
        name = self.path.partition("?")[0].strip("/")
        self.asked[name] += 1
        path = self.folder / name
        if self.failures:
            return self.send(self.failures.pop(0), b"", body)
        if not path.is_file():
            return self.send(404, b"", body)
        whole = path.read_bytes()
        found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not found:
            return self.send(200, whole, body)
        first, last = int(found[1]), min(int(found[2] or len(whole)), len(whole) - 1)
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
