"""The demo over HTTP: one page and two questions about a picture, for this machine only."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mdtranslate.errors import DataError, RecipeError, nearest
from mdtranslate.inference.edit_parser import pairs
from mdtranslate.serve.demo import Demo

LARGEST: Final = 10_000_000
"""Bytes of a picture."""

SECONDS: Final = 30.0
"""In which a picture has to arrive."""

WAITING: Final = 8
"""Questions that may be under way: one is worked on, and the others wait with their pictures in memory."""

HOSTS: Final = ("localhost", "127.0.0.1")

# `data:` is how pictures come back; whatever else the page wants it gets here, or not at all.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
FILES: Final = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/ask.js": ("ask.js", "text/javascript"),
}


def make_app(demo: Demo) -> ASGIApp:
    """The application. Whatever is wrong with a question is answered by 4xx and `{"error": "one line"}`."""
    # No pages of FastAPI's own: they fetch their parts from elsewhere.
    app = FastAPI(title="mdtranslate", docs_url=None, redoc_url=None, openapi_url=None)
    for kind, code in ((RecipeError, 400), (ClientDisconnect, 400), (DataError, 415)):
        app.add_exception_handler(kind, _failed(code))
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(Exception, _bug)
    queue = Queue()

    for path, (name, kind_of_text) in FILES.items():
        content = Path(__file__).with_name(name).read_bytes()
        app.add_api_route(path, _file(content, kind_of_text))

    @app.get("/api/model")
    def model() -> Response:
        return Answer({**demo.model(), "largest": LARGEST})

    @app.get("/api/samples/{place}")
    def sample(place: str) -> Response:
        if place not in map(str, range(len(demo.samples))):
            raise HTTPException(
                404, f"there is no test picture {place[:20]!r}; there are {len(demo.samples)}, from 0 on"
            )
        return Response(demo.samples[int(place)].picture, media_type="image/png")

    @app.post("/api/look")
    async def look(request: Request, dataset: str | None = None) -> Response:
        source, _ = _told(request, "from", "dataset")
        return await queue.answer(request, lambda picture: demo.look(picture, source, dataset))

    @app.post("/api/translate")
    async def translate(request: Request, dataset: str | None = None) -> Response:
        source, changes = _told(request, "from", "set", "dataset")
        return await queue.answer(request, lambda picture: demo.translate(picture, changes, source, dataset))

    return Guard(app)


class Answer(JSONResponse):
    """JSON; what a file name has that is not UTF-8 is escaped, as in the files that we write."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


class Queue:
    """One thread that works, and a bounded number of questions that wait for it."""

    def __init__(self) -> None:
        self.worker = ThreadPoolExecutor(1, "translate")
        self.under_way = 0

    async def answer(self, request: Request, work: Callable[[bytes], Mapping[str, Any]]) -> Response:
        """What `work` makes of the picture that a request brings."""
        if self.under_way >= WAITING:
            message = f"busy: {self.under_way} pictures are waiting already; try again in a moment"
            raise HTTPException(429, message, headers={"retry-after": "1"})
        self.under_way += 1
        try:
            try:
                async with asyncio.timeout(SECONDS):
                    picture = await _body(request)
            except TimeoutError:
                raise HTTPException(408, f"the picture has not arrived in {SECONDS:g} seconds") from None
            return Answer(await asyncio.get_running_loop().run_in_executor(self.worker, work, picture))
        finally:
            self.under_way -= 1


class Guard:
    """Answers only what this machine asks by its own name, and no other site's page.

    A name that another site gives to this machine (DNS rebinding) would make its page one of ours.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if _name(host) not in HOSTS:
            answer = _error(421, f"{host or 'no host'}: this page is for this machine only, which calls it 127.0.0.1")
        elif origin is not None and origin != f"http://{host}":
            answer = _error(403, f"{origin}: the pages of other sites get no answer here")
        else:
            await self.app(scope, receive, send_with_headers)
            return
        await answer(scope, receive, send_with_headers)


async def _body(request: Request) -> bytes:
    """The picture that a request brings. Its size is held while it comes: what is announced may be missing or wrong."""
    too_large = HTTPException(413, f"the picture has more than {LARGEST / 1e6:g} MB")
    if int(request.headers.get("content-length", 0)) > LARGEST:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise too_large
    if not body:
        raise HTTPException(400, "there is no picture: the body of the request is empty")
    return bytes(body)


def _told(request: Request, *known: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `from=NAME=VALUE` and `set=NAME=VALUE` of a request. Raises `RecipeError`, also for any other word."""
    for word in request.query_params:
        if word not in known:
            raise RecipeError(f"{word!r} is not asked for here: {nearest(word, known)}")
    source, changes = (pairs(word, request.query_params.getlist(word)) for word in ("from", "set"))
    return source, changes


def _file(content: bytes, kind: str) -> Callable[[], Response]:
    def file() -> Response:
        return Response(content, media_type=kind)

    return file


def _name(host: str) -> str | None:
    """The name in a `Host` header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _error(code: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer({"error": " ".join(message.split())}, code, headers)


def _failed(code: int) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        return _error(code, str(error))

    return answer


def _bug(request: Request, error: Exception) -> Response:
    """What nobody foresaw is shown whole where the server was started."""
    traceback.print_exception(error)
    return _error(500, f"this failed in a way that it should not: {error}")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    if error.status_code in (404, 405) and not isinstance(error, HTTPException):
        return _error(error.status_code, f"{request.method} {request.url.path}: nothing answers to that", error.headers)
    return _error(error.status_code, error.detail, error.headers)
