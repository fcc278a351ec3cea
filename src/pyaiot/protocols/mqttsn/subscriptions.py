# SPDX-License-Identifier: BSD-3-Clause
"""The subscriptions of one client (6.9). Pure."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from pyaiot.protocols.mqttsn.deduplication import Answers
from pyaiot.protocols.mqttsn.mqtt import (
    MqttSubscribe,
    MqttSubscribed,
    MqttUnsubscribe,
    MqttUnsubscribed,
)
from pyaiot.protocols.mqttsn.numbers import NO_TOPIC_ID, ReturnCode, TopicIdType
from pyaiot.protocols.mqttsn.packets import SubAck, Subscribe, UnsubAck, Unsubscribe
from pyaiot.protocols.mqttsn.publications import Effect
from pyaiot.protocols.mqttsn.shares import ENTRY_BYTES, Account
from pyaiot.protocols.mqttsn.topics import TopicIds, has_wildcard

SUBSCRIPTIONS_MAX: Final = 64
"""Topic filters of one client. Further ones are refused with "congestion"."""
REQUESTS_MAX: Final = 16
"""SUBSCRIBE and UNSUBSCRIBE of one client that the broker has not answered. One more SUBSCRIBE is
refused with "congestion", UNSUBSCRIBE is ignored."""


class Subscriptions:
    """The topic filters of a client, and the requests that the broker has not answered."""

    def __init__(
        self, topics: TopicIds, next_token: Callable[[], int], *, bytes_max: int, account: Account
    ) -> None:
        """`bytes_max`: of all filters; `account`: their share of the gateway's memory."""
        self.changes = 0
        """A counter that grows whenever `saved` changes."""
        self._bytes_max = bytes_max
        self._account = account
        self._bytes = 0
        self._topics = topics
        self._next_token = next_token
        self._filters: dict[str, int] = {}
        self._waiting: dict[int, tuple[Subscribe | Unsubscribe, str]] = {}
        self._answers = Answers()

    def __len__(self) -> int:
        return len(self._filters)

    @property
    def saved(self) -> tuple[tuple[str, int], ...]:
        """The filters with their QoS."""
        return tuple(self._filters.items())

    def restore(self, filters: Iterable[tuple[str, int]]) -> None:
        """Load `saved`. `resubscribe` sends them to a broker that has no session."""
        for topic_filter, qos in filters:
            if len(self._filters) < SUBSCRIPTIONS_MAX:
                self._add(topic_filter, qos)

    def subscribe(self, packet: Subscribe, *, ready: bool, now: float) -> list[Effect]:
        request = msgspec.structs.replace(packet, dup=False) if packet.dup else packet
        answer = self._answer_duplicate(request, now=now)
        if answer is not None:
            return answer
        topic_filter = self._topics.filter(request.topic_id_type, request.topic)
        if topic_filter is None:
            return [_refusal(request, ReturnCode.INVALID_TOPIC_ID)]
        if not ready or not self._has_room_for(request, topic_filter):
            return [_refusal(request, ReturnCode.CONGESTION)]
        token = self._next_token()
        self._waiting[token] = (request, topic_filter)
        return [MqttSubscribe(token, topic_filter, request.qos)]

    def subscribed(self, event: MqttSubscribed, *, now: float) -> list[Effect]:
        request, topic_filter = self._waiting.pop(event.token, (None, ""))
        if not isinstance(request, Subscribe):
            return []
        if event.qos is None:
            return [_refusal(request, ReturnCode.NOT_SUPPORTED)]
        topic_id: int | None = NO_TOPIC_ID  # 5.4.16: for wildcards and short names
        if isinstance(request.topic, int):
            topic_id = request.topic
            self._topics.use_predefined(topic_id)
        elif request.topic_id_type is TopicIdType.NORMAL and not has_wildcard(topic_filter):
            topic_id = self._topics.register(topic_filter, known=True)
        if topic_id is None or not self._add(topic_filter, event.qos):
            # Other clients took the room meanwhile.
            return [
                MqttUnsubscribe(self._next_token(), topic_filter),
                _refusal(request, ReturnCode.CONGESTION),
            ]
        answer = SubAck(topic_id, request.message_id, qos=event.qos)
        self._answers.remember(request.message_id, request, answer, now=now)
        return [answer]

    def unsubscribe(self, request: Unsubscribe, *, ready: bool, now: float) -> list[Effect]:
        """Without a broker it is not answered: UNSUBACK has no return code for a refusal."""
        answer = self._answer_duplicate(request, now=now)
        if answer is not None:
            return answer
        topic_filter = self._topics.filter(request.topic_id_type, request.topic)
        if topic_filter is None:  # there cannot be a subscription
            return [UnsubAck(request.message_id)]
        if not ready or len(self._waiting) >= REQUESTS_MAX:
            return []
        token = self._next_token()
        self._waiting[token] = (request, topic_filter)
        return [MqttUnsubscribe(token, topic_filter)]

    def unsubscribed(self, event: MqttUnsubscribed, *, now: float) -> list[Effect]:
        request, topic_filter = self._waiting.pop(event.token, (None, ""))
        if not isinstance(request, Unsubscribe):
            return []
        if self._filters.pop(topic_filter, None) is not None:
            self.changes += 1
            size = len(topic_filter.encode())
            self._bytes -= size
            self._account.give_back(size + ENTRY_BYTES)
        answer = UnsubAck(request.message_id)
        self._answers.remember(request.message_id, request, answer, now=now)
        return [answer]

    def broker_lost(self) -> list[Effect]:
        refused: list[Effect] = [
            _refusal(request, ReturnCode.CONGESTION)
            for request, _ in self._waiting.values()
            if isinstance(request, Subscribe)
        ]
        self._waiting.clear()
        return refused

    def resubscribe(self) -> list[Effect]:
        """Subscribe to all filters again: the broker has no session."""
        return [
            MqttSubscribe(self._next_token(), topic_filter, qos)
            for topic_filter, qos in self._filters.items()
        ]

    def clear(self) -> None:
        self._account.give_back(self._bytes + ENTRY_BYTES * len(self._filters))
        self._bytes = 0
        self.changes += 1
        self._filters.clear()
        self._waiting.clear()
        self._answers.clear()

    def _answer_duplicate(
        self, request: Subscribe | Unsubscribe, *, now: float
    ) -> list[Effect] | None:
        """The answer to a duplicate, possibly none yet; None if the request is new."""
        answer = self._answers.find(request.message_id, request, now=now)
        if answer is not None:
            return [answer]
        if any(waiting == request for waiting, _ in self._waiting.values()):
            return []
        return None

    def _add(self, topic_filter: str, qos: int) -> bool:
        """Add a filter. Returns whether there was room."""
        if not self._has_bytes_for(topic_filter):
            return False
        if topic_filter not in self._filters:
            size = len(topic_filter.encode())
            self._bytes += size
            self._account.take(size + ENTRY_BYTES)
        self._filters[topic_filter] = qos
        self.changes += 1
        return True

    def _has_bytes_for(self, topic_filter: str) -> bool:
        if topic_filter in self._filters:
            return True
        size = len(topic_filter.encode())
        if self._bytes + size > self._bytes_max:
            return False
        return self._account.has_room_for(size + ENTRY_BYTES)

    def _has_room_for(self, request: Subscribe, topic_filter: str) -> bool:
        if len(self._waiting) >= REQUESTS_MAX:
            return False
        if topic_filter not in self._filters and len(self._filters) >= SUBSCRIPTIONS_MAX:
            return False
        if not self._has_bytes_for(topic_filter):
            return False
        needs_id = request.topic_id_type is TopicIdType.NORMAL and not has_wildcard(topic_filter)
        return not needs_id or self._topics.has_room_for(topic_filter)


def _refusal(request: Subscribe, return_code: ReturnCode) -> SubAck:
    return SubAck(NO_TOPIC_ID, request.message_id, return_code)
