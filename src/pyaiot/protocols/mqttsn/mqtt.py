# SPDX-License-Identifier: BSD-3-Clause
"""What a client's session and its own connection to the MQTT broker say to each other.

The one who carries out the actions keeps this contract:

* `MqttConnect` ends the connection before it, if there is one, without its will, and makes a new
  one. It is answered by `MqttConnected` or `MqttRefused`. A connection that ends by itself is
  `MqttLost`; it is made again with the same values, until another action says otherwise, and that
  is `MqttConnected` again.
* After `MqttConnect`, `MqttDisconnect` and `MqttLost` nothing of the connection before is told.
* Every `MqttPublish` with a token ends in one `MqttPublished`, every `MqttSubscribe` in one
  `MqttSubscribed`, every `MqttUnsubscribe` in one `MqttUnsubscribed`, or in the end of the
  connection. Tokens are never used twice in a session.
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
    """A client id as the MQTT broker gets it, another one for each.

    nats-server refuses those with `.`, `*`, `>` or a space: they are written as in a URI.
    """
    return "".join(
        f"%{ord(character):02X}" if character in _ESCAPED else character for character in client_id
    )


_ESCAPED: Final = frozenset("%.*> ")


class MqttConnect(msgspec.Struct, frozen=True, gc=False):
    """Be connected like this. `keep_alive_s` is 0 (off) to 65,535."""

    client_id: str
    clean_session: bool
    keep_alive_s: int
    will: Will | None = None


class MqttDisconnect(msgspec.Struct, frozen=True, gc=False):
    """Be no longer connected; with the will if the client is lost."""

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
