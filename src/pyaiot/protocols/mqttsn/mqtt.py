# SPDX-License-Identifier: BSD-3-Clause
"""Actions and events between the session of a client and its connection to the MQTT broker.

The contract of the code that performs the actions:

* `MqttConnect` closes an existing connection without publishing its will, and opens a new one. The
  answer is `MqttConnected` or `MqttRefused`. If the connection ends by itself, `MqttLost` follows,
  and it is opened again with the same values until another action; then `MqttConnected` follows.
* After `MqttConnect`, `MqttDisconnect` and `MqttLost`, the previous connection has no events.
* Every `MqttPublish` with a token ends in one `MqttPublished`, every `MqttSubscribe` in one
  `MqttSubscribed`, every `MqttUnsubscribe` in one `MqttUnsubscribed`, or in the end of the
  connection. A session never uses a token twice.
* Events come in the order of the connection.
"""

from typing import Final

import msgspec

from pyaiot.protocols.mqtt.events import (
    NO_TOKEN,
    MqttConnected,
    MqttEvent,
    MqttLost,
    MqttMessage,
    MqttPublished,
    MqttRefused,
    MqttSubscribed,
    MqttUnsubscribed,
)
from pyaiot.protocols.mqtt.packets import Will

__all__ = [
    "NO_TOKEN",
    "MqttAction",
    "MqttConnect",
    "MqttConnected",
    "MqttDisconnect",
    "MqttEvent",
    "MqttLost",
    "MqttMessage",
    "MqttPublish",
    "MqttPublished",
    "MqttRefused",
    "MqttSubscribe",
    "MqttSubscribed",
    "MqttUnsubscribe",
    "MqttUnsubscribed",
    "Will",
    "mqtt_client_id",
]


def mqtt_client_id(client_id: str) -> str:
    """The client id at the MQTT broker; different ids stay different.

    nats-server refuses `.`, `*`, `>` and spaces, so they are percent-encoded.
    """
    return "".join(
        f"%{ord(character):02X}" if character in _ESCAPED else character for character in client_id
    )


_ESCAPED: Final = frozenset("%.*> ")


class MqttConnect(msgspec.Struct, frozen=True, gc=False):
    """Connect with these values. `keep_alive_s` is 0 (off) to 65,535."""

    client_id: str
    clean_session: bool
    keep_alive_s: int
    will: Will | None = None


class MqttDisconnect(msgspec.Struct, frozen=True, gc=False):
    """Disconnect. `with_will`: the broker publishes the will, because the client is lost."""

    with_will: bool


class MqttPublish(msgspec.Struct, frozen=True, gc=False):
    token: int
    topic: str
    payload: bytes
    qos: int
    retain: bool


class MqttSubscribe(msgspec.Struct, frozen=True, gc=False):
    token: int
    topic_filter: str
    qos: int


class MqttUnsubscribe(msgspec.Struct, frozen=True, gc=False):
    token: int
    topic_filter: str


MqttAction = MqttConnect | MqttDisconnect | MqttPublish | MqttSubscribe | MqttUnsubscribe
