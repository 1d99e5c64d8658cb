"""The demo over HTTP: its page, and requests about an image, for the local machine only."""

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
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mdtranslate.errors import DataError, RecipeError, nearest
from mdtranslate.inference.edit_parser import parse_pairs
from mdtranslate.serve.demo import Demo

MAX_UPLOAD_BYTES: Final = 10_000_000
"""Largest size of an uploaded image file."""

UPLOAD_TIMEOUT: Final = 30.0
"""Seconds within which an upload must be complete."""

MAX_REQUESTS: Final = 8
"""Number of requests at a time: one is processed, the others wait with their images in memory."""

HOSTS: Final = ("localhost", "127.0.0.1")

# Images are sent as `data:` URLs; everything else is loaded from this server only.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
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


def create_app(demo: Demo) -> ASGIApp:
    """Creates the web application.

    Invalid requests are answered by a status code of 4xx and `{"error": "one line"}`.

    Args:
        demo: The demo to serve.
    """
    # FastAPI's own documentation pages load scripts from elsewhere.
    app = FastAPI(title="mdtranslate", docs_url=None, redoc_url=None, openapi_url=None)
    for error_type, code in ((RecipeError, 400), (ClientDisconnect, 400), (DataError, 415)):
        app.add_exception_handler(error_type, _error_handler(code))
    app.add_exception_handler(StarletteHTTPException, _handle_http_exception)
    app.add_exception_handler(Exception, _handle_unexpected_error)
    queue = RequestQueue()

    for path, (name, media_type) in FILES.items():
        content = Path(__file__).with_name(name).read_bytes()
        app.add_api_route(path, _file_endpoint(content, media_type))

    @app.get("/api/model")
    def model() -> Response:
        return EscapedJSONResponse({**demo.model(), "max_bytes": MAX_UPLOAD_BYTES})

    @app.get("/api/samples/{index}")
    def sample(index: str) -> Response:
        if index not in map(str, range(len(demo.samples))):
            raise HTTPException(404, f"no test image {index[:20]!r}; there are {len(demo.samples)}, counted from 0")
        return Response(demo.samples[int(index)].png, media_type="image/png")

    @app.post("/api/inspect")
    async def inspect(request: Request, dataset: str | None = None) -> Response:
        source, _ = _parse_query(request, "from", "dataset")
        return await queue.process(request, lambda image: demo.inspect(image, source, dataset))

    @app.post("/api/translate")
    async def translate(request: Request, dataset: str | None = None) -> Response:
        source, edits = _parse_query(request, "from", "set", "dataset")
        return await queue.process(request, lambda image: demo.translate(image, edits, source, dataset))

    return HostGuard(app)


class EscapedJSONResponse(JSONResponse):
    """JSON in which characters that are not UTF-8, as file names may have, are escaped."""

    def render(self, content: Any) -> bytes:
        """Encodes the content."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


class RequestQueue:
    """Processes requests one after the other in a thread; refuses more than `MAX_REQUESTS` at a time."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "translate")
        self._num_requests = 0

    async def process(self, request: Request, function: Callable[[bytes], Mapping[str, Any]]) -> Response:
        """Receives the image of a request, and returns the result of `function` for it as JSON.

        Args:
            request: The request.
            function: A function of the content of the image file, called in the thread.

        Raises:
            HTTPException: Too many requests are waiting, or the image is too large or too late.
        """
        if self._num_requests >= MAX_REQUESTS:
            message = f"busy: {self._num_requests} images are waiting already; try again in a moment"
            raise HTTPException(429, message, headers={"retry-after": "1"})
        self._num_requests += 1
        try:
            try:
                async with asyncio.timeout(UPLOAD_TIMEOUT):
                    image = await _receive_body(request)
            except TimeoutError:
                raise HTTPException(408, f"the upload took more than {UPLOAD_TIMEOUT:g} seconds") from None
            result = await asyncio.get_running_loop().run_in_executor(self._executor, function, image)
            return EscapedJSONResponse(result)
        finally:
            self._num_requests -= 1


class HostGuard:
    """Middleware that refuses requests with another host name, and those of pages of other sites.

    Otherwise another site could point its own name at this machine (DNS rebinding), and read the answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if _host_name(host) not in HOSTS:
            response = _error_response(421, f"host {host!r}: only requests to {' or '.join(HOSTS)} are answered")
        elif origin is not None and origin != f"http://{host}":
            response = _error_response(403, f"{origin}: requests from pages of other sites are not answered")
        else:
            await self.app(scope, receive, send_with_headers)
            return
        await response(scope, receive, send_with_headers)


async def _receive_body(request: Request) -> bytes:
    """Returns the body of a request. Its size is checked while it arrives: `content-length` may be missing or wrong."""
    too_large = HTTPException(413, f"the image has more than {MAX_UPLOAD_BYTES / 1e6:g} MB")
    if int(request.headers.get("content-length", 0)) > MAX_UPLOAD_BYTES:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_UPLOAD_BYTES:
            raise too_large
    if not body:
        raise HTTPException(400, "no image: the body of the request is empty")
    return bytes(body)


def _parse_query(request: Request, *known: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the `from=NAME=VALUE` and `set=NAME=VALUE` of a request; raises `RecipeError` for other parameters."""
    for key in request.query_params:
        if key not in known:
            raise RecipeError(f"unknown query parameter {key!r}: {nearest(key, known)}")
    source, edits = (parse_pairs(key, request.query_params.getlist(key)) for key in ("from", "set"))
    return source, edits


def _file_endpoint(content: bytes, media_type: str) -> Callable[[], Response]:
    def file() -> Response:
        return Response(content, media_type=media_type)

    return file


def _host_name(host: str) -> str | None:
    """Returns the name in a `Host` header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _error_response(code: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return EscapedJSONResponse({"error": " ".join(message.split())}, code, headers)


def _error_handler(code: int) -> Callable[[Request, Exception], Response]:
    def handle(request: Request, error: Exception) -> Response:
        return _error_response(code, str(error))

    return handle


def _handle_unexpected_error(request: Request, error: Exception) -> Response:
    """Answers in one line, and prints the traceback in the server's terminal."""
    traceback.print_exception(error)
    return _error_response(500, f"internal error: {error}")


def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    if error.status_code in (404, 405) and not isinstance(error, HTTPException):
        message = f"{request.method} {request.url.path}: no such page or method"
        return _error_response(error.status_code, message, error.headers)
    return _error_response(error.status_code, error.detail, error.headers)
