# SPDX-License-Identifier: BSD-3-Clause
"""A message that waits for delivery to an MQTT-SN client, and the one that is in flight. Pure."""

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from pyaiot.protocols.mqttsn.mqtt import MqttMessage
from pyaiot.protocols.mqttsn.shares import ENTRY_BYTES

if TYPE_CHECKING:
    from pyaiot.protocols.mqttsn.packets import Packet


class DeliveryStage(Enum):
    """The progress of the delivery of a message."""

    REGISTERED = "waiting for REGACK"
    PUBLISHED = "waiting for PUBACK or PUBREC"
    RELEASED = "waiting for PUBCOMP"


class QueuedMessage(NamedTuple):
    """A queued message."""

    message: MqttMessage
    expires_at: float

    @property
    def size(self) -> int:
        return ENTRY_BYTES + len(self.message.payload) + len(self.message.topic)


class InFlightMessage:
    """The first message of the queue, once a packet of it was sent."""

    __slots__ = ("message_id", "packet", "registrations", "retries", "retry_at", "stage")

    def __init__(self, message_id: int) -> None:
        self.message_id = message_id
        self.stage = DeliveryStage.PUBLISHED
        self.packet: Packet | None = None
        self.registrations = 0
        self.retries = 0
        self.retry_at = 0.0
