# SPDX-License-Identifier: BSD-3-Clause
"""Builds the dashboard from the settings: at the broker, and alone as `aiot dashboard`."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from pyaiot.app.reload import ReadSettings, Reload
from pyaiot.app.tls import ProcessTls
from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.systemd.notify import notify_ready
from pyaiot.transport.addresses import authority, parse_hosts
from pyaiot.transport.http_server import HttpServer
from pyaiot.web.dashboard import Dashboard, DashboardApp, Look
from pyaiot.web.stored_files import load_built

log = logging.getLogger(__name__)

NOT_BUILT: Final = "The dashboard is not built. Build it with scripts/page.py."


def load_dashboard(config: Config) -> Dashboard:
    """The dashboard that a broker serves. Logs a warning if it is not built.

    Raises `OperatorError` for images that cannot be served.
    """
    built = load_built(config.dashboard.static_path)
    if not built:
        log.warning(NOT_BUILT)
    return Dashboard(_look(config), built)


async def run_dashboard(
    config: Config, print_line: Callable[[str], None], read_again: ReadSettings | None = None
) -> None:
    """`aiot dashboard`: the dashboard alone, for any broker."""
    section = config.dashboard
    built = load_built(section.static_path)
    if not built:
        raise OperatorError(NOT_BUILT)
    scheme = "wss" if section.broker_ssl else "ws"
    brokers = parse_hosts(section.broker_host, section.broker_port)
    broker_urls = tuple(f"{scheme}://{authority(host, port)}/ws" for host, port in brokers)
    named = ", ".join(broker_urls)
    app = DashboardApp(
        Dashboard(_look(config, broker_urls), built), allowed_hosts=frozenset(section.allowed_hosts)
    )
    tls = ProcessTls(config.tls)
    if config.tls.covers("web") and not section.broker_ssl:
        log.warning("browsers refuse ws:// on a page with TLS: set --broker-ssl")
    server = await HttpServer.open(
        app.app,
        section.host,
        section.port,
        service="The dashboard",
        flag="--web-port",
        server_log=app.server_log,
        tls=tls.of("web"),
    )
    try:
        reload = Reload(config, read_again)
        if config.tls.cert_file:
            reload.file(tls.reload)
        with reload.on_hangup():
            origin = server.url_for_others.rstrip("/")
            print_line(f"Dashboard: {origin}/  broker: {named}  (Ctrl+C ends it)")
            print_line(f"A broker of Pyaiot needs the flag: --allowed-origin {origin}")
            notify_ready(f"Dashboard: {origin}/ broker: {named}")
            await asyncio.Future()
    finally:
        await server.close()


def _look(config: Config, broker_urls: tuple[str, ...] = ()) -> Look:
    section = config.dashboard
    return Look(
        title=config.broker.title,
        logo=section.logo,
        favicon=section.favicon,
        camera_url=section.camera_url,
        webcam_hosts=section.webcam_hosts,
        tile_url=section.tile_url,
        floor_plan=section.floor_plan,
        floor_plan_bounds=section.floor_plan_bounds,
        broker_urls=broker_urls,
    )
