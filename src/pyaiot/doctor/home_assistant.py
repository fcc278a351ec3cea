# SPDX-License-Identifier: BSD-3-Clause
"""Checks the MQTT broker that Home Assistant uses, if nodes are shown there."""

import contextlib
import secrets
from typing import Final

from pyaiot.app.home_assistant import mqtt_server
from pyaiot.config import Config
from pyaiot.doctor.findings import Finding
from pyaiot.errors import LinkLost, OperatorError
from pyaiot.gateways.base import device_store
from pyaiot.gateways.mqtt.settings import PASSWORD_KIND, MqttSection
from pyaiot.homeassistant.address import OWN
from pyaiot.mqtt.connection import MqttConnection
from pyaiot.mqtt.embedded.device_logins import HOME_ASSISTANT_USER
from pyaiot.protocols.mqtt.client import ConnectionRefused, MqttClientProtocol
from pyaiot.protocols.mqtt.packets import Connect

ANSWER_LIMIT_S: Final = 4.0
"""How long the MQTT broker may take to accept a connection. After that it counts as not
answering."""
_AREA: Final = "Home Assistant"


async def check(config: Config) -> list[Finding]:
    """One finding, or no finding if the settings have no Home Assistant."""
    url = config.homeassistant.url
    if not url:
        return []
    if url == OWN and not config.of(MqttSection).host:
        return [_login(config)]
    return [await _connect(config)]


def _login(config: Config) -> Finding:
    """Whether Home Assistant can connect to the embedded MQTT broker. Raises `OperatorError`."""
    with contextlib.closing(device_store(config)) as store:
        credential = store.credential(HOME_ASSISTANT_USER, PASSWORD_KIND)
    if credential is None:
        action = f"run aiot device add {HOME_ASSISTANT_USER} --protocol mqtt"
        text = "it has no password for the embedded MQTT broker"
        return Finding(_AREA, "password", "note", text, action)
    return Finding(_AREA, "password", "ok", f"user {HOME_ASSISTANT_USER} of the embedded broker")


async def _connect(config: Config) -> Finding:
    """Connect once with a random client id and disconnect."""
    try:
        server = mqtt_server(config, ())
    except OperatorError as error:
        text = str(error).rstrip(".")
        return Finding(_AREA, "settings", "wrong", text, "correct that setting")
    address = f"{server.host} port {server.port}"
    connect = Connect(f"doctor{secrets.token_hex(6)}")
    try:
        connection = MqttConnection(server, MqttClientProtocol(), connect, lambda _event: None)
        await connection.open(limit_s=ANSWER_LIMIT_S)
    except ConnectionRefused as error:
        action = "correct homeassistant.user and homeassistant.password_file"
        return Finding(_AREA, "MQTT broker", "wrong", f"{address}: {error}", action)
    except LinkLost as error:
        action = "start it, or correct --homeassistant"
        if "certificate" in str(error).lower() or str(error).startswith("TLS"):
            action = "correct homeassistant.ca_file, or the certificate of the MQTT broker"
        return Finding(_AREA, "MQTT broker", "wrong", f"{address}: {error}", action)
    connection.close()
    return Finding(_AREA, "MQTT broker", "ok", f"{address} accepts connections")
