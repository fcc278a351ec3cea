# SPDX-License-Identifier: BSD-3-Clause
"""The MQTT broker: the one that is named, or the program that ours is."""

import secrets
from typing import Final

from pyaiot.config import Config
from pyaiot.doctor.findings import Finding
from pyaiot.errors import LinkLost, OperatorError

ANSWER_LIMIT_S: Final = 4.0
"""An MQTT broker that did not let us in for so long is said not to answer."""


async def look(config: Config) -> Finding:
    """Connects once, under a client id of its own, and says goodbye."""
    if not config.mqtt.host:
        return await _look_at_ours()
    from pyaiot.app.protocols import named_mqtt_broker  # noqa: PLC0415
    from pyaiot.mqtt.connection import MqttConnection  # noqa: PLC0415 - most need none
    from pyaiot.protocols.mqtt.client import ConnectionRefused, MqttClientProtocol  # noqa: PLC0415
    from pyaiot.protocols.mqtt.packets import Connect  # noqa: PLC0415

    where = f"{config.mqtt.host} port {config.mqtt.port}"
    try:
        server = named_mqtt_broker(config.mqtt).server
        connection = MqttConnection(
            server,
            MqttClientProtocol(),
            Connect(f"doctor{secrets.token_hex(6)}"),
            lambda _event: None,
        )
        await connection.open(limit_s=ANSWER_LIMIT_S)
    except ConnectionRefused as error:
        do = "mend mqtt.user and mqtt.password_file, or what the MQTT broker allows"
        return Finding("MQTT broker", "named", "wrong", f"{where}: {error}", do)
    except LinkLost as error:
        do = "start it, or mend --mqtt-host and --mqtt-port"
        if str(error).startswith("TLS") or "certificate" in str(error).lower():
            do = "mend mqtt.ca_file, or the certificate of the MQTT broker"
        return Finding("MQTT broker", "named", "wrong", f"{where}: {error}", do)
    except OperatorError as error:
        return Finding("MQTT broker", "named", "wrong", str(error).rstrip("."), "mend that setting")
    connection.close()
    return Finding("MQTT broker", "named", "ok", f"{where} lets us in")


async def _look_at_ours() -> Finding:
    from pyaiot.mqtt.embedded.nats_program import find_program  # noqa: PLC0415 - see above

    try:
        program = await find_program()
    except OperatorError as error:
        says, _, do = str(error).rstrip(".").partition(": ")
        return Finding("MQTT broker", "ours", "wrong", says, do)
    return Finding("MQTT broker", "ours", "ok", f"nats-server at {program}")
