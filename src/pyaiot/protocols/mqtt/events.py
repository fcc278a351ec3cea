# SPDX-License-Identifier: BSD-3-Clause
"""What a client of an MQTT broker is told, in the order of its connection."""

import msgspec

NO_TOKEN = 0
"""The token of a publication that nobody waits for: QoS 0."""


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
