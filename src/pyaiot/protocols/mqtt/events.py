# SPDX-License-Identifier: BSD-3-Clause
"""The events of a client of an MQTT broker, in the order of its connection."""

import msgspec

NO_TOKEN = 0
"""The token of a publication that gets no `MqttPublished`: QoS 0."""


class MqttConnected(msgspec.Struct, frozen=True, gc=False):
    """The broker accepted the connection.

    `session_present`: it still has the subscriptions of this client.
    """

    session_present: bool = False


class MqttRefused(msgspec.Struct, frozen=True, gc=False):
    """The broker refused the connection for good; no further attempt is made."""


class MqttLost(msgspec.Struct, frozen=True, gc=False):
    """The connection ended; a new one is being opened."""


class MqttPublished(msgspec.Struct, frozen=True, gc=False):
    """The end of a publication with QoS 1 or 2.

    `accepted`: the broker acknowledged it (PUBACK or PUBCOMP).
    """

    token: int
    accepted: bool = True


class MqttSubscribed(msgspec.Struct, frozen=True, gc=False):
    """The answer to a subscription. `qos`: what the broker granted, None if it refused."""

    token: int
    qos: int | None


class MqttUnsubscribed(msgspec.Struct, frozen=True, gc=False):
    """The broker removed a subscription."""

    token: int


class MqttMessage(msgspec.Struct, frozen=True, gc=False):
    """A publication that the client received."""

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
