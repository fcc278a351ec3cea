# SPDX-License-Identifier: BSD-3-Clause
"""Requests that come twice, carried out once. `now` is the loop's time in seconds.

MQTT relies on TCP for order; a datagram may come again after later ones, and without the DUP flag
if it was the network that doubled it. So what was answered is remembered for a short while.
"""

from collections import OrderedDict
from typing import Final

import msgspec

from pyaiot.protocols.mqttsn.packets import Packet, Publish

LATE_S: Final = 10.0
"""How much later than the answer a repetition may come to be recognised."""
ANSWERS_MAX: Final = 32
"""Answers remembered of one peer. Beyond, the oldest is forgotten."""
HELD_MAX: Final = 32
"""Messages of QoS 2 that wait for their PUBREL. Beyond, the oldest is no longer waited for."""


class Answers:
    """The latest answers by message id.

    A repetition has the same content, not only the same id: clients restart their ids.
    """

    def __init__(self) -> None:
        self._by_id: OrderedDict[int, tuple[Packet, Packet, float]] = OrderedDict()

    def remember(self, message_id: int, request: Packet, answer: Packet, *, now: float) -> None:
        self._by_id[message_id] = (request, answer, now)
        self._by_id.move_to_end(message_id)
        while len(self._by_id) > ANSWERS_MAX:
            self._by_id.popitem(last=False)

    def find(self, message_id: int, request: Packet, *, now: float) -> Packet | None:
        """The answer that this request already got."""
        known = self._by_id.get(message_id)
        if known is None or known[0] != request or now - known[2] > LATE_S:
            return None
        return known[1]

    def clear(self) -> None:
        self._by_id.clear()


class ReceivedOnce:
    """The receiving side of QoS 2: from PUBREC to PUBREL, and a while after."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, Publish] = OrderedDict()
        self._released = Answers()

    def has(self, publish: Publish, *, now: float) -> bool:
        """Whether this message was taken already: answer with PUBREC, and no more."""
        if self._held.get(publish.message_id) == publish:
            return True
        return self._released.find(publish.message_id, publish, now=now) is not None

    def take(self, publish: Publish) -> None:
        """It was handed on; PUBREC is sent."""
        self._held[publish.message_id] = publish
        while len(self._held) > HELD_MAX:
            self._held.popitem(last=False)

    def release(self, message_id: int, *, now: float) -> None:
        """PUBREL came."""
        publish = self._held.pop(message_id, None)
        if publish is not None:
            self._released.remember(message_id, publish, publish, now=now)

    def clear(self) -> None:
        self._held.clear()
        self._released.clear()


def without_dup(publish: Publish) -> Publish:
    """What a PUBLISH and its repetition have in common."""
    return msgspec.structs.replace(publish, dup=False) if publish.dup else publish
