# SPDX-License-Identifier: BSD-3-Clause
"""The plugin of MQTT-SN."""

import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final

from pyaiot.config import Config, SettingFlag
from pyaiot.errors import OperatorError
from pyaiot.gateways.mqtt.shared_broker import BROKER_FLAGS, MQTT_BROKER, SharedMqttBroker
from pyaiot.gateways.mqttsn.settings import MqttsnSection
from pyaiot.gateways.plugin import (
    DemoNode,
    FleetNodes,
    ListenerPort,
    OpenGateway,
    Plugin,
    SimulatedNode,
)

log = logging.getLogger(__name__)


async def open_gateway(config: Config, broker: SharedMqttBroker) -> OpenGateway:
    from pyaiot.gateways.base import state_store, warn_if_open  # noqa: PLC0415 - see plugin.py
    from pyaiot.gateways.command_deadlines import COMMAND_S_MAX  # noqa: PLC0415
    from pyaiot.gateways.mqttsn.endpoint import Endpoint  # noqa: PLC0415
    from pyaiot.gateways.mqttsn.gateway import MqttSnGateway  # noqa: PLC0415
    from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig  # noqa: PLC0415

    section = config.of(MqttsnSection)
    gateway_config = GatewayConfig(
        gateway_id=section.gateway_id,
        clients_max=section.clients_max,
        clients_per_host_max=section.clients_per_host_max,
        # At the embedded MQTT broker, the deadlines of all commands are known.
        command_s_max=None if broker.embedded else COMMAND_S_MAX,
        advertise_s=section.advertise_interval_s if section.advertise_address else None,
        publish_without_connection=section.publish_without_connection,
        session=SessionConfig(
            predefined=_topics(section.predefined),
            topics_max=section.topics_max,
            topic_bytes_max=section.topic_bytes_max,
            spaces_in_topics=not broker.embedded,
            messages_max=section.messages_max,
        ),
    )
    mqttsn = MqttSnGateway(
        Endpoint(section.host, section.port, section.advertise_address),
        broker.for_devices,
        gateway_config,
        packets_per_s=section.packets_per_s,
        client_prefix=broker.secret_prefix + section.client_prefix,
        kept=state_store(section.state_file, "mqttsn", section.port),
        deadlines=broker.deadlines,
    )
    listener = f"UDP port {mqttsn.port}"
    warn_if_open(log, section.host, listener, "can publish at the MQTT broker, under any client id")

    async def check() -> str:
        return "" if await mqttsn.answers() else "does not answer on its UDP port"

    async def run(_connect: object) -> None:
        await mqttsn.run()

    return OpenGateway(
        command="mqttsn-gateway",
        protocol="MQTT-SN",
        listener=listener,
        port=mqttsn.port,
        check=check,
        collect=mqttsn.collect,
        gateway=None,
        run=run,
    )


def _topics(predefined: Mapping[int, str]) -> Mapping[int, str]:
    """The predefined topics. Raises `OperatorError` for an invalid one."""
    from pyaiot.protocols.mqttsn.topics import is_topic  # noqa: PLC0415

    for number, topic in predefined.items():
        if not is_topic(topic):
            raise OperatorError(f"mqttsn.predefined: {number} = {topic!r} is not a valid topic.")
    return predefined


def ports(config: Config) -> Iterator[ListenerPort]:
    section = config.of(MqttsnSection)
    yield ListenerPort("MQTT-SN", "UDP", section.host, section.port, "--mqttsn-port")


def _node_config() -> type[Any]:
    from pyaiot.devices.mqttsn_node_config import MqttSnNodeConfig  # noqa: PLC0415

    return MqttSnNodeConfig


def _run_node(config: Any, opened: Callable[[], None]) -> Coroutine[Any, Any, None]:
    from pyaiot.devices.mqttsn_node_runner import run_mqttsn_node  # noqa: PLC0415

    return run_mqttsn_node(config, opened=opened)


def _fleet_settings() -> type[Any]:
    from pyaiot.fleet.mqttsn import MqttSnFleetSettings  # noqa: PLC0415

    return MqttSnFleetSettings


async def _open_fleet(settings: Any, run: Any) -> Any:
    from pyaiot.fleet.mqttsn import MqttSnNodeFactory  # noqa: PLC0415

    return await MqttSnNodeFactory.open(settings, run)


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
    open=open_gateway,
    ports=ports,
    has_link=False,
    shared=MQTT_BROKER,
    metrics="pyaiot.gateways.mqttsn.metrics",
    node=SimulatedNode(
        name="mqttsn",
        help="""Run a simulated MQTT-SN node that behaves like a RIOT board with emcute.

        It registers each topic before it publishes to the gateway on this machine, with QoS 1.
        Without a flag for a sensor or actuator it has a temperature and an LED.
        """,
        config=_node_config,
        run=_run_node,
        port_setting="gateway_port",
        peer=lambda config: f"MQTT-SN to {config.gateway_host} port {config.gateway_port}",
    ),
    demo=(DemoNode(6, "Lantern", ("led", "temperature")),),
    fleet=FleetNodes("mqttsn", _fleet_settings, _open_fleet),
    how_to="mqtt-sn.md",
)
