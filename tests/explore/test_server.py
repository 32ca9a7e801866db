"""The server of the page, as a browser and as a stranger meet it."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from explore_session import serve, wait
from PIL import Image

from rrsis_geo.explore.server import LEAFLET
from rrsis_geo.explore.session import Session

TOKEN = "a-token"
OpenSession = Callable[..., Session]


class Client:
    """Sends requests to a page."""

    def __init__(self, session: Session, root: str) -> None:
        self.session, self.root = session, root

    def get(self, address: str, **headers: str) -> tuple[int, Any, bytes]:
        return self._send(Request(f"{self.root}/{address}", headers=headers))

    def post(self, address: str, body: bytes) -> tuple[int, Any]:
        status, _, answer = self._send(Request(f"{self.root}/{address}", data=body))
        return status, json.loads(answer)

    def change(self, name: str, **values: Any) -> tuple[int, Any]:
        return self.post(f"{TOKEN}/api/{name}", json.dumps(values).encode())

    @staticmethod
    def _send(request: Request) -> tuple[int, Any, bytes]:
        try:
            with urlopen(request, timeout=60) as response:
                return response.status, response.headers, response.read()
        except HTTPError as err:
            with err:
                return err.code, err.headers, err.read()


@pytest.fixture
def client(open_scene: OpenSession, discs: Path) -> Iterator[Client]:
    session = open_scene(discs)
    with serve(session, TOKEN) as root:
        yield Client(session, root)


def test_the_page_and_its_files_come_from_this_machine(client: Client) -> None:
    status, headers, page = client.get(f"{TOKEN}/")
    assert status == 200
    assert b"<title>rrsis-geo explore</title>" in page
    assert b"http" not in page
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    for file in ("page/app.js", "page/map.js", "page/style.css", "leaflet/leaflet.js"):
        assert client.get(f"{TOKEN}/{file}")[0] == 200
    assert (LEAFLET / "leaflet.css").is_file()


@pytest.mark.parametrize(
    "address", ["", "api/state", "page/app.js", "wrong/", f"{TOKEN}x/api/state", "tiles/0/0/0"]
)
def test_addresses_without_the_token_are_refused(client: Client, address: str) -> None:
    status, _, text = client.get(address)
    assert status == 403
    assert b"it has a token" in text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_other_host_names_are_refused(client: Client, host: str) -> None:
    assert client.get(f"{TOKEN}/", Host=host)[0] == 400
    assert client.get(f"{TOKEN}/", Host="localhost:1")[0] == 200


def test_files_beside_those_of_the_page_are_not_served(client: Client) -> None:
    for path in ("page/../server.py", "page/%2e%2e/server.py", "leaflet/..%2f..%2fapps.py"):
        assert client.get(f"{TOKEN}/{path}")[0] == 404


def test_a_sentence_from_the_first_request_to_the_file(client: Client, tmp_path: Path) -> None:
    view = [100, 120, 300, 260]
    status, answer = client.change("find", text="red discs", view=view)
    assert (status, answer["number"]) == (200, 0)
    wait(client.session)
    _, _, body = client.get(f"{TOKEN}/api/state")
    (sentence,) = json.loads(body)["sentences"]
    assert sentence["n_objects"] > 0
    _, _, body = client.get(f"{TOKEN}/api/list?number=0")
    objects = json.loads(body)["objects"]
    scores = [each["score"] for each in objects]
    assert scores == sorted(scores, reverse=True)
    _, _, body = client.get(f"{TOKEN}/api/shapes?number=0&view=100,120,200,200&screen_px=0.5")
    shapes = json.loads(body)["shapes"]
    assert {each["id"] for each in shapes} < {each["id"] for each in objects}
    (left, top, right, bottom) = shapes[0]["bounds"]
    points = np.array(shapes[0]["rings"][0][0])
    assert [*points.min(0), *points.max(0)] == [left, top, right, bottom]

    status, state = client.change("limits", number=0, threshold=0.9, min_area_m2=None, view=view)
    assert status == 200
    assert state["sentences"][0]["threshold"] == 0.9
    found_number = state["sentences"][0]["found_number"]
    status, state = client.change(
        "drop", number=0, id=objects[0]["id"], found_number=found_number, dropped=True
    )
    assert (status, state["sentences"][0]["n_marks"]) == (200, 1)
    path = tmp_path / "page.gpkg"
    status, answer = client.change("save", path=f" {path} ", overwrite=False)
    assert status == 200
    assert answer == {"path": str(path), "n_objects": state["sentences"][0]["n_objects"] - 1}
    assert path.is_file()
    status, answer = client.change("save", path=str(path), overwrite=False)
    assert status == 400
    assert "exists" in answer["error"]
    assert client.change("stop")[0] == 200
    assert client.change("remove", number=0)[1]["sentences"] == []


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("find", {"text": "the largset house", "view": None}, "largset"),
        ("find", {"view": None}, "the request has no 'text'"),
        ("find", {"text": "cars", "view": [1, 2, 1, 4]}, "a view has a left"),
        ("find", {"text": "cars", "view": "1,2,3,4"}, "a view has a left"),
        ("find", {"text": "cars", "view": [1, 2, 3, None]}, "a number is expected"),
        ("limits", {"number": 7}, "this sentence was removed"),
        ("remove", {"number": "x"}, "a number is expected, got x"),
        ("save", {"path": "a.gpkg", "overwrite": False}, "nothing to save"),
    ],
)
def test_requests_that_cannot_be_carried_out(
    client: Client, name: str, values: dict[str, Any], message: str
) -> None:
    status, answer = client.change(name, **values)
    assert status == 400
    assert message in answer["error"]


@pytest.mark.parametrize("threshold", [0, 1, 1.5])
def test_a_threshold_that_is_not_possible(client: Client, threshold: float) -> None:
    view = [0, 0, 9, 9]
    client.change("find", text="cars", view=view)
    wait(client.session)
    status, answer = client.change(
        "limits", number=0, threshold=threshold, min_area_m2=None, view=view
    )
    assert status == 400
    assert "threshold must be between 0 and 1" in answer["error"]


def test_a_request_that_is_no_json(client: Client) -> None:
    assert "no JSON" in client.post(f"{TOKEN}/api/stop", b"{")[1]["error"]
    assert "no JSON object" in client.post(f"{TOKEN}/api/stop", b"[]")[1]["error"]


def test_tiles(client: Client) -> None:
    status, headers, picture = client.get(f"{TOKEN}/tiles/0/0/0")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(picture)).size == (258, 258)
    for outside in ("0/3/0", "0/0/3", "99/0/0"):
        assert client.get(f"{TOKEN}/tiles/{outside}")[0] == 404
