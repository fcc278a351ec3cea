# SPDX-License-Identifier: BSD-3-Clause
"""The web application of the broker: dashboard, HTTP API, WebSockets, health and metrics."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from pyaiot import __version__
from pyaiot.alerts.service import AlertService
from pyaiot.audit import metrics as audit_metrics
from pyaiot.audit.log import AuditLog
from pyaiot.broker import metrics as broker_metrics
from pyaiot.broker.broker import Broker
from pyaiot.broker.identity import LEGACY, GatewayIdentity
from pyaiot.broker.keys import TokenCheck
from pyaiot.broker.mappings import MappingBook
from pyaiot.broker.round_trip import round_trip
from pyaiot.history.reader import HistoryReader
from pyaiot.metrics import Collector, Sample
from pyaiot.registry.service import RegistryService
from pyaiot.transport.hsts import add_hsts_header
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.origin_check import add_cors_headers, check_origin
from pyaiot.transport.rate_limit import RateLimitedLog
from pyaiot.web import metrics as web_metrics
from pyaiot.web.access_watch import AccessWatch
from pyaiot.web.api.api import Api
from pyaiot.web.api.devices import DeviceAdministration
from pyaiot.web.api.idempotency_file import IdempotencyFile, SharedKeyStore
from pyaiot.web.api.streams import CaughtUp
from pyaiot.web.auditing import audit_requests
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.metrics_endpoint import PATH as METRICS_PATH
from pyaiot.web.metrics_endpoint import Metrics
from pyaiot.web.problems import problem_documents
from pyaiot.web.readiness import Check, Readiness
from pyaiot.web.remote_values import await_values
from pyaiot.web.sign_in import SignIn
from pyaiot.web.websockets import Sockets

log = logging.getLogger(__name__)


class WebApp:
    """The aiohttp application of a broker."""

    def __init__(
        self,
        broker: Broker,
        *,
        registry: RegistryService | None = None,
        tokens: TokenCheck | None,
        title: str,
        allowed_hosts: frozenset[str] = frozenset(),
        allowed_origins: frozenset[str] = frozenset(),
        checks: Mapping[str, Check] | None = None,
        sign_in: SignIn | None = None,
        dashboard: Dashboard | None = None,
        history: HistoryReader | None = None,
        caught_up: CaughtUp | None = None,
        collectors: Iterable[Collector] = (),
        keys: IdempotencyFile | None = None,
        shared_keys: SharedKeyStore | None = None,
        audit: AuditLog | None = None,
        alerts: AlertService | None = None,
        mappings: MappingBook | None = None,
        devices: DeviceAdministration | None = None,
        access: AccessWatch | None = None,
        key_file_identity: GatewayIdentity = LEGACY,
    ) -> None:
        """`checks`: checks of `/readyz` in addition to that of the broker; entries may be added
        later. `collectors`: metrics in addition to those of the broker and of the web application.
        `sign_in` None: every client may see and command all nodes. `dashboard` None: it is not
        built. `history` None: nothing is recorded. `keys`: stores `Idempotency-Key`s across
        restarts; None: a restart forgets them. `shared_keys`: shares them with other brokers.
        `devices`: credentials of devices; None: no gateway runs here. `registry` None: it ends with
        the process. `audit` None: nothing is audited; otherwise the broker uses it, too. `alerts`
        None: there are no rules. `mappings` None: no topics are mapped. `access`: ends connections
        without access, and has the tokens of gateways. `key_file_identity`: of gateways with valid
        `tokens`."""
        self._broker = broker
        self._readiness = Readiness(
            {"broker": lambda: round_trip(broker)}, {} if checks is None else checks
        )
        if audit is None:
            audit = AuditLog(None, unix_time=time.time, clock=time.monotonic)
        self.sockets = Sockets(
            broker, tokens, audit=audit, access=access, key_file_identity=key_file_identity
        )
        if registry is None:
            registry = RegistryService(broker.router.registry, broker, None, unix_time=time.time)
        self.api = Api(
            broker,
            registry=registry,
            title=title,
            history=history,
            caught_up=caught_up,
            keys=keys,
            shared_keys=shared_keys,
            audit=audit,
            alerts=alerts,
            mappings=mappings,
            devices=devices,
            checks={} if checks is None else checks,
        )
        self._access = access
        self.refused_requests = 0
        """Number of requests from other origins or for other host names, and of requests that were
        not HTTP."""
        self.server_log = ServerLog(self._not_http)
        """The logger of the HTTP server."""
        self._refusals = RateLimitedLog(log)
        self._sign_in = sign_in
        answered = web_metrics.AnsweredRequests()
        self.metrics = Metrics(
            [
                lambda: broker_metrics.collect(broker),
                answered.collect,
                self._collect,
                lambda: audit_metrics.collect(audit),
                *collectors,
            ]
        )
        middlewares = [
            answered.middleware(),
            audit_requests(audit, signs_in=sign_in is not None),
            problem_documents,
            check_origin(
                allowed_hosts,
                allowed_origins,
                self._refused,
                section="broker",
                # A legacy gateway does not retry after a refusal.
                any_host_at=frozenset({"/gw"}),
            ),
        ]
        if sign_in is not None:
            middlewares.append(sign_in.middleware())
        if broker.values_known is not None:
            middlewares.append(await_values(broker.values_known))
        self.app = web.Application(middlewares=middlewares)
        self.app.on_response_prepare.append(add_cors_headers)
        self.app.on_response_prepare.append(add_hsts_header)
        self.app.on_shutdown.append(self._close)
        if sign_in is not None:
            sign_in.add_routes(self.app.router)
        self.app.router.add_get("/ws", self.sockets.client)
        self.app.router.add_get("/gw", self.sockets.gateway)
        self.app.router.add_get("/healthz", self._healthz)
        self.app.router.add_get("/readyz", self._readyz)
        self.app.router.add_get(METRICS_PATH, self.metrics.page)
        self.api.add_routes(self.app.router)
        (dashboard or Dashboard(Look(title=title), {})).add_routes(self.app)

    def _collect(self) -> Iterable[Sample]:
        yield web_metrics.REFUSED.of(self.refused_requests)
        yield web_metrics.CONNECTIONS_REFUSED.of(self.server_log.refused_connections)
        yield web_metrics.CONNECTIONS_LATE.of(self.server_log.timed_out_connections)
        yield web_metrics.RESPONSES_REFUSED.of(self.server_log.refused_responses)
        yield web_metrics.CLIENTS_REFUSED.of(self.sockets.refused_clients)
        yield web_metrics.GATEWAYS_REFUSED.of(self.sockets.refused_gateways)
        yield web_metrics.ACCESS_ENDED.of(0 if self._access is None else self._access.ended)
        yield web_metrics.SIGN_INS_REFUSED.of(0 if self._sign_in is None else self._sign_in.refused)

    def _refused(self, request: web.Request) -> None:
        self.refused_requests += 1
        self._refusals.warning(
            "refused a request from %s: Host %s, Origin %s",
            request.remote,
            request.headers.get(hdrs.HOST, "missing"),
            request.headers.get(hdrs.ORIGIN, "missing"),
            now=asyncio.get_running_loop().time(),
        )

    def _not_http(self, error: HttpProcessingError) -> None:
        self.refused_requests += 1
        # The text of the error quotes the request, which may contain a token.
        self._refusals.warning(
            "refused a request that is not HTTP (%s)",
            type(error).__name__,
            now=asyncio.get_running_loop().time(),
        )

    async def _healthz(self, _request: web.Request) -> web.Response:
        """`GET /healthz`: the event loop is running."""
        return web.json_response({"status": "ok", "version": __version__})

    async def _readyz(self, _request: web.Request) -> web.Response:
        """`GET /readyz`: 200 after a round trip through every part, else 503."""
        parts = await self._readiness.problems()
        unready = any(parts.values())
        return web.json_response(
            {
                "status": "unready" if unready else "ready",
                "parts": {name: problem or "ok" for name, problem in parts.items()},
            },
            status=503 if unready else 200,
        )

    async def _close(self, _app: web.Application) -> None:
        await self._readiness.close()
