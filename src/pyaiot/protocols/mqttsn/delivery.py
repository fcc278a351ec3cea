# SPDX-License-Identifier: BSD-3-Clause
"""What one client is sent: registered, published, acknowledged, repeated, or kept (6.10, 6.14).

Pure; `now` is the loop's time in seconds. One message is on its way at a time, in the order in
which the messages came: a constrained node has room for one, and order survives the network.
"""

from collections import deque
from enum import Enum
from typing import Final, NamedTuple

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
from pyaiot.protocols.mqttsn.shares import ENTRY_BYTES, Account
from pyaiot.protocols.mqttsn.topics import TopicIds, is_topic

REGISTRATIONS_OF_ONE_MESSAGE_MAX: Final = 3
"""How often a topic is registered for one message when the client keeps saying it is unknown."""

REGISTER_AGAIN_S: Final = 60.0
"""A client that never answered a REGISTER is sent no message that needs one: such messages are
dropped at once. So often, when there is such a message, it is sent another REGISTER, which nothing
waits for; with its answer the messages come again."""


class _Stage(Enum):
    REGISTERED = "waiting for REGACK"
    PUBLISHED = "waiting for PUBACK or PUBREC"
    RELEASED = "waiting for PUBCOMP"


class _Kept(NamedTuple):
    """A message of the queue."""

    message: MqttMessage
    expires_at: float

    @property
    def size(self) -> int:
        return ENTRY_BYTES + len(self.message.payload) + len(self.message.topic)


class _OnItsWay:
    """The message in front, once something of it was sent."""

    __slots__ = ("message_id", "packet", "registrations", "retries", "retry_at", "stage")

    def __init__(self, message_id: int) -> None:
        self.message_id = message_id
        self.stage = _Stage.PUBLISHED
        self.packet: Packet | None = None
        self.registrations = 0
        self.retries = 0
        self.retry_at = 0.0


class Delivery:
    """The messages for one client. Nothing is sent before `resume`."""

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
        """`account`: what the messages count for in the gateway."""
        self._topics = topics
        self._messages_max = messages_max
        self._packet_bytes_max = packet_bytes_max
        self._retry_s = retry_s
        self._retries_max = retries_max
        self._account = account
        self._queue: deque[_Kept] = deque()
        self._front: _OnItsWay | None = None
        self._open = False
        self._left: int | None = None
        self._message_id = 0
        self._answers_register = False
        """Whether the client answered a REGISTER since it connected."""
        self._unanswered = 0
        """REGISTER and their repetitions since the client connected, until it answers one."""
        self._postponed = False
        """Whether a REGISTER went unanswered while the client, which sleeps now, was awake."""
        self._register_again_at: float | None = None
        """The client answers no REGISTER. None: it does, or it is not known."""
        self._unawaited: Register | None = None
        """A REGISTER that nothing waits for any more, whose answer says that the client does."""
        self.dropped = 0
        """Messages that the client will never get: too many, too large, too late, refused,
        unanswered."""

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def wake_at(self) -> float | None:
        if not self._open or self._front is None or self._front.packet is None:
            return None
        if self._front.stage is _Stage.RELEASED:
            return self._front.retry_at
        return min(self._front.retry_at, self._queue[0].expires_at)

    @property
    def listens(self) -> bool:
        """Whether the client listens: `resume` was called, and no `pause` after it."""
        return self._open

    @property
    def finished(self) -> bool:
        """Whether everything that `resume` asked for is done."""
        return self._left == 0 or not self._queue

    @property
    def exhausted(self) -> bool:
        """Whether the last repetition went unanswered: `give_up` or `pause`."""
        return self._front is not None and self._front.retries >= self._retries_max

    def push(
        self, message: MqttMessage, *, now: float, expires_at: float = float("inf")
    ) -> list[Packet]:
        """Send the message, or keep it. At the limit the oldest goes, of QoS 0 if there is one.

        Nothing of it is sent at `expires_at` or later.
        """
        # 5.4.12 with the long length: 9 bytes; 5.4.10 with it: 8
        size = max(9 + len(message.payload), 8 + len(message.topic.encode()))
        if size > self._packet_bytes_max or not is_topic(message.topic):
            self.dropped += 1
            return []
        kept = _Kept(message, expires_at)
        if len(self._queue) >= self._messages_max:
            self.dropped += 1
            if not self._make_room():
                return []
        while not self._account.take(kept.size):
            self.dropped += 1
            if not self._make_room():
                return []
        self._queue.append(kept)
        return self._send(now)

    def resume(self, *, now: float, messages: int | None = None) -> list[Packet]:
        """The client listens: to everything, or to so many of what is kept."""
        self._open = True
        self._left = messages
        if self._front is None or self._front.packet is None:
            return self._send(now)
        if self._is_late(now):
            return self.give_up(now=now)
        self._front.retries = 0
        return self._repeat(self._front, now)

    def pause(self) -> None:
        """The client does not listen; what is not acknowledged stays in front."""
        self._open = False
        self._left = None

    def postpone(self, *, now: float) -> list[Packet]:
        """A client that is awake does not answer: it gets the message the next time it wakes.

        If that was a REGISTER, what needs none goes first then, as not every client knows it.
        Without an answer the second time it is given up, and what follows is sent.
        """
        front = self._front
        if front is None or front.stage is not _Stage.REGISTERED or self._answers_register:
            self.pause()
            return []
        if self._postponed:
            return self.give_up(now=now)
        self._postponed = True
        self._front = None
        needs_none = [kept for kept in self._queue if self._topics.reference(kept.message.topic)]
        needs_one = [kept for kept in self._queue if not self._topics.reference(kept.message.topic)]
        self._queue = deque((*needs_none, *needs_one))
        self.pause()
        return []

    def forget_registrations(self) -> None:
        """The client may have rebooted: what is in front is registered anew."""
        front = self._front
        if front is not None and front.stage is not _Stage.RELEASED:
            front.packet = None
        self._forget_answers()

    def clear(self) -> None:
        self._account.give_back(sum(kept.size for kept in self._queue))
        self._queue.clear()
        self._front = None
        self._forget_answers()

    def retry(self, *, now: float) -> list[Packet]:
        """`wake_at` has come."""
        if self._front is None:
            return []
        if self._is_late(now):
            return self.give_up(now=now)
        self._front.retries += 1
        return self._repeat(self._front, now)

    def give_up(self, *, now: float) -> list[Packet]:
        """Drop the message in front and go on with the next."""
        front = self._front
        if front is not None and isinstance(front.packet, Register) and not self._answers_register:
            self._unawaited = front.packet
            if self._unanswered > self._retries_max:
                self._register_again_at = now + REGISTER_AGAIN_S
        self.dropped += 1
        return self._next(now)

    def acknowledged(
        self, packet: RegAck | PubAck | PubRec | PubComp, *, now: float
    ) -> list[Packet]:
        """What the client answered; of an answer to something else nothing follows."""
        if isinstance(packet, RegAck) and self._is_unawaited(packet):
            return []
        front = self._front
        mine = front is not None and front.message_id == packet.message_id
        if isinstance(packet, PubRec) and not (mine and front and front.stage is _Stage.PUBLISHED):
            return [PubRel(packet.message_id)]  # also for what we no longer know, so that it ends
        if front is None or not mine or front.packet is None:
            return []
        match packet:
            case RegAck() if front.stage is _Stage.REGISTERED:
                return self._registered(packet, front, now)
            case PubAck() if front.stage is _Stage.PUBLISHED:
                return self._puback(packet, front, now)
            case PubRec():
                front.stage = _Stage.RELEASED
                return self._await(front, PubRel(front.message_id), now)
            case PubComp() if front.stage is _Stage.RELEASED:
                return self._next(now)
        return []

    def _is_unawaited(self, packet: RegAck) -> bool:
        """An answer that comes after its message was given up: the client knows REGISTER."""
        register = self._unawaited
        if register is None or register.message_id != packet.message_id:
            return False
        self._forget_answers()
        self._answers_register = True
        if packet.return_code == ReturnCode.ACCEPTED:
            self._topics.told(register.topic_id)
        return True

    def _registered(self, packet: RegAck, front: _OnItsWay, now: float) -> list[Packet]:
        self._answers_register = True
        self._postponed = False
        if packet.return_code == ReturnCode.CONGESTION:
            return []  # again later
        if packet.return_code != ReturnCode.ACCEPTED:
            return self.give_up(now=now)
        registered = front.packet
        if isinstance(registered, Register):
            self._topics.told(registered.topic_id)
        front.packet = None
        return self._send(now)

    def _puback(self, packet: PubAck, front: _OnItsWay, now: float) -> list[Packet]:
        publish = front.packet
        if packet.return_code == ReturnCode.ACCEPTED:
            # An answer to QoS 2 is PUBREC; a client that says PUBACK has it all the same.
            return self._next(now)
        if packet.return_code == ReturnCode.CONGESTION or not isinstance(publish, Publish):
            return []  # again later
        if self._is_late(now):
            return self.give_up(now=now)
        if packet.return_code == ReturnCode.INVALID_TOPIC_ID:
            can = publish.topic_id_type is TopicIdType.NORMAL
            if can and front.registrations < REGISTRATIONS_OF_ONE_MESSAGE_MAX:
                self._topics.forget(publish.topic_id)
                front.packet = None
                return self._send(now)
        elif publish.dup:
            # RIOT's emcute refuses what has the DUP flag as not supported.
            front.packet = msgspec.structs.replace(publish, dup=False)
            front.retry_at = now + self._retry_s
            return [front.packet]
        return self.give_up(now=now)

    def _send(self, now: float) -> list[Packet]:
        """Send what is in front, and what follows as long as nothing must be waited for."""
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
                packets += self._register_by_the_way(message.topic, now)
                self._drop()
                continue
            if self._front is None:
                self._front = _OnItsWay(self._next_message_id())
            front = self._front
            if reference is not None:
                front.stage = _Stage.PUBLISHED
                packets += self._await(front, _publish(message, reference, front.message_id), now)
                break
            topic_id = self._topics.register(message.topic, known=False)
            if topic_id is None:
                self._drop()
                continue
            front.stage = _Stage.REGISTERED
            front.registrations += 1
            self._unanswered += 1
            packets += self._await(front, Register(message.topic, front.message_id, topic_id), now)
        return packets

    def _register_by_the_way(self, topic: str, now: float) -> list[Packet]:
        """Whether the client answers a REGISTER by now, asked from time to time."""
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
        """Whether the deadline of the message in front is over, and it was not delivered yet."""
        released = self._front is not None and self._front.stage is _Stage.RELEASED
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

    def _await(self, front: _OnItsWay, packet: Packet, now: float) -> list[Packet]:
        front.packet = packet
        front.retry_at = now + self._retry_s
        front.retries = 0
        return [packet]

    def _repeat(self, front: _OnItsWay, now: float) -> list[Packet]:
        packet = front.packet
        if packet is None:
            return []
        front.retry_at = now + self._retry_s
        self._unanswered += isinstance(packet, Register)
        if isinstance(packet, Publish):
            packet = front.packet = msgspec.structs.replace(packet, dup=True)
        return [packet]

    def _make_room(self) -> bool:
        """Drop one message that is not on its way."""
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
