# SPDX-License-Identifier: BSD-3-Clause
"""Delivery of messages to one client: REGISTER, PUBLISH, retransmissions, queue (6.10, 6.14).

Pure; `now` is the loop's time in seconds. One message is in flight at a time, in the order of
arrival: a constrained node has memory for one, and the network cannot change the order.
"""

import math
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from pyaiot.protocols.mqttsn.mqtt import MqttMessage
from pyaiot.protocols.mqttsn.numbers import (
    MESSAGE_ID_MAX,
    NO_MESSAGE_ID,
    ReturnCode,
    TopicIdType,
)
from pyaiot.protocols.mqttsn.packets import (
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    RegAck,
    Register,
)
from pyaiot.protocols.mqttsn.queued_message import DeliveryStage, InFlightMessage, QueuedMessage
from pyaiot.protocols.mqttsn.shares import Account
from pyaiot.protocols.mqttsn.topics import TopicIds, is_topic

REGISTRATIONS_OF_ONE_MESSAGE_MAX: Final = 3
"""Registrations of a topic for one message whose topic id the client rejects. Then the message is
dropped."""

REGISTER_AGAIN_S: Final = 60.0
"""A client that never answered a REGISTER gets no messages that need one: they are dropped at once.
At this interval one of them causes another REGISTER, without waiting for its answer; when the
client answers, messages are delivered again."""


SAVED_BYTES_MAX: Final = 64 * 1024
"""Bytes of the messages of one client that survive a restart of the gateway, the newest ones."""


class DeliveryQueue:
    """The queue of messages for one client. Nothing is sent before `resume`."""

    def __init__(
        self,
        topics: TopicIds,
        *,
        messages_max: int,
        packet_bytes_max: int,
        retry_s: float,
        retries_max: int,
        account: Account,
    ) -> None:
        """`account`: the share of the gateway's memory that the messages use."""
        self._topics = topics
        self._messages_max = messages_max
        self._packet_bytes_max = packet_bytes_max
        self._retry_s = retry_s
        self._retries_max = retries_max
        self._account = account
        self._queue: deque[QueuedMessage] = deque()
        self._front: InFlightMessage | None = None
        self._open = False
        self._left: int | None = None
        self._message_id = 0
        self._answers_register = False
        """Whether the client has answered a REGISTER since it connected."""
        self._unanswered = 0
        """REGISTER packets, with retransmissions, since the client connected, until it answers
        one."""
        self._postponed = False
        """Whether a client that sleeps now left a REGISTER unanswered while it was awake."""
        self._register_again_at: float | None = None
        """When a client that answers no REGISTER gets the next one. None: it answers, or
        unknown."""
        self._unawaited: Register | None = None
        """A REGISTER without a waiting message; its answer shows that the client knows REGISTER."""
        self.changes = 0
        """A counter that grows when `saved` changes while the client is not awake."""
        self.dropped = 0
        """Messages that were dropped, in total: too many, too large, too late, refused,
        unacknowledged."""

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def saved(self) -> tuple[MqttMessage, ...]:
        """The messages for the state file. Those with a deadline are commands, which have ended
        when the gateway is back, and are not among them."""
        released = self._front is not None and self._front.stage is DeliveryStage.RELEASED
        saved: list[MqttMessage] = []
        size = 0
        for queued in reversed(list(self._queue)[int(released) :]):
            size += queued.size
            if size > SAVED_BYTES_MAX:
                break
            if queued.expires_at == math.inf:
                saved.append(queued.message)
        return tuple(reversed(saved))

    def restore(self, messages: Iterable[MqttMessage]) -> None:
        """Queue the result of `saved`, as far as there is room."""
        for message in messages:
            queued = QueuedMessage(message, math.inf)
            if len(self._queue) >= self._messages_max or not self._account.take(queued.size):
                self.dropped += 1
            else:
                self._queue.append(queued)

    def get_timer(self) -> float | None:
        """When to call `handle_timer`, or None."""
        if not self._open or self._front is None or self._front.packet is None:
            return None
        if self._front.stage is DeliveryStage.RELEASED:
            return self._front.retry_at
        return min(self._front.retry_at, self._queue[0].expires_at)

    @property
    def awake(self) -> bool:
        """Whether the client is awake: `resume` was called, and no `pause` after it."""
        return self._open

    @property
    def finished(self) -> bool:
        """Whether all messages that `resume` allowed are delivered or dropped."""
        return self._left == 0 or not self._queue

    @property
    def exhausted(self) -> bool:
        """Whether the last retransmission was not answered: call `give_up` or `pause`."""
        return self._front is not None and self._front.retries >= self._retries_max

    def push(
        self, message: MqttMessage, *, now: float, expires_at: float = math.inf
    ) -> list[Packet]:
        """Send the message, or queue it. At the limit the oldest is dropped, QoS 0 first.

        It is not sent at `expires_at` or later.
        """
        # 5.4.12 with the long length: 9 bytes; 5.4.10 with it: 8
        size = max(9 + len(message.payload), 8 + len(message.topic.encode()))
        if size > self._packet_bytes_max or not is_topic(message.topic):
            self.dropped += 1
            return []
        queued = QueuedMessage(message, expires_at)
        if len(self._queue) >= self._messages_max:
            self.dropped += 1
            if not self._make_room():
                return []
        while not self._account.take(queued.size):
            self.dropped += 1
            if not self._make_room():
                return []
        self._queue.append(queued)
        if not self._open and expires_at == math.inf:
            self.changes += 1
        return self._send(now)

    def resume(self, *, now: float, messages: int | None = None) -> list[Packet]:
        """The client is awake. Send all messages, or as many of the queued ones as `messages`."""
        self._open = True
        self._left = messages
        if self._front is None or self._front.packet is None:
            return self._send(now)
        if self._is_late(now):
            return self.give_up(now=now)
        self._front.retries = 0
        return self._retransmit(self._front, now)

    def pause(self) -> None:
        """The client is not awake. An unacknowledged message stays first in the queue."""
        self._open = False
        self._left = None

    def postpone(self, *, now: float) -> list[Packet]:
        """Keep a message that a client does not answer until it wakes again.

        After an unanswered REGISTER, messages that need none are sent first then, because some
        clients do not know REGISTER. If it is not answered the second time, the message is dropped.
        """
        front = self._front
        if front is None or front.stage is not DeliveryStage.REGISTERED or self._answers_register:
            self.pause()
            return []
        if self._postponed:
            return self.give_up(now=now)
        self._postponed = True
        self._front = None
        needs_none = [item for item in self._queue if self._topics.reference(item.message.topic)]
        needs_one = [item for item in self._queue if not self._topics.reference(item.message.topic)]
        self._queue = deque((*needs_none, *needs_one))
        self.pause()
        return []

    def forget_registrations(self) -> None:
        """The client may have rebooted: register the topic of the first message again."""
        front = self._front
        if front is not None and front.stage is not DeliveryStage.RELEASED:
            front.packet = None
        self._forget_answers()

    def clear(self) -> None:
        self._account.give_back(sum(item.size for item in self._queue))
        self._queue.clear()
        self._front = None
        self._forget_answers()

    def handle_timer(self, *, now: float) -> list[Packet]:
        """Call it at the time of `get_timer`: retransmit, or drop what is too late."""
        if self._front is None:
            return []
        if self._is_late(now):
            return self.give_up(now=now)
        self._front.retries += 1
        return self._retransmit(self._front, now)

    def give_up(self, *, now: float) -> list[Packet]:
        """Drop the first message and continue with the next."""
        front = self._front
        if front is not None and isinstance(front.packet, Register) and not self._answers_register:
            self._unawaited = front.packet
            if self._unanswered > self._retries_max:
                self._register_again_at = now + REGISTER_AGAIN_S
        self.dropped += 1
        return self._next(now)

    def receive_acknowledgement(
        self, packet: RegAck | PubAck | PubRec | PubComp, *, now: float
    ) -> list[Packet]:
        """Process an acknowledgement from the client. An unexpected one is ignored."""
        if isinstance(packet, RegAck) and self._is_unawaited(packet):
            return []
        front = self._front
        matches = front is not None and front.message_id == packet.message_id
        if isinstance(packet, PubRec) and not (
            matches and front and front.stage is DeliveryStage.PUBLISHED
        ):
            return [PubRel(packet.message_id)]  # unknown ones too, so that the client can finish
        if front is None or not matches or front.packet is None:
            return []
        match packet:
            case RegAck() if front.stage is DeliveryStage.REGISTERED:
                return self._registered(packet, front, now)
            case PubAck() if front.stage is DeliveryStage.PUBLISHED:
                return self._puback(packet, front, now)
            case PubRec():
                front.stage = DeliveryStage.RELEASED
                return self._await(front, PubRel(front.message_id), now)
            case PubComp() if front.stage is DeliveryStage.RELEASED:
                return self._next(now)
        return []

    def _is_unawaited(self, packet: RegAck) -> bool:
        """Whether this is a late answer, after the message was dropped: the client knows
        REGISTER."""
        register = self._unawaited
        if register is None or register.message_id != packet.message_id:
            return False
        self._forget_answers()
        self._answers_register = True
        if packet.return_code == ReturnCode.ACCEPTED:
            self._topics.confirm(register.topic_id)
        return True

    def _registered(self, packet: RegAck, front: InFlightMessage, now: float) -> list[Packet]:
        self._answers_register = True
        self._postponed = False
        if packet.return_code == ReturnCode.CONGESTION:
            return []  # retransmitted later
        if packet.return_code != ReturnCode.ACCEPTED:
            return self.give_up(now=now)
        registered = front.packet
        if isinstance(registered, Register):
            self._topics.confirm(registered.topic_id)
        front.packet = None
        return self._send(now)

    def _puback(self, packet: PubAck, front: InFlightMessage, now: float) -> list[Packet]:
        publish = front.packet
        if packet.return_code == ReturnCode.ACCEPTED:
            # QoS 2 is answered with PUBREC, but a client that sends PUBACK has the message.
            return self._next(now)
        if packet.return_code == ReturnCode.CONGESTION or not isinstance(publish, Publish):
            return []  # retransmitted later
        if self._is_late(now):
            return self.give_up(now=now)
        if packet.return_code == ReturnCode.INVALID_TOPIC_ID:
            registered = publish.topic_id_type is TopicIdType.NORMAL
            if registered and front.registrations < REGISTRATIONS_OF_ONE_MESSAGE_MAX:
                self._topics.forget(publish.topic_id)
                front.packet = None
                return self._send(now)
        elif publish.dup:
            # emcute of RIOT refuses packets with the DUP flag as not supported.
            front.packet = msgspec.structs.replace(publish, dup=False)
            front.retry_at = now + self._retry_s
            return [front.packet]
        return self.give_up(now=now)

    def _send(self, now: float) -> list[Packet]:
        """Send messages, in order, until one must be acknowledged."""
        packets: list[Packet] = []
        while self._open and self._queue and not self.finished:
            if self._front is not None and self._front.packet is not None:
                break
            message = self._queue[0].message
            if self._is_late(now):
                self._drop()
                continue
            reference = self._topics.reference(message.topic)
            if reference is not None and message.qos == 0:
                packets.append(_publish(message, reference, NO_MESSAGE_ID))
                self._done()
                continue
            if reference is None and self._register_again_at is not None:
                packets += self._probe_registration(message.topic, now)
                self._drop()
                continue
            if self._front is None:
                self._front = InFlightMessage(self._next_message_id())
            front = self._front
            if reference is not None:
                front.stage = DeliveryStage.PUBLISHED
                packets += self._await(front, _publish(message, reference, front.message_id), now)
                break
            topic_id = self._topics.register(message.topic, known=False)
            if topic_id is None:
                self._drop()
                continue
            front.stage = DeliveryStage.REGISTERED
            front.registrations += 1
            self._unanswered += 1
            packets += self._await(front, Register(message.topic, front.message_id, topic_id), now)
        return packets

    def _probe_registration(self, topic: str, now: float) -> list[Packet]:
        """Send a REGISTER from time to time to a client that has not answered one."""
        if self._register_again_at is None or now < self._register_again_at:
            return []
        topic_id = self._topics.register(topic, known=False)
        if topic_id is None:
            return []
        self._register_again_at = now + REGISTER_AGAIN_S
        self._unawaited = Register(topic, self._next_message_id(), topic_id)
        return [self._unawaited]

    def _forget_answers(self) -> None:
        self._answers_register = self._postponed = False
        self._unanswered = 0
        self._register_again_at = self._unawaited = None

    def _is_late(self, now: float) -> bool:
        """Whether the first message has expired and was not delivered yet."""
        released = self._front is not None and self._front.stage is DeliveryStage.RELEASED
        return not released and bool(self._queue) and self._queue[0].expires_at <= now

    def _drop(self) -> None:
        self.dropped += 1
        self._done()

    def _next(self, now: float) -> list[Packet]:
        self._done()
        return self._send(now)

    def _done(self) -> None:
        self._account.give_back(self._queue.popleft().size)
        self._front = None
        if self._left is not None:
            self._left -= 1

    def _await(self, front: InFlightMessage, packet: Packet, now: float) -> list[Packet]:
        front.packet = packet
        front.retry_at = now + self._retry_s
        front.retries = 0
        return [packet]

    def _retransmit(self, front: InFlightMessage, now: float) -> list[Packet]:
        packet = front.packet
        if packet is None:
            return []
        front.retry_at = now + self._retry_s
        self._unanswered += isinstance(packet, Register)
        if isinstance(packet, Publish):
            packet = front.packet = msgspec.structs.replace(packet, dup=True)
        return [packet]

    def _make_room(self) -> bool:
        """Drop one message that is not in flight, the oldest with QoS 0 if there is one."""
        first = 0 if self._front is None else 1
        for index in range(first, len(self._queue)):
            if self._queue[index].message.qos == 0:
                break
        else:
            index = first
        if index >= len(self._queue):
            return False
        self._account.give_back(self._queue[index].size)
        del self._queue[index]
        if self._left is not None and index < self._left:
            self._left -= 1
        return True

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % MESSAGE_ID_MAX + 1
        return self._message_id


def _publish(message: MqttMessage, reference: tuple[TopicIdType, int], message_id: int) -> Publish:
    kind, topic_id = reference
    return Publish(
        topic_id,
        message.payload,
        message.qos,
        message_id,
        kind,
        message.retain,
    )
