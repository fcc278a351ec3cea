# SPDX-License-Identifier: BSD-3-Clause
"""The configuration, states and events of an MQTT-SN client."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

import msgspec

from pyaiot.protocols.mqttsn.mqtt import Will
from pyaiot.protocols.mqttsn.numbers import N_RETRY, T_RETRY_S
from pyaiot.protocols.mqttsn.packets import Packet


class ClientState(Enum):
    """The states of a client (6.14), as the client itself knows them."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    ACTIVE = "active"
    FALLING_ASLEEP = "falling asleep"
    ASLEEP = "asleep"
    AWAKE = "awake"
    LEAVING = "leaving"


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a client."""

    client_id: str
    keep_alive_s: int = 360
    """The duration in CONNECT. After half of it without a packet, PINGREQ is sent."""
    clean_session: bool = True
    will: Will | None = None
    predefined: Mapping[int, str] = MappingProxyType({})
    register_always: bool = True
    """Whether REGISTER precedes every PUBLISH, as on boards, or only the first one of a topic."""
    retry_s: float = T_RETRY_S
    retries_max: int = N_RETRY


class MqttSnConnected(msgspec.Struct, frozen=True, gc=False):
    """The gateway accepted CONNECT. If it had no session, it has no subscriptions either."""


class MqttSnRefused(msgspec.Struct, frozen=True, gc=False):
    """The gateway refused CONNECT (`request` is None) or a request, which is not retried."""

    return_code: int
    request: int | None = None


class MqttSnLost(msgspec.Struct, frozen=True, gc=False):
    """The gateway does not answer, or has no session of this client. Connect again."""


class MqttSnRequestDone(msgspec.Struct, frozen=True, gc=False):
    """The request `request` was acknowledged; a publication with QoS 0 was sent."""

    request: int


class MqttSnMessage(msgspec.Struct, frozen=True, gc=False):
    """A message that the client received."""

    topic: str
    data: bytes
    qos: int = 0
    retain: bool = False


class MqttSnAsleep(msgspec.Struct, frozen=True, gc=False):
    """The client sleeps, and the gateway keeps its messages; after `wake`: all were received."""


class MqttSnDisconnected(msgspec.Struct, frozen=True, gc=False):
    """The gateway acknowledged DISCONNECT."""


MqttSnEvent = (
    MqttSnConnected
    | MqttSnRefused
    | MqttSnLost
    | MqttSnRequestDone
    | MqttSnMessage
    | MqttSnAsleep
    | MqttSnDisconnected
)
MqttSnClientEffect = Packet | MqttSnEvent
