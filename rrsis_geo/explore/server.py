"""The local server of the page: an address with a token on this machine, and what it answers.

Only this machine can connect. The token keeps out other users and programs of the machine, and the
check of the host name keeps out pages of other sites, whose names may be made to point here.
"""

import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rrsis_geo.errors import InputError, RrsisError
from rrsis_geo.explore.requests import GET, POST, Work, answer
from rrsis_geo.explore.session import Session

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("page")
LEAFLET = Path(str(files("js_lib_leaflet"))) / "static" / "js_lib_leaflet"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
TILES_ARE_KEPT = {"Cache-Control": "private, max-age=86400"}

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(session: Session, token: str) -> Starlette:
    """The application that serves the page of a session.

    Args:
        session: to explore.
        token: the first part of the path of every address that is answered.
    """
    routes = [
        Route("/", _index),
        Mount("/page", StaticFiles(directory=PAGE)),
        Mount("/leaflet", StaticFiles(directory=LEAFLET)),
        Route("/tiles/{halvings:int}/{col:int}/{row:int}", _tile),
        *(Route(f"/api/{name}", _get(work)) for name, work in GET.items()),
        *(Route(f"/api/{name}", _post(work), methods=["POST"]) for name, work in POST.items()),
    ]
    app = Starlette(
        routes=[
            Mount(f"/{token}", routes=routes),
            Route("/{rest:path}", _refuse, methods=["GET", "POST"]),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
            Middleware(_WithHeaders),
        ],
        exception_handlers={RrsisError: _explain},
    )
    app.state.session = session
    return app


async def _index(request: Request) -> Response:
    return FileResponse(PAGE / "index.html")


async def _refuse(request: Request) -> Response:
    return PlainTextResponse(
        "Open the address that rrsis-geo explore printed: it has a token.", status_code=403
    )


async def _tile(request: Request) -> Response:
    place = request.path_params
    read = request.app.state.session.tiles.read
    tile = await run_in_threadpool(read, -place["halvings"], place["col"], place["row"])
    if tile is None:
        return Response(status_code=404)
    picture, media_type = tile
    return Response(picture, media_type=media_type, headers=TILES_ARE_KEPT)


def _get(work: Work) -> Endpoint:
    async def get(request: Request) -> Response:
        return await _answer(request, work, dict(request.query_params))

    return get


def _post(work: Work) -> Endpoint:
    async def post(request: Request) -> Response:
        try:
            values = json.loads(await request.body())
        except ValueError as err:
            raise InputError(f"the request is no JSON ({err})") from err
        if not isinstance(values, dict):
            raise InputError("the request is no JSON object")
        return await _answer(request, work, values)

    return post


async def _answer(request: Request, work: Work, values: dict[str, object]) -> Response:
    session: Session = request.app.state.session
    return JSONResponse(await run_in_threadpool(answer, session, work, values))


async def _explain(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


class _WithHeaders:
    """Adds `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
