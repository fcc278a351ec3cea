# SPDX-License-Identifier: BSD-3-Clause
"""Waits for values of nodes of other brokers, which are fetched only for clients that need them."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

_READS: Final = ("/api/nodes", "/api/events", "/things", "/ws")
"""Paths whose responses contain values."""


def await_values(values_known: Callable[[], Awaitable[None]]) -> Middleware:
    """Middleware: requests that read values wait until they are known; see
    `Broker.values_known`."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == hdrs.METH_GET and request.path.startswith(_READS):
            await values_known()
        return await handler(request)

    return middleware
