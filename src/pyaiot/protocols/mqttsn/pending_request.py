# SPDX-License-Identifier: BSD-3-Clause
"""A request of a client that the gateway has not acknowledged."""

from pyaiot.protocols.mqttsn.numbers import NO_MESSAGE_ID
from pyaiot.protocols.mqttsn.packets import Subscribe, Unsubscribe, WillMsgUpd, WillTopicUpd

RequestPacket = Subscribe | Unsubscribe | WillTopicUpd | WillMsgUpd


class PendingRequest:
    """A publication, or another request as its packet, with its progress."""

    __slots__ = ("data", "message_id", "number", "qos", "released", "request", "retain", "topic")

    def __init__(
        self,
        number: int,
        *,
        topic: str | int = "",
        data: bytes = b"",
        qos: int = 0,
        retain: bool = False,
        request: RequestPacket | None = None,
    ) -> None:
        self.number = number
        self.topic = topic
        self.data = data
        self.qos = qos
        self.retain = retain
        self.request = request
        self.message_id = NO_MESSAGE_ID
        self.released = False
        """PUBREC was received: the message must not be sent again."""
