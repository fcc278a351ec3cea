# SPDX-License-Identifier: BSD-3-Clause
"""Opens the MQTT-SN gateway, from its settings."""

import logging
from collections.abc import Mapping

from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.gateways.base import state_store, warn_if_open
from pyaiot.gateways.command_deadlines import COMMAND_S_MAX
from pyaiot.gateways.mqtt.shared_broker import SharedMqttBroker
from pyaiot.gateways.mqttsn.endpoint import Endpoint
from pyaiot.gateways.mqttsn.gateway import MqttSnGateway
from pyaiot.gateways.mqttsn.settings import MqttsnSection
from pyaiot.gateways.plugin import OpenGateway
from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig
from pyaiot.protocols.mqttsn.topics import is_topic

log = logging.getLogger(__name__)


async def open_gateway(config: Config, broker: SharedMqttBroker) -> OpenGateway:
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

    def report(text: str, *details: object) -> None:
        for refuse in broker.refused_messages:
            refuse(text, *details)

    mqttsn = MqttSnGateway(
        Endpoint(section.host, section.port, section.advertise_address),
        broker.for_devices,
        gateway_config,
        packets_per_s=section.packets_per_s,
        client_prefix=broker.secret_prefix + section.client_prefix,
        kept=state_store(section.state_file, "mqttsn", section.port),
        deadlines=broker.deadlines,
        report=report,
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
    for number, topic in predefined.items():
        if not is_topic(topic):
            raise OperatorError(f"mqttsn.predefined: {number} = {topic!r} is not a valid topic.")
    return predefined
