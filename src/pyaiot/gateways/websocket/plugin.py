# SPDX-License-Identifier: BSD-3-Clause
"""The plugin of WebSocket."""

import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from pyaiot.config import Config, SettingFlag
from pyaiot.gateways.plugin import (
    DemoNode,
    FleetNodes,
    ListenerPort,
    OpenGateway,
    Plugin,
    SimulatedNode,
)
from pyaiot.gateways.websocket.settings import WebsocketSection

log = logging.getLogger(__name__)


async def open_gateway(config: Config, _shared: object) -> OpenGateway:
    from pyaiot.gateways.base import new_gateway, warn_if_open  # noqa: PLC0415 - see plugin.py
    from pyaiot.gateways.websocket.gateway import (  # noqa: PLC0415
        NEW_NODES_PER_S,
        WebSocketGateway,
    )

    section = config.of(WebsocketSection)
    gateway = new_gateway(
        section.name, "WebSocket", None, section.nodes_max, new_nodes_per_s=NEW_NODES_PER_S
    )
    websocket = WebSocketGateway(
        gateway,
        connections_max=section.nodes_max,
        connections_per_host_max=section.nodes_per_host_max,
        allowed_hosts=section.allowed_hosts,
        allowed_origins=section.allowed_origins,
    )
    await websocket.open(section.host, section.port)
    listener = f"TCP port {websocket.port}"
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
    )


def ports(config: Config) -> Iterator[ListenerPort]:
    section = config.of(WebsocketSection)
    yield ListenerPort("WebSocket", "TCP", section.host, section.port, "--ws-port")


def _node_config() -> type[Any]:
    from pyaiot.devices.websocket_node_config import WebSocketNodeConfig  # noqa: PLC0415

    return WebSocketNodeConfig


def _run_node(config: Any, opened: Callable[[], None]) -> Coroutine[Any, Any, None]:
    from pyaiot.devices.websocket_node_runner import run_websocket_node  # noqa: PLC0415

    return run_websocket_node(config, opened=opened)


def _fleet_settings() -> type[Any]:
    from pyaiot.fleet.websocket import WebSocketFleetSettings  # noqa: PLC0415

    return WebSocketFleetSettings


async def _open_fleet(settings: Any, run: Any) -> Any:
    from pyaiot.fleet.websocket import WebSocketNodeFactory  # noqa: PLC0415

    return WebSocketNodeFactory(settings, run)


_FLAGS: Final = (SettingFlag(("--ws-port", "--gateway-port"), "websocket.port"),)

PLUGIN: Final = Plugin(
    protocol="WebSocket",
    command="ws-gateway",
    help="""Run the WebSocket gateway: nodes connect to /node, and the broker gets their readings.

    While the link to the broker is down, it keeps its nodes and announces them afterwards.
    It authenticates to the broker with the key file that aiot generate-keys writes.
    """,
    section=WebsocketSection,
    flags=(
        SettingFlag(("--host",), "websocket.host"),
        *_FLAGS,
        SettingFlag(("--allowed-host",), "websocket.allowed_hosts"),
        SettingFlag(("--allowed-origin",), "websocket.allowed_origins"),
        SettingFlag(("--name",), "websocket.name"),
    ),
    run_flags=(SettingFlag(("--ws-host",), "websocket.host"), *_FLAGS),
    open=open_gateway,
    ports=ports,
    node=SimulatedNode(
        name="ws",
        help="""Run a simulated WebSocket node.

        It connects to the gateway on this machine, and reconnects when the connection is lost.
        Without a flag for a sensor or actuator it has a temperature and an LED.
        """,
        config=_node_config,
        run=_run_node,
        port_setting="gateway_port",
        peer=lambda config: f"WebSocket to {config.gateway_host} port {config.gateway_port}",
    ),
    demo=(DemoNode(4, "Workbench", ("led", "temperature", "humidity")),),
    fleet=FleetNodes("ws", _fleet_settings, _open_fleet),
    how_to="websocket.md",
)
