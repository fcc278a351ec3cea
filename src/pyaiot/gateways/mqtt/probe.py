# SPDX-License-Identifier: BSD-3-Clause
"""Checks the MQTT broker for `aiot doctor`: a named one, or the program of the embedded one."""

import secrets
from collections.abc import AsyncIterator
from typing import Final

from pyaiot.config import Config
from pyaiot.errors import LinkLost, OperatorError
from pyaiot.gateways.mqtt.machines_probe import probe_machines
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqtt.shared_broker import named_mqtt_broker
from pyaiot.gateways.plugin import ProbeResult
from pyaiot.mqtt.connection import MqttConnection
from pyaiot.mqtt.embedded.nats_program import find_program
from pyaiot.protocols.mqtt.client import ConnectionRefused, MqttClientProtocol
from pyaiot.protocols.mqtt.packets import Connect

ANSWER_LIMIT_S: Final = 4.0
"""Longest time for an MQTT broker to accept a connection. After that it counts as not answering."""
_AREA: Final = "MQTT broker"


async def probe(config: Config) -> AsyncIterator[ProbeResult]:
    """Connect once with a random client id and disconnect, or look for the program and, in a
    cluster, the other machines."""
    section = config.of(MqttSection)
    yield await (_named(section) if section.host else _embedded())
    async for result in probe_machines(section):
        yield result


async def _named(section: MqttSection) -> ProbeResult:
    address = f"{section.host} port {section.port}"
    try:
        connection = MqttConnection(
            named_mqtt_broker(section).server,
            MqttClientProtocol(),
            Connect(f"doctor{secrets.token_hex(6)}"),
            lambda _event: None,
        )
        await connection.open(limit_s=ANSWER_LIMIT_S)
    except ConnectionRefused as error:
        action = "correct mqtt.user and mqtt.password_file, or the permissions at the MQTT broker"
        return ProbeResult(_AREA, "named", ok=False, text=f"{address}: {error}", action=action)
    except LinkLost as error:
        action = "start it, or correct --mqtt-host and --mqtt-port"
        if str(error).startswith("TLS") or "certificate" in str(error).lower():
            action = "correct mqtt.ca_file, or the certificate of the MQTT broker"
        return ProbeResult(_AREA, "named", ok=False, text=f"{address}: {error}", action=action)
    except OperatorError as error:
        text = str(error).rstrip(".")
        return ProbeResult(_AREA, "named", ok=False, text=text, action="correct that setting")
    connection.close()
    return ProbeResult(_AREA, "named", ok=True, text=f"{address} accepts connections")


async def _embedded() -> ProbeResult:
    try:
        program = await find_program()
    except OperatorError as error:
        text, _, action = str(error).rstrip(".").partition(": ")
        return ProbeResult(_AREA, "embedded", ok=False, text=text, action=action)
    return ProbeResult(_AREA, "embedded", ok=True, text=f"nats-server at {program}")
