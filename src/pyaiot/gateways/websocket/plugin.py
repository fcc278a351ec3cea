# SPDX-License-Identifier: BSD-3-Clause
"""The plugin of WebSocket."""

from collections.abc import Iterator
from typing import Final

from pyaiot.config import Config, SettingFlag
from pyaiot.gateways.plugin import (
    DemoNode,
    DeviceAccess,
    FleetNodes,
    ListenerPort,
    Plugin,
    SimulatedNode,
    function_at,
    type_at,
)
from pyaiot.gateways.websocket.settings import TOKEN_KIND, WebsocketSection


def ports(config: Config) -> Iterator[ListenerPort]:
    section = config.of(WebsocketSection)
    yield ListenerPort("WebSocket", "TCP", section.host, section.port, "--ws-port")


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
        SettingFlag(("--trusted-proxy",), "websocket.trusted_proxies"),
        SettingFlag(("--name",), "websocket.name"),
    ),
    run_flags=(SettingFlag(("--ws-host",), "websocket.host"), *_FLAGS),
    open=function_at("pyaiot.gateways.websocket.service:open_gateway"),
    ports=ports,
    listen_setting="websocket.host",
    has_tls=True,
    node=SimulatedNode(
        name="ws",
        help="""Run a simulated WebSocket node.

        It connects to the gateway on this machine, and reconnects when the connection is lost.
        Without a flag for a sensor or actuator it has a temperature and an LED.
        """,
        config=type_at("pyaiot.devices.websocket_node_config:WebSocketNodeConfig"),
        run=function_at("pyaiot.devices.websocket_node_runner:run_websocket_node"),
        port_setting="gateway_port",
        peer=lambda config: f"WebSocket to {config.gateway_host} port {config.gateway_port}",
    ),
    access=(
        DeviceAccess(
            name="ws",
            kind=TOKEN_KIND,
            summary=function_at("pyaiot.gateways.websocket.access:summary"),
            snippets=function_at("pyaiot.gateways.websocket.access:snippets"),
            is_local_only=function_at("pyaiot.gateways.websocket.access:is_local_only"),
        ),
    ),
    demo=(DemoNode(4, "Workbench", ("led", "temperature", "humidity")),),
    fleet=FleetNodes(
        "ws",
        type_at("pyaiot.fleet.websocket:WebSocketFleetSettings"),
        function_at("pyaiot.fleet.websocket:WebSocketNodeFactory.open"),
    ),
    how_to="websocket.md",
)
