# SPDX-License-Identifier: BSD-3-Clause
"""The plugin of MQTT."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from pyaiot.config import Config, SettingFlag
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqtt.shared_broker import BROKER_FLAGS, MQTT_BROKER, SharedMqttBroker
from pyaiot.gateways.plugin import (
    DemoNode,
    FleetNodes,
    ListenerPort,
    OpenGateway,
    Plugin,
    SimulatedNode,
)


async def open_gateway(config: Config, broker: SharedMqttBroker) -> OpenGateway:
    from pyaiot.gateways.base import new_gateway  # noqa: PLC0415 - see plugin.py
    from pyaiot.gateways.mqtt.gateway import MqttGateway  # noqa: PLC0415
    from pyaiot.gateways.mqtt.metrics import MQTT_BROKER_STARTS  # noqa: PLC0415
    from pyaiot.metrics import Sample  # noqa: PLC0415

    section, server = config.of(MqttSection), broker.server
    gateway = new_gateway(
        section.name,
        "MQTT",
        section.silence_limit_s,
        section.nodes_max,
        new_nodes_per_s=section.new_nodes_per_s,
    )
    mqtt = MqttGateway(
        gateway,
        server,
        name=section.name,
        deadlines=broker.deadlines,
        observes=section.count_ignored and not broker.embedded,
    )
    if section.count_ignored and broker.report_ignored is not None:
        broker.report_ignored(gateway.ignore)

    async def check() -> str:
        answers = await mqtt.answers()
        problem = broker.problem()
        if problem:
            return f"the MQTT broker does not work: {problem}"
        return "" if answers else "the MQTT broker does not answer"

    def collect() -> Iterator[Sample]:
        yield from mqtt.collect()
        if broker.starts is not None:
            yield MQTT_BROKER_STARTS.of(broker.starts())

    listener = "TCP" if broker.embedded else f"MQTT broker {server.host}"
    return OpenGateway(
        command="mqtt-gateway",
        protocol="MQTT",
        listener=f"{listener} port {server.port}",
        port=server.port,
        check=check,
        collect=collect,
        gateway=gateway,
        run=mqtt.run,
        # Messages that devices publish before it subscribes would be acknowledged and lost.
        ready=check if broker.embedded else None,
    )


def ports(config: Config) -> Iterator[ListenerPort]:
    section = config.of(MqttSection)
    if not section.host:
        yield ListenerPort("MQTT", "TCP", section.listen, section.port, "--mqtt-port")


def _probe(config: Config) -> Any:
    from pyaiot.gateways.mqtt.probe import probe  # noqa: PLC0415

    return probe(config)


def _node_config() -> type[Any]:
    from pyaiot.devices.mqtt_node_config import MqttNodeConfig  # noqa: PLC0415

    return MqttNodeConfig


def _run_node(config: Any, opened: Callable[[], None]) -> Coroutine[Any, Any, None]:
    from pyaiot.devices.mqtt_node_runner import run_mqtt_node  # noqa: PLC0415

    return run_mqtt_node(config, opened=opened)


def _fleet_settings() -> type[Any]:
    from pyaiot.fleet.mqtt import MqttFleetSettings  # noqa: PLC0415

    return MqttFleetSettings


async def _open_fleet(settings: Any, run: Any) -> Any:
    from pyaiot.fleet.mqtt import MqttNodeFactory  # noqa: PLC0415

    return MqttNodeFactory(settings, run)


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
    run_flags=(*BROKER_FLAGS, SettingFlag(("--mqtt-listen",), "mqtt.listen")),
    open=open_gateway,
    offline_timeout="mqtt.silence_limit_s",
    ports=ports,
    shared=MQTT_BROKER,
    probe=_probe,
    metrics="pyaiot.gateways.mqtt.metrics",
    node=SimulatedNode(
        name="mqtt",
        help="""Run a simulated MQTT node.

        It publishes to the MQTT broker on this machine, and reconnects when the connection is lost.
        Without a flag for a sensor or actuator it has a temperature and an LED.
        """,
        config=_node_config,
        run=_run_node,
        port_setting="mqtt_port",
        peer=lambda config: (
            f"MQTT to the MQTT broker at {config.mqtt_host} port {config.mqtt_port}"
        ),
    ),
    demo=(DemoNode(5, "Greenhouse", ("led", "temperature", "humidity", "illuminance")),),
    fleet=FleetNodes("mqtt", _fleet_settings, _open_fleet),
    how_to="mqtt.md",
)
