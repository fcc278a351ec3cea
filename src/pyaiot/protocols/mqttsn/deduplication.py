# SPDX-License-Identifier: BSD-3-Clause
"""Deduplication of requests. `now` is the loop's time in seconds. Pure.

MQTT relies on the order of TCP. A datagram can arrive again after later ones, and without the DUP
flag if the network duplicated it. So answers are remembered for a short time.
"""

from collections import OrderedDict
from typing import Final

import msgspec

from pyaiot.protocols.mqttsn.packets import Packet, Publish

LATE_S: Final = 10.0
"""How long after the answer a duplicate is recognised."""
ANSWERS_MAX: Final = 32
"""Answers that are remembered for one peer. Beyond that, the oldest is forgotten."""
HELD_MAX: Final = 32
"""Messages with QoS 2 that wait for PUBREL. Beyond that, the oldest is forgotten."""


class Answers:
    """The latest answers by message id.

    A duplicate has the same content, not only the same id: clients restart their ids.
    """

    def __init__(self) -> None:
        self._by_id: OrderedDict[int, tuple[Packet, Packet, float]] = OrderedDict()

    def remember(self, message_id: int, request: Packet, answer: Packet, *, now: float) -> None:
        self._by_id[message_id] = (request, answer, now)
        self._by_id.move_to_end(message_id)
        while len(self._by_id) > ANSWERS_MAX:
            self._by_id.popitem(last=False)

    def find(self, message_id: int, request: Packet, *, now: float) -> Packet | None:
        """The answer to this request, if it is a duplicate, else None."""
        known = self._by_id.get(message_id)
        if known is None or known[0] != request or now - known[2] > LATE_S:
            return None
        return known[1]

    def clear(self) -> None:
        self._by_id.clear()


class Qos2Receiver:
    """The receiver of QoS 2: from PUBREC to PUBREL, and `LATE_S` after."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, Publish] = OrderedDict()
        self._released = Answers()

    def has(self, publish: Publish, *, now: float) -> bool:
        """Whether this message is a duplicate: answer PUBREC and ignore it."""
        if self._held.get(publish.message_id) == publish:
            return True
        return self._released.find(publish.message_id, publish, now=now) is not None

    def add(self, publish: Publish) -> None:
        """The message was passed on; PUBREC is sent."""
        self._held[publish.message_id] = publish
        while len(self._held) > HELD_MAX:
            self._held.popitem(last=False)

    def release(self, message_id: int, *, now: float) -> None:
        """PUBREL was received."""
        publish = self._held.pop(message_id, None)
        if publish is not None:
            self._released.remember(message_id, publish, publish, now=now)

    def clear(self) -> None:
        self._held.clear()
        self._released.clear()


def without_dup(publish: Publish) -> Publish:
    """The PUBLISH without its DUP flag, to compare it with a duplicate."""
    return msgspec.structs.replace(publish, dup=False) if publish.dup else publish
