# SPDX-License-Identifier: BSD-3-Clause
"""What there is to measure of the doors of a broker."""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pyaiot.metrics import Histogram, Metric, Sample

CODES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")

REQUESTS: Final = Metric(
    "pyaiot_http_requests", "counter", "HTTP requests that were answered.", {"code": CODES}
)
REQUEST_TIME: Final = Metric(
    "pyaiot_http_request_seconds",
    "histogram",
    "How long HTTP requests took, without WebSockets and answers that are streams.",
)
REFUSED: Final = Metric(
    "pyaiot_http_requests_refused",
    "counter",
    "Requests of foreign origins and names, and those that were no HTTP.",
)
CONNECTIONS_REFUSED: Final = Metric(
    "pyaiot_http_connections_refused",
    "counter",
    "TCP connections that were refused or closed because too many were open.",
)
CONNECTIONS_LATE: Final = Metric(
    "pyaiot_http_connections_late",
    "counter",
    "TCP connections that were closed because their request did not come in time.",
)
ANSWERS_REFUSED: Final = Metric(
    "pyaiot_http_answers_refused",
    "counter",
    "Answers that were refused or cut off because clients did not read them.",
)
CLIENTS_REFUSED: Final = Metric(
    "pyaiot_clients_refused",
    "counter",
    "WebSocket clients that were closed for what they said, or not let in.",
)
GATEWAYS_REFUSED: Final = Metric(
    "pyaiot_gateways_refused",
    "counter",
    "Gateways without a good token, and messages of gateways that were wrong.",
)
LOGINS_REFUSED: Final = Metric(
    "pyaiot_logins_refused", "counter", "Requests without a session, and links that do not work."
)


class Answered:
    """HTTP requests that were answered, and how long that took."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()
        self.seconds = Histogram()

    def middleware(self) -> Middleware:
        """Outermost: it sees what the others made of it."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = time.monotonic()
            response = await handler(request)
            self.codes[f"{response.status // 100}xx"] += 1
            # What is streamed takes as long as its reader wants.
            if isinstance(response, web.Response):
                self.seconds.observe(time.monotonic() - began)
            return response

        return count

    def measure(self) -> Iterable[Sample]:
        for code in CODES:
            yield REQUESTS.of(self.codes[code], code=code)
        yield REQUEST_TIME.of(self.seconds)
