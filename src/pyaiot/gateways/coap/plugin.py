# SPDX-License-Identifier: BSD-3-Clause
"""The plugin of CoAP."""

from collections.abc import Iterator
from typing import Final

from pyaiot.config import Config, SettingFlag
from pyaiot.gateways.coap.settings import CoapSection
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


def ports(config: Config) -> Iterator[ListenerPort]:
    section = config.of(CoapSection)
    yield ListenerPort("CoAP", "UDP", section.host, section.port, "--coap-port")


_FLAGS: Final = (
    SettingFlag(("--coap-port",), "coap.port"),
    SettingFlag(("--coaps-port",), "coap.coaps_port"),
    SettingFlag(("--interface",), "coap.interface"),
    SettingFlag(("--trace",), "coap.trace"),
    SettingFlag(("--trace-node",), "coap.trace_nodes"),
)

PLUGIN: Final = Plugin(
    protocol="CoAP",
    command="coap-gateway",
    help="""Run the CoAP gateway: nodes post to its UDP port, and the broker gets their readings.

    While there is no link to the broker, it keeps the nodes and announces them afterwards.
    It authenticates to the broker with the key file that aiot generate-keys writes.
    """,
    section=CoapSection,
    flags=(
        SettingFlag(("--host",), "coap.host"),
        *_FLAGS,
        SettingFlag(("--max-time",), "coap.silence_limit_s"),
        SettingFlag(("--name",), "coap.name"),
    ),
    run_flags=(SettingFlag(("--coap-host",), "coap.host"), *_FLAGS),
    open=function_at("pyaiot.gateways.coap.service:open_gateway"),
    offline_timeout="coap.silence_limit_s",
    ports=ports,
    listen_setting="coap.host",
    service_type="_coap._udp",
    metrics="pyaiot.gateways.coap.metrics",
    node=SimulatedNode(
        name="coap",
        help="""Run a simulated CoAP node that behaves like a RIOT board.

        It posts to the gateway on this machine.
        Without a flag for a sensor or actuator it has a temperature and an LED.
        """,
        config=type_at("pyaiot.devices.coap_node_config:CoapNodeConfig"),
        run=function_at("pyaiot.devices.coap_node_runner:run_coap_node"),
        port_setting="gateway_port",
        peer=lambda config: f"CoAP to {config.gateway_host} port {config.port_of_gateway}",
        demo_settings=lambda: {"host": "127.0.0.1"},
    ),
    access=(
        DeviceAccess(
            name="coap",
            kind="dtls-psk",
            title="CoAP over DTLS",
            is_key=True,
            summary=function_at("pyaiot.gateways.coap.dtls_access:summary"),
            snippets=function_at("pyaiot.gateways.coap.dtls_access:snippets"),
            is_local_only=function_at("pyaiot.gateways.coap.dtls_access:is_local_only"),
        ),
        DeviceAccess(
            name="oscore",
            kind="oscore",
            title="CoAP with OSCORE",
            is_key=True,
            summary=function_at("pyaiot.gateways.coap.oscore.access:summary"),
            snippets=function_at("pyaiot.gateways.coap.oscore.access:snippets"),
            is_local_only=function_at("pyaiot.gateways.coap.oscore.access:is_local_only"),
            excludes="edhoc",
        ),
        DeviceAccess(
            name="edhoc",
            kind="edhoc",
            title="CoAP with OSCORE, by EDHOC",
            is_key=True,
            enroll=function_at("pyaiot.gateways.coap.oscore.edhoc_access:enroll"),
            summary=function_at("pyaiot.gateways.coap.oscore.edhoc_access:summary"),
            snippets=function_at("pyaiot.gateways.coap.oscore.edhoc_access:snippets"),
            is_local_only=function_at("pyaiot.gateways.coap.oscore.access:is_local_only"),
            excludes="oscore",
        ),
    ),
    demo=(
        DemoNode(0, "Weather station", ("temperature", "pressure", "humidity")),
        DemoNode(1, "Desk lamp", ("led", "illuminance")),
        DemoNode(2, "Robot", ("robot", "led", "imu", "position")),
        DemoNode(3, "Script box", ("js", "led", "temperature")),
        DemoNode(7, "Tracker", ("position", "temperature", "updates")),
    ),
    fleet=FleetNodes(
        "coap",
        type_at("pyaiot.fleet.coap:CoapFleetSettings"),
        function_at("pyaiot.fleet.coap:CoapNodeFactory.open"),
    ),
    how_to="open-the-coap-port.md",
)
