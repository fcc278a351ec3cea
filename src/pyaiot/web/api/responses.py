# SPDX-License-Identifier: BSD-3-Clause
"""What the handlers of the HTTP API share: answers, and waiting for no one who has left."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from aiohttp import hdrs, web

Handler: TypeAlias = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]
"""Takes a request and its parameters, checked."""

PRESENCE_INTERVAL_S: Final = 0.1
"""How soon it is noticed that who asked for something long has left. Then it is given up."""

HEADERS: Final[Mapping[str, str]] = {
    hdrs.CACHE_CONTROL: "no-cache",
    "X-Content-Type-Options": "nosniff",
    # No page of another site reads it by a tag.
    "Cross-Origin-Resource-Policy": "same-origin",
}

encode: Final = msgspec.json.Encoder().encode

T = TypeVar("T")


def json_answer(
    body: bytes | msgspec.Struct, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer of JSON."""
    return web.Response(
        body=body if isinstance(body, bytes) else encode(body),
        status=status,
        content_type="application/json",
        headers=HEADERS if headers is None else {**HEADERS, **headers},
    )


def is_known(request: web.Request, etag: str) -> bool:
    """Whether who asks has what this tag names (RFC 9110 section 13.1.2)."""
    known = request.if_none_match
    return known is not None and any(tag.value in (etag, "*") for tag in known)


def not_modified(etag: str) -> web.Response:
    response = web.Response(status=304, headers=HEADERS)
    response.etag = etag
    return response


async def while_present(request: web.Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client has left.

    Raises `ConnectionResetError` then.
    """
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=PRESENCE_INTERVAL_S)
            if not task.done() and has_left(request):
                raise ConnectionResetError("the client has left")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
