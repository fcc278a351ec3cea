# SPDX-License-Identifier: BSD-3-Clause
"""Helpers of the handlers: responses, and work that is cancelled when its client disconnects."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from aiohttp import hdrs, web

Handler: TypeAlias = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]
"""Takes a request and its validated parameters."""

DISCONNECT_CHECK_INTERVAL_S: Final = 0.1
"""Interval between checks whether the client of a long request is still connected."""

HEADERS: Final[Mapping[str, str]] = {
    hdrs.CACHE_CONTROL: "no-cache",
    "X-Content-Type-Options": "nosniff",
    # Pages of other sites cannot embed it.
    "Cross-Origin-Resource-Policy": "same-origin",
}

encode: Final = msgspec.json.Encoder().encode

T = TypeVar("T")


def json_response(
    body: bytes | msgspec.Struct, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON response."""
    return web.Response(
        body=body if isinstance(body, bytes) else encode(body),
        status=status,
        content_type="application/json",
        headers=HEADERS if headers is None else {**HEADERS, **headers},
    )


def matches_etag(request: web.Request, etag: str) -> bool:
    """Whether the client has the version with this `ETag` (RFC 9110 section 13.1.2)."""
    known = request.if_none_match
    return known is not None and any(tag.value in (etag, "*") for tag in known)


def not_modified(etag: str) -> web.Response:
    response = web.Response(status=304, headers=HEADERS)
    response.etag = etag
    return response


async def while_connected(request: web.Request, work: Awaitable[T]) -> T:
    """The result of `work`. If the client disconnects, `work` is cancelled and
    `ConnectionResetError` is raised."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=DISCONNECT_CHECK_INTERVAL_S)
            if not task.done() and is_disconnected(request):
                raise ConnectionResetError("the client has disconnected")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def is_disconnected(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
