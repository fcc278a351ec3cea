# SPDX-License-Identifier: BSD-3-Clause
"""The web side of the broker: the page, the WebSockets, and whether all is well."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from pyaiot import __version__
from pyaiot.broker import metrics as of_broker
from pyaiot.broker.broker import Broker, round_trip
from pyaiot.broker.keys import TokenCheck
from pyaiot.history.store import History
from pyaiot.metrics import Collector, Sample
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.origin_check import add_cors_headers, check_origin
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.web import metrics as of_doors
from pyaiot.web.api.api import Api
from pyaiot.web.api.streams import CaughtUp
from pyaiot.web.dashboard import Dashboard
from pyaiot.web.metrics_endpoint import PATH as METRICS_PATH
from pyaiot.web.metrics_endpoint import Metrics
from pyaiot.web.page import add_page_routes
from pyaiot.web.problems import problems
from pyaiot.web.readiness import Check, Readiness
from pyaiot.web.sign_in import SignIn
from pyaiot.web.websockets import Sockets

log = logging.getLogger(__name__)


class WebApp:
    """The aiohttp application of a broker."""

    def __init__(
        self,
        broker: Broker,
        *,
        tokens: TokenCheck | None,
        title: str,
        allowed_hosts: frozenset[str] = frozenset(),
        allowed_origins: frozenset[str] = frozenset(),
        checks: Mapping[str, Check] | None = None,
        login: SignIn | None = None,
        dashboard: Dashboard | None = None,
        history: History | None = None,
        caught_up: CaughtUp | None = None,
        measures: Iterable[Collector] = (),
    ) -> None:
        """`checks` are asked by `/readyz`, next to the broker's own; more may come later.
        `measures` are shown at `/metrics`, next to those of the broker and its doors.

        `login` None: everybody who gets here may see and command all nodes.
        `dashboard` None: the plain page is at `/`. `history` None: none is kept.
        """
        self._broker = broker
        self._readiness = Readiness(
            {"broker": lambda: round_trip(broker)}, {} if checks is None else checks
        )
        self.sockets = Sockets(broker, tokens)
        self.api = Api(broker, title=title, history=history, caught_up=caught_up)
        self.refused_requests = 0
        """Requests of foreign origins or names, and those that were no HTTP at all."""
        self.server_log = ServerLog(self._not_http)
        """For aiohttp, to log to."""
        self._refusals = RateLimitedLog(log)
        self._login = login
        answered = of_doors.Answered()
        self.metrics = Metrics(
            [lambda: of_broker.measure(broker), answered.measure, self._measure, *measures]
        )
        middlewares = [
            answered.middleware(),
            problems,
            check_origin(
                allowed_hosts,
                allowed_origins,
                self._refused,
                section="broker",
                # An old gateway that is refused once does not try again.
                any_host_at=frozenset({"/gw"}),
            ),
        ]
        if login is not None:
            middlewares.append(login.middleware())
        self.app = web.Application(middlewares=middlewares)
        self.app.on_response_prepare.append(add_cors_headers)
        self.app.on_shutdown.append(self._close)
        if login is not None:
            self.app.router.add_get("/login", login.page)
            self.app.router.add_post("/login", login.log_in)
        self.app.router.add_get("/ws", self.sockets.client)
        self.app.router.add_get("/gw", self.sockets.gateway)
        self.app.router.add_get("/healthz", self._healthz)
        self.app.router.add_get("/readyz", self._readyz)
        self.app.router.add_get(METRICS_PATH, self.metrics.page)
        self.api.add_routes(self.app.router)
        add_page_routes(self.app, title=title, at="/plain" if dashboard else "/")
        if dashboard is not None:
            dashboard.add_routes(self.app)

    def _measure(self) -> Iterable[Sample]:
        yield of_doors.REFUSED.of(self.refused_requests)
        yield of_doors.CONNECTIONS_REFUSED.of(self.server_log.refused_connections)
        yield of_doors.CONNECTIONS_LATE.of(self.server_log.late_connections)
        yield of_doors.ANSWERS_REFUSED.of(self.server_log.refused_answers)
        yield of_doors.CLIENTS_REFUSED.of(self.sockets.refused_clients)
        yield of_doors.GATEWAYS_REFUSED.of(self.sockets.refused_gateways)
        yield of_doors.LOGINS_REFUSED.of(0 if self._login is None else self._login.refused)

    def _refused(self, request: web.Request) -> None:
        self.refused_requests += 1
        self._refusals.warning(
            "a request of %s was refused: Host %s, Origin %s",
            request.remote,
            request.headers.get(hdrs.HOST, "missing"),
            request.headers.get(hdrs.ORIGIN, "missing"),
            now=asyncio.get_running_loop().time(),
        )

    def _not_http(self, error: HttpProcessingError) -> None:
        self.refused_requests += 1
        # What it says quotes the request, perhaps a line with a token.
        self._refusals.warning(
            "a request was refused: it is not HTTP (%s)",
            type(error).__name__,
            now=asyncio.get_running_loop().time(),
        )

    async def _healthz(self, _request: web.Request) -> web.Response:
        """Alive: the loop turns, and answers."""
        return web.json_response({"status": "ok", "version": __version__})

    async def _readyz(self, _request: web.Request) -> web.Response:
        """Ready: a round trip through every part came back."""
        parts = await self._readiness.problems()
        wrong = any(parts.values())
        return web.json_response(
            {
                "status": "unready" if wrong else "ready",
                "parts": {name: problem or "ok" for name, problem in parts.items()},
            },
            status=503 if wrong else 200,
        )

    async def _close(self, _app: web.Application) -> None:
        await self._readiness.close()
