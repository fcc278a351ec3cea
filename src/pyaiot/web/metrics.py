# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the web application of a broker."""

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
    "Duration of HTTP requests, without WebSockets and streamed responses.",
)
REFUSED: Final = Metric(
    "pyaiot_http_requests_refused",
    "counter",
    "Requests from other origins or for other host names, and requests that were not HTTP.",
)
CONNECTIONS_REFUSED: Final = Metric(
    "pyaiot_http_connections_refused",
    "counter",
    "TCP connections that were refused or closed at the limit of open connections.",
)
CONNECTIONS_LATE: Final = Metric(
    "pyaiot_http_connections_late",
    "counter",
    "TCP connections that were closed because their request did not arrive in time.",
)
RESPONSES_REFUSED: Final = Metric(
    "pyaiot_http_answers_refused",
    "counter",
    "Responses that were refused or aborted because clients did not read them.",
)
CLIENTS_REFUSED: Final = Metric(
    "pyaiot_clients_refused",
    "counter",
    "WebSocket clients that were refused, or closed for an invalid message.",
)
GATEWAYS_REFUSED: Final = Metric(
    "pyaiot_gateways_refused",
    "counter",
    "Gateways without a valid token, and invalid messages of gateways.",
)
ACCESS_ENDED: Final = Metric(
    "pyaiot_access_ended",
    "counter",
    "Connections and streams that were closed because their access expired or was removed.",
)
SIGN_INS_REFUSED: Final = Metric(
    "pyaiot_logins_refused", "counter", "Requests without a session, and invalid sign-in links."
)


class AnsweredRequests:
    """Counts HTTP responses by status class, and measures their duration."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()
        self.seconds = Histogram()

    def middleware(self) -> Middleware:
        """Must be the outermost middleware: it counts the final status."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = time.monotonic()
            response = await handler(request)
            self.codes[f"{response.status // 100}xx"] += 1
            # The duration of a streamed response depends on the client.
            if isinstance(response, web.Response):
                self.seconds.observe(time.monotonic() - began)
            return response

        return count

    def collect(self) -> Iterable[Sample]:
        for code in CODES:
            yield REQUESTS.of(self.codes[code], code=code)
        yield REQUEST_TIME.of(self.seconds)
