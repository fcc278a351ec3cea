# SPDX-License-Identifier: BSD-3-Clause
"""The plain page: static files out of the package, without any build.

It is at `/` where the dashboard was not built, else at `/plain`.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Final, TypeAlias

import aiohttp.web
from aiohttp import hdrs

from pyaiot import __version__

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'; "
    # In a frame of another page, a click on a switch could be stolen.
    "frame-ancestors 'none'; "
    # Text never becomes markup, not even by mistake: the browser refuses `innerHTML`.
    "require-trusted-types-for 'script'"
)
"""For every answer with a page in it: nothing inline, nothing from other hosts."""

_PAGE: Final = "index.html"
_CONTENT_TYPES: Final = {
    _PAGE: "text/html",
    "app.js": "text/javascript",
    "connection.js": "text/javascript",
    "state.js": "text/javascript",
    "view.js": "text/javascript",
    "style.css": "text/css",
    "favicon.svg": "image/svg+xml",
}
HEADERS: Final[dict[str, str]] = {
    hdrs.CACHE_CONTROL: "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_Handler: TypeAlias = Callable[[aiohttp.web.Request], Awaitable[aiohttp.web.StreamResponse]]


def add_page_routes(app: aiohttp.web.Application, *, title: str, at: str = "/") -> None:
    """Serve the page at `at`, its files below `/static/`, `/info.json` with `title` and version.

    The files are read here, once: what is served until the process ends is of one version, and
    no name in a request ever reaches the file system. A browser keeps the files and asks each
    time whether they are still the same (`ETag`).
    """
    folder = files("pyaiot.web") / "static"
    for name, content_type in _CONTENT_TYPES.items():
        path = at if name == _PAGE else f"/static/{name}"
        app.router.add_get(path, _file_handler((folder / name).read_bytes(), content_type))

    async def info(_request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        return aiohttp.web.json_response({"title": title, "version": __version__}, headers=HEADERS)

    app.router.add_get("/info.json", info)


def answer(
    request: aiohttp.web.Request, body: bytes, content_type: str, headers: Mapping[str, str]
) -> aiohttp.web.StreamResponse:
    """The file, or 304 if the browser has the very same (RFC 9110 section 13.1.2)."""
    etag = hashlib.sha256(body).hexdigest()[:16]
    known = request.if_none_match or ()
    if any(tag.value in {etag, "*"} for tag in known):
        response = aiohttp.web.Response(status=304, headers=headers)
    else:
        text = content_type.startswith("text/") or content_type == "image/svg+xml"
        response = aiohttp.web.Response(
            body=body,
            content_type=content_type,
            charset="utf-8" if text else None,
            headers=headers,
        )
    response.etag = etag
    return response


def _file_handler(body: bytes, content_type: str) -> _Handler:
    async def serve(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        return answer(request, body, content_type, HEADERS)

    return serve
