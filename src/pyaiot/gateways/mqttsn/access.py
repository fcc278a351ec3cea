# SPDX-License-Identifier: BSD-3-Clause
"""What `aiot device add --protocol mqttsn` prints: MQTT-SN 1.2 has no credentials."""

from collections.abc import Iterator, Mapping
from typing import Final

from pyaiot.config import Config
from pyaiot.gateways.mqttsn.settings import MqttsnSection
from pyaiot.gateways.plugin import Language, NewDevice, Snippet
from pyaiot.transport.addresses import is_loopback

_SUMMARIES: Final[Mapping[Language, str]] = {
    "en": "MQTT-SN 1.2 has no credentials: every device that reaches UDP port {port} of {host} can"
    " claim to be {uid}. No credential was made. Use another protocol where that matters.",
    "fr": "MQTT-SN 1.2 n’a pas d’identifiants : tout appareil qui atteint le port UDP {port} de"
    " {host} peut se faire passer pour {uid}. Aucun identifiant n’a été créé. Utilisez un autre"
    " protocole là où cela compte.",
    "de": "MQTT-SN 1.2 hat keine Zugangsdaten: Jedes Gerät, das UDP-Port {port} von {host}"
    " erreicht, kann sich als {uid} ausgeben. Es wurden keine Zugangsdaten erzeugt. Benutzen Sie"
    " ein anderes Protokoll, wo das wichtig ist.",
}


def summary(device: NewDevice) -> str:
    port = device.config.of(MqttsnSection).port
    return _SUMMARIES[device.language].format(uid=device.uid, host=device.host, port=port)


def snippets(device: NewDevice) -> Iterator[Snippet]:
    port = device.config.of(MqttsnSection).port
    yield Snippet(
        "riot",
        f"""\
# The Makefile of an application with emcute (USEMODULE += emcute):
CFLAGS += -DEMCUTE_ID=\\"{device.uid}\\"
# In its shell, or the same with emcute_con():
con {device.host} {port}
""",
    )


def is_local_only(config: Config) -> bool:
    return is_loopback(config.of(MqttsnSection).host)
