# SPDX-License-Identifier: BSD-3-Clause
"""Opens the WebSocket gateway, from its settings."""

import logging

from pyaiot.config import Config
from pyaiot.gateways.base import device_store, new_gateway, warn_if_open
from pyaiot.gateways.plugin import OpenGateway
from pyaiot.gateways.websocket.gateway import (
    NEW_NODES_PER_S,
    WebSocketGateway,
)
from pyaiot.gateways.websocket.settings import WebsocketSection
from pyaiot.transport.forwarded import TrustedProxies
from pyaiot.transport.tls import ServerTls

log = logging.getLogger(__name__)


async def open_gateway(config: Config, _shared: object) -> OpenGateway:
    section = config.of(WebsocketSection)
    gateway = new_gateway(
        *(section.name, "WebSocket", None, section.nodes_max),
        new_nodes_per_s=NEW_NODES_PER_S,
        devices=device_store(config),
    )
    websocket = WebSocketGateway(
        gateway,
        connections_max=section.nodes_max,
        connections_per_host_max=section.nodes_per_host_max,
        allowed_hosts=section.allowed_hosts,
        allowed_origins=section.allowed_origins,
    )
    proxies = TrustedProxies(section.trusted_proxies, setting="websocket.trusted_proxies")
    tls = None
    if config.tls.covers("websocket"):
        tls = ServerTls(config.tls.cert_file, config.tls.key_file)
    await websocket.open(section.host, section.port, tls=tls, proxies=proxies)
    listener = f"TCP port {websocket.port}{', TLS' if tls else ''}"
    warn_if_open(log, section.host, listener, "can announce a node and send its readings")

    async def check() -> str:
        return "" if await websocket.answers() else "does not answer on its TCP port"

    return OpenGateway(
        command="ws-gateway",
        protocol="WebSocket",
        listener=listener,
        port=websocket.port,
        check=check,
        collect=websocket.collect,
        gateway=gateway,
        run=websocket.run,
        reload_tls=tls.reload if tls else lambda: None,
    )
