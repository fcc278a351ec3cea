# SPDX-License-Identifier: BSD-3-Clause
"""What a client is, in which states it can be, and what it tells of itself."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

import msgspec

from pyaiot.protocols.mqttsn.mqtt import Will
from pyaiot.protocols.mqttsn.numbers import N_RETRY, T_RETRY_S
from pyaiot.protocols.mqttsn.packets import Packet


class ClientState(Enum):
    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    ACTIVE = "active"
    FALLING_ASLEEP = "falling asleep"
    ASLEEP = "asleep"
    AWAKE = "awake"
    LEAVING = "leaving"


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is."""

    client_id: str
    keep_alive_s: int = 360
    """The duration of CONNECT; a PINGREQ goes out when nothing did for half of it."""
    clean_session: bool = True
    will: Will | None = None
    predefined: Mapping[int, str] = MappingProxyType({})
    register_always: bool = True
    """Whether REGISTER goes before every PUBLISH, as boards do; else before the first one."""
    retry_s: float = T_RETRY_S
    retries_max: int = N_RETRY


class Connected(msgspec.Struct, frozen=True, gc=False):
    """CONNACK came. A gateway that knew nothing of us knows no subscription either."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The gateway said no: to CONNECT (`wish` None), or to a wish, which is not tried again."""

    return_code: int
    wish: int | None = None


class Lost(msgspec.Struct, frozen=True, gc=False):
    """The gateway does not answer, or does not know us (any more). Connect again."""


class RequestDone(msgspec.Struct, frozen=True, gc=False):
    """A wish is acknowledged; a publication of QoS 0 is sent."""

    wish: int


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message of a topic that we subscribed to."""

    topic: str
    data: bytes
    qos: int = 0
    retain: bool = False


class FellAsleep(msgspec.Struct, frozen=True, gc=False):
    """The gateway keeps our messages from now on; or, after `wake`, we have what it kept."""


class Left(msgspec.Struct, frozen=True, gc=False):
    """The gateway acknowledged our DISCONNECT."""


ClientEvent = Connected | Refused | Lost | RequestDone | Received | FellAsleep | Left
Effect = Packet | ClientEvent
