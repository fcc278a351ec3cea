# SPDX-License-Identifier: BSD-3-Clause
"""Opens each gateway as its section of the config says: one function for each protocol."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyaiot.config import Config
from pyaiot.doors.listening import is_loopback
from pyaiot.gateways.coap.gateway import CoapGateway
from pyaiot.gateways.gateway import Connect, Gateway
from pyaiot.gateways.nodes import Nodes
from pyaiot.gateways.websocket.gateway import WebSocketGateway
from pyaiot.web.app import Check

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenGateway:
    """A gateway whose door is open."""

    command: str
    """The command that runs it alone: `coap-gateway`."""
    protocol: str
    """What its nodes speak: `CoAP`."""
    door: str
    """Where they speak it, for people: `UDP port 5683`."""
    port: int
    check: Check
    """A round trip through its door. What is wrong, or nothing."""
    gateway: Gateway
    run: Callable[[Connect], Coroutine[Any, Any, None]]
    """Serves until cancelled, and closes the door then."""


async def open_coap_gateway(config: Config) -> OpenGateway:
    section = config.coap
    gateway = _gateway(
        section.name,
        "CoAP",
        Nodes(silence_limit_s=section.silence_limit_s, nodes_max=section.nodes_max),
    )
    coap = await CoapGateway.open(gateway, section.host, section.port, interface=section.interface)
    if not is_loopback(section.host):
        log.warning(
            "UDP port %d is open to the network: every device that reaches it can announce nodes"
            " and post readings",
            coap.port,
        )

    async def check() -> str:
        return "" if await coap.answers() else "does not answer on its UDP port"

    return OpenGateway(
        "coap-gateway", "CoAP", f"UDP port {coap.port}", coap.port, check, gateway, coap.run
    )


async def open_mqtt_gateway(config: Config) -> OpenGateway:
    # Who runs without MQTT pays nothing for it.
    from pyaiot.gateways.mqtt.gateway import MqttGateway  # noqa: PLC0415
    from pyaiot.mqtt_client import MqttServer, read_password, tls_context  # noqa: PLC0415

    section = config.mqtt
    password = None
    if section.password_file:
        path = _path(section.password_file)
        # What is wrong with it now, the operator is told; what is later, the log.
        read_password(path)

        def password() -> str:
            return read_password(path)

    tls = None
    if section.tls:
        tls = tls_context(
            ca_file=section.ca_file,
            certificate_file=section.certificate_file,
            key_file=section.certificate_key_file,
        )
    gateway = _gateway(
        section.name,
        "MQTT",
        Nodes(silence_limit_s=section.silence_limit_s, nodes_max=section.nodes_max),
    )
    mqtt = MqttGateway(
        gateway,
        MqttServer(section.host, section.port, section.user, password, tls),
        name=section.name,
    )

    async def check() -> str:
        return "" if await mqtt.answers() else "the MQTT broker does not answer"

    door = f"MQTT broker {section.host} port {section.port}"
    return OpenGateway("mqtt-gateway", "MQTT", door, section.port, check, gateway, mqtt.run)


async def open_websocket_gateway(config: Config) -> OpenGateway:
    section = config.websocket
    gateway = _gateway(
        section.name, "WebSocket", Nodes(silence_limit_s=None, nodes_max=section.nodes_max)
    )
    websocket = WebSocketGateway(
        gateway,
        connections_max=section.nodes_max,
        allowed_hosts=section.allowed_hosts,
        allowed_origins=section.allowed_origins,
    )
    await websocket.open(section.host, section.port)
    if not is_loopback(section.host):
        log.warning(
            "TCP port %d is open to the network: every device that reaches it can announce a node"
            " and send its readings",
            websocket.port,
        )

    async def check() -> str:
        return "" if await websocket.answers() else "does not answer on its TCP port"

    return OpenGateway(
        "ws-gateway",
        "WebSocket",
        f"TCP port {websocket.port}",
        websocket.port,
        check,
        gateway,
        websocket.run,
    )


GATEWAYS: Final[Sequence[Callable[[Config], Awaitable[OpenGateway]]]] = (
    open_coap_gateway,
    open_websocket_gateway,
)
"""Those that `aiot run` and `aiot demo` start. A further protocol is one function more."""


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _gateway(name: str, protocol: str, nodes: Nodes) -> Gateway:
    return Gateway(
        name=name,
        protocol=protocol,
        nodes=nodes,
        loop=asyncio.get_running_loop(),
        unix_time=time.time,
    )
