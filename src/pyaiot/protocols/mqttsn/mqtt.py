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

import msgspec

NO_TOKEN = 0
"""The token of a publication that nobody waits for: QoS 0."""


class Will(msgspec.Struct, frozen=True, gc=False):
    """What the broker publishes when the client is lost."""

    topic: str
    message: bytes = b""
    qos: int = 0
    retain: bool = False


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


class MqttConnected(msgspec.Struct, frozen=True, gc=False):
    """`session_present`: the broker still has the subscriptions of this client."""

    session_present: bool = False


class MqttRefused(msgspec.Struct, frozen=True, gc=False):
    """There is no connection, and nobody tries again."""


class MqttLost(msgspec.Struct, frozen=True, gc=False):
    """The connection ended, and is being made again."""


class MqttPublished(msgspec.Struct, frozen=True, gc=False):
    """`accepted`: the broker has it, as its QoS says (PUBACK, or PUBCOMP)."""

    token: int
    accepted: bool = True


class MqttSubscribed(msgspec.Struct, frozen=True, gc=False):
    """`qos` is what the broker granted, None if it refused."""

    token: int
    qos: int | None


class MqttUnsubscribed(msgspec.Struct, frozen=True, gc=False):
    token: int


class MqttMessage(msgspec.Struct, frozen=True, gc=False):
    """A publication for the client."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


MqttEvent = (
    MqttConnected
    | MqttRefused
    | MqttLost
    | MqttPublished
    | MqttSubscribed
    | MqttUnsubscribed
    | MqttMessage
)
