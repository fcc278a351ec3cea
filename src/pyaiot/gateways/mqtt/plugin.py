# SPDX-License-Identifier: BSD-3-Clause
"""The plugin of MQTT."""

from collections.abc import Iterator
from typing import Final

from pyaiot.config import Config, SettingFlag
from pyaiot.gateways.mqtt.dialect_access import ACCESSES
from pyaiot.gateways.mqtt.settings import PASSWORD_KIND, MqttSection
from pyaiot.gateways.plugin import (
    DemoNode,
    DeviceAccess,
    FleetNodes,
    ListenerPort,
    Plugin,
    SharedService,
    SimulatedNode,
    function_at,
    type_at,
)


def ports(config: Config) -> Iterator[ListenerPort]:
    section = config.of(MqttSection)
    if not section.host:
        yield ListenerPort("MQTT", "TCP", section.listen, section.port, "--mqtt-port")


MQTT_BROKER: Final = SharedService(
    function_at("pyaiot.gateways.mqtt.shared_broker:open_mqtt_broker"),
    function_at("pyaiot.gateways.mqtt.shared_broker:broker_of_one_gateway"),
)
BROKER_FLAGS: Final = (
    SettingFlag(("--mqtt-host",), "mqtt.host"),
    SettingFlag(("--mqtt-port",), "mqtt.port"),
)

PLUGIN: Final = Plugin(
    protocol="MQTT",
    command="mqtt-gateway",
    help="""Run the MQTT gateway: a client of the MQTT broker that nodes publish to.

    The settings file has user, password and TLS for the MQTT broker, in the section mqtt.
    The gateway authenticates to the broker of Pyaiot with the key file that aiot generate-keys
    writes.
    """,
    section=MqttSection,
    flags=(
        *BROKER_FLAGS,
        SettingFlag(("--max-time",), "mqtt.silence_limit_s"),
        SettingFlag(("--name",), "mqtt.name"),
    ),
    run_flags=(
        *BROKER_FLAGS,
        SettingFlag(("--mqtt-listen",), "mqtt.listen"),
        SettingFlag(("--mqtt-cluster",), "mqtt.cluster"),
        SettingFlag(("--mqtt-cluster-listen",), "mqtt.cluster_listen"),
    ),
    open=function_at("pyaiot.gateways.mqtt.service:open_gateway"),
    offline_timeout="mqtt.silence_limit_s",
    ports=ports,
    listen_setting="mqtt.listen",
    service_type="_mqtt._tcp",
    tls_service_type="_secure-mqtt._tcp",
    has_tls=True,
    shared=MQTT_BROKER,
    probe=function_at("pyaiot.gateways.mqtt.probe:probe"),
    metrics="pyaiot.gateways.mqtt.metrics",
    node=SimulatedNode(
        name="mqtt",
        help="""Run a simulated MQTT node.

        It publishes to the MQTT broker on this machine, and reconnects when the connection is lost.
        Without a flag for a sensor or actuator it has a temperature and an LED.
        """,
        config=type_at("pyaiot.devices.mqtt_node_config:MqttNodeConfig"),
        run=function_at("pyaiot.devices.mqtt_node_runner:run_mqtt_node"),
        port_setting="mqtt_port",
        peer=lambda config: (
            f"MQTT to the MQTT broker at {config.mqtt_host} port {config.mqtt_port}"
        ),
    ),
    access=(
        DeviceAccess(
            name="mqtt",
            kind=PASSWORD_KIND,
            summary=function_at("pyaiot.gateways.mqtt.access:summary"),
            snippets=function_at("pyaiot.gateways.mqtt.access:snippets"),
            is_local_only=function_at("pyaiot.gateways.mqtt.access:is_local_only"),
            # nats-server refuses client ids with it.
            forbidden=".",
        ),
        *(
            DeviceAccess(
                name=it.word,
                kind=it.kind,
                summary=function_at("pyaiot.gateways.mqtt.access:foreign_summary"),
                snippets=function_at("pyaiot.gateways.mqtt.access:foreign_snippets"),
                is_local_only=function_at("pyaiot.gateways.mqtt.access:is_local_only"),
                forbidden=it.forbidden,
                title=it.title,
                problem=it.problem,
                uid_prefix=it.uid_prefix,
                other_name=it.client_id,
            )
            for it in ACCESSES.values()
        ),
    ),
    demo=(
        DemoNode(5, "Greenhouse", ("led", "temperature", "humidity", "illuminance")),
        DemoNode(8, "Desk plug (Tasmota)", ("led", "temperature"), {"dialect": "tasmota"}),
        DemoNode(9, "Hall lamp (Homie)", ("led", "illuminance"), {"dialect": "homie"}),
    ),
    fleet=FleetNodes(
        "mqtt",
        type_at("pyaiot.fleet.mqtt:MqttFleetSettings"),
        function_at("pyaiot.fleet.mqtt:MqttNodeFactory.open"),
    ),
    how_to="mqtt.md",
)
