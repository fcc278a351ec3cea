# SPDX-License-Identifier: BSD-3-Clause
"""Waits for values of nodes of other brokers, which are fetched only for clients that need them."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

_READS: Final = ("/api/nodes", "/api/events", "/things", "/ws")
"""Paths whose responses contain values."""


KEPT_S: Final = 60.0
"""How long values continue to be received after a request: others follow."""
JOIN_KEPT_S: Final = 5.0
"""The same for a WebSocket: until its client has subscribed to what it needs."""


def await_values(values_known: Callable[[float], Awaitable[None]]) -> Middleware:
    """Middleware: requests that read values wait until they are known; see
    `Broker.values_known`."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == hdrs.METH_GET and request.path.startswith(_READS):
            await values_known(JOIN_KEPT_S if request.path == "/ws" else KEPT_S)
        return await handler(request)

    return middleware
