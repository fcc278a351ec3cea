# SPDX-License-Identifier: BSD-3-Clause
"""`/api/openapi.json`, and the same as a page at `/api/docs`."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from pyaiot.web.api.documents_page import page
from pyaiot.web.api.openapi import document
from pyaiot.web.api.parameters import Query
from pyaiot.web.api.responses import HEADERS, matches_etag, not_modified

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page has one script, which sends requests of the forms to this broker."""
FILES: Final = {"docs.css": "text/css", "docs.js": "text/javascript"}
"""Files that the page loads, below `/api`."""


class DocumentsApi:
    """The handlers of the documents, which are generated on the first request."""

    @cached_property
    def _json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(document()), indent=2)

    @cached_property
    def _page(self) -> bytes:
        return page(document()).encode()

    async def openapi(self, request: web.Request, _query: Query) -> web.StreamResponse:
        return _file(request, self._json, "application/json", {})

    async def docs(self, request: web.Request, _query: Query) -> web.StreamResponse:
        policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return _file(request, self._page, "text/html", policy)

    async def root(self, _request: web.Request) -> web.StreamResponse:
        """`GET /api`: redirects to the page."""
        raise web.HTTPFound("/api/docs")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/docs.css` and `GET /api/docs.js`."""
        name = request.path.rpartition("/")[2]
        body = (Path(__file__).parent / name).read_bytes()
        return _file(request, body, FILES[name], {})


def _file(
    request: web.Request, body: bytes, content_type: str, headers: Mapping[str, str]
) -> web.Response:
    etag = hashlib.sha256(body).hexdigest()[:16]
    if matches_etag(request, etag):
        return not_modified(etag)
    charset = "utf-8" if content_type.startswith("text/") else None
    response = web.Response(
        body=body, content_type=content_type, charset=charset, headers={**HEADERS, **headers}
    )
    response.etag = etag
    return response
