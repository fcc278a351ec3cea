# SPDX-License-Identifier: BSD-3-Clause
"""The plugin of MQTT-SN."""

from collections.abc import Iterator
from typing import Final

from pyaiot.config import Config, SettingFlag
from pyaiot.gateways.mqtt.plugin import BROKER_FLAGS, MQTT_BROKER
from pyaiot.gateways.mqttsn.settings import MqttsnSection
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
    section = config.of(MqttsnSection)
    yield ListenerPort("MQTT-SN", "UDP", section.host, section.port, "--mqttsn-port")


_FLAGS: Final = (SettingFlag(("--mqttsn-port",), "mqttsn.port"),)

PLUGIN: Final = Plugin(
    protocol="MQTT-SN",
    command="mqttsn-gateway",
    help="""Run the MQTT-SN gateway: it connects MQTT-SN clients over UDP to an MQTT broker.

    Run an MQTT gateway at the same MQTT broker: the clients are nodes of that gateway.
    The settings file has user, password and TLS for the MQTT broker, in the section mqtt.
    """,
    section=MqttsnSection,
    flags=(SettingFlag(("--host",), "mqttsn.host"), *_FLAGS, *BROKER_FLAGS),
    run_flags=(SettingFlag(("--mqttsn-host",), "mqttsn.host"), *_FLAGS),
    open=function_at("pyaiot.gateways.mqttsn.service:open_gateway"),
    ports=ports,
    listen_setting="mqttsn.host",
    has_link=False,
    shared=MQTT_BROKER,
    metrics="pyaiot.gateways.mqttsn.metrics",
    node=SimulatedNode(
        name="mqttsn",
        help="""Run a simulated MQTT-SN node that behaves like a RIOT board with emcute.

        It registers each topic before it publishes to the gateway on this machine, with QoS 1.
        Without a flag for a sensor or actuator it has a temperature and an LED.
        """,
        config=type_at("pyaiot.devices.mqttsn_node_config:MqttSnNodeConfig"),
        run=function_at("pyaiot.devices.mqttsn_node_runner:run_mqttsn_node"),
        port_setting="gateway_port",
        peer=lambda config: f"MQTT-SN to {config.gateway_host} port {config.gateway_port}",
    ),
    access=(
        DeviceAccess(
            name="mqttsn",
            kind="",
            summary=function_at("pyaiot.gateways.mqttsn.access:summary"),
            snippets=function_at("pyaiot.gateways.mqttsn.access:snippets"),
            is_local_only=function_at("pyaiot.gateways.mqttsn.access:is_local_only"),
        ),
    ),
    demo=(DemoNode(6, "Lantern", ("led", "temperature")),),
    fleet=FleetNodes(
        "mqttsn",
        type_at("pyaiot.fleet.mqttsn:MqttSnFleetSettings"),
        function_at("pyaiot.fleet.mqttsn:MqttSnNodeFactory.open"),
    ),
    how_to="mqtt-sn.md",
)
