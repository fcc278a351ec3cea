# SPDX-License-Identifier: BSD-3-Clause
"""The web side of a broker as the settings describe it: access control and metrics."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pyaiot.app.dashboard import page_of_broker
from pyaiot.broker.broker import Broker
from pyaiot.broker.keys import TokenCheck
from pyaiot.config import BrokerSection, Config
from pyaiot.errors import OperatorError
from pyaiot.gateways.plugin import OpenGateway
from pyaiot.transport.addresses import is_loopback
from pyaiot.transport.http_server import HttpServer
from pyaiot.web.app import WebApp
from pyaiot.web.metrics_endpoint import Metrics, open_metrics_server
from pyaiot.web.readiness import Check
from pyaiot.web.sign_in import SignIn

if TYPE_CHECKING:
    from pyaiot.history.service import HistoryService

log = logging.getLogger(__name__)

PrintLine = Callable[[str], None]
"""Tells the operator something, on standard output."""


@asynccontextmanager
async def serve_web(
    config: Config,
    broker: Broker,
    tokens: TokenCheck | None,
    checks: Mapping[str, Check],
    print_line: PrintLine,
    keeping: "HistoryService | None",
    gateways: Sequence[OpenGateway],
) -> AsyncIterator[str]:
    """Serve the web side; the URL of the page is given. Raises `OperatorError`.

    `gateways` are measured beside the broker; more may come later.
    """
    section = config.broker
    check_web(section)
    # A proxy on this machine speaks for the whole network, also over loopback.
    login = _login(section) if section.behind_proxy or not is_loopback(section.host) else None
    app = WebApp(
        broker,
        tokens=tokens,
        title=section.title,
        allowed_hosts=frozenset(section.allowed_hosts),
        allowed_origins=_allowed_origins(config),
        checks=checks,
        sign_in=login,
        dashboard=page_of_broker(config),
        history=keeping.history if keeping else None,
        caught_up=keeping.caught_up if keeping else None,
        collectors=[
            *([keeping.measure] if keeping else ()),
            lambda: (sample for gateway in gateways for sample in gateway.collect()),
        ],
    )
    door = await HttpServer.open(
        app.app,
        section.host,
        section.port,
        who="The broker",
        flag="--web-port",
        server_log=app.server_log,
    )
    try:
        async with serve_metrics(config, app.metrics, print_line):
            if login is not None:
                root = _root_for_others(section, door)
                print_line(f"Open this link once to come in: {root}{login.new_link()}")
            yield door.url
    finally:
        door.stop_listening()
        app.api.streams.close_all()
        await app.sockets.close_all()
        await door.close()


@asynccontextmanager
async def serve_metrics(
    config: Config, metrics: Metrics, print_line: PrintLine
) -> AsyncIterator[None]:
    """A door of its own for metrics, if there is to be one. Raises `OperatorError`."""
    section = config.metrics
    if section.port < 0:
        yield
        return
    door = await open_metrics_server(
        metrics, section.host, section.port, allowed_hosts=section.allowed_hosts
    )
    try:
        if not is_loopback(section.host):
            log.warning("TCP port %d: everybody who reaches it may read the metrics", door.port)
        print_line(f"Metrics: {door.url_for_others}metrics")
        yield
    finally:
        await door.close()


def _allowed_origins(config: Config) -> frozenset[str]:
    """Those of the settings. On loopback also that of `aiot dashboard` on this machine."""
    section, port = config.broker, config.dashboard.port
    origins = set(section.allowed_origins)
    if is_loopback(section.host) and not section.behind_proxy and port:
        origins |= {f"http://{host}:{port}" for host in ("localhost", "127.0.0.1", "[::1]")}
    return frozenset(origins)


def _root_for_others(section: BrokerSection, server: HttpServer) -> str:
    """Where browsers reach it: behind a proxy under its first name, over TLS."""
    if section.behind_proxy and section.allowed_hosts:
        return f"https://{section.allowed_hosts[0]}"
    return server.url_for_others.rstrip("/")


def check_web(section: BrokerSection) -> None:
    """Raises `OperatorError` if the web listener may not be opened, before anything starts."""
    if not is_loopback(section.host) and not section.insecure and not section.behind_proxy:
        raise OperatorError(
            f"The broker would listen on {section.host}, beyond this machine, without TLS:"
            " set --behind-proxy if a proxy in front of it provides TLS, or --insecure for plain"
            " HTTP."
        )


def _login(section: BrokerSection) -> SignIn:
    """Access control for other machines."""
    if section.anonymous == "viewer":
        log.warning("TCP port %d: everybody who reaches it sees all nodes", section.port)
    return SignIn(
        behind_tls=section.behind_proxy,
        viewers=section.anonymous == "viewer",
        clock=time.monotonic,
    )
