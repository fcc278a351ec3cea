# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a client: what emcute of RIOT does, and subscriptions, sleep and a will.

Pure: requests and packets from the gateway go in; packets, events and the time of the next timer
come out. `now` is the loop's time in seconds. One request is in flight at a time (6.6); the others
wait in order, also while the client is not connected. A request without an answer is sent again
after the next CONNECT. The caller decides whether to connect again after `MqttSnRefused` or
`MqttSnLost`.
"""

from collections import deque
from typing import Final

import msgspec

from pyaiot import errors
from pyaiot.protocols.mqttsn.client_events import (
    ClientConfig,
    ClientState,
    MqttSnAsleep,
    MqttSnClientEffect,
    MqttSnConnected,
    MqttSnDisconnected,
    MqttSnLost,
    MqttSnMessage,
    MqttSnRefused,
    MqttSnRequestDone,
)
from pyaiot.protocols.mqttsn.deduplication import Qos2Receiver, without_dup
from pyaiot.protocols.mqttsn.mqtt import Will
from pyaiot.protocols.mqttsn.numbers import (
    MESSAGE_ID_MAX,
    ReturnCode,
    TopicIdType,
)
from pyaiot.protocols.mqttsn.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    RegAck,
    Register,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    WillMsg,
    WillMsgReq,
    WillMsgResp,
    WillMsgUpd,
    WillTopic,
    WillTopicReq,
    WillTopicResp,
    WillTopicUpd,
)
from pyaiot.protocols.mqttsn.pending_request import PendingRequest, RequestPacket
from pyaiot.protocols.mqttsn.topics import has_wildcard, short_topic, short_topic_id

PENDING_REQUESTS_MAX: Final = 1000
"""Publications and subscriptions that wait. One more raises `errors.Refused`."""
CONGESTED_WAIT_S: Final = 10.0
"""How long a request waits after the gateway refused it with "congestion" (T_WAIT of 7.2 is 5
min)."""


class MqttSnClientProtocol:
    """A client of one gateway."""

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self.state = ClientState.DISCONNECTED
        self._pending: deque[PendingRequest] = deque()
        self._number = 0
        self._message_id = 0
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._registered: int | None = None
        self._request: Packet | None = None
        self._retry_at = 0.0
        self._retries = 0
        self._held_until: float | None = None
        self._sent_at = 0.0
        self._qos2 = Qos2Receiver()

    def __len__(self) -> int:
        """Requests that are pending or in flight."""
        return len(self._pending)

    def get_timer(self) -> float | None:
        """When to call `handle_timer`, or None."""
        if self._request is not None:
            return self._retry_at
        if self.state is not ClientState.ACTIVE:
            return None
        ping_at = self._sent_at + self._ping_interval_s
        return ping_at if self._held_until is None else min(ping_at, self._held_until)

    @property
    def _ping_interval_s(self) -> float:
        return self.config.keep_alive_s / 2

    def connect(self, *, now: float) -> list[Packet]:
        """Connect, or become active again after sleep."""
        config = self.config
        if self.state in (ClientState.DISCONNECTED, ClientState.LEAVING) and config.clean_session:
            self._forget()
        self.state = ClientState.CONNECTING
        self._registered = None
        self._held_until = None
        connect = Connect(
            config.client_id, config.keep_alive_s, config.clean_session, config.will is not None
        )
        return self._send_request(connect, now)

    def publish(
        self, topic: str | int, data: bytes, *, qos: int = 1, retain: bool = False, now: float
    ) -> tuple[int, list[MqttSnClientEffect]]:
        """Returns the number of the request, and what to send. A number as topic is a predefined
        id.

        Raises `errors.Refused` at `PENDING_REQUESTS_MAX`, as the methods below do.
        """
        return self._add(PendingRequest(0, topic=topic, data=data, qos=qos, retain=retain), now)

    def subscribe(
        self, topic: str | int, *, qos: int = 1, now: float
    ) -> tuple[int, list[MqttSnClientEffect]]:
        kind = TopicIdType.PREDEFINED if isinstance(topic, int) else TopicIdType.NORMAL
        return self._add(PendingRequest(0, request=Subscribe(topic, 0, qos, kind)), now)

    def unsubscribe(self, topic: str | int, *, now: float) -> tuple[int, list[MqttSnClientEffect]]:
        kind = TopicIdType.PREDEFINED if isinstance(topic, int) else TopicIdType.NORMAL
        return self._add(PendingRequest(0, request=Unsubscribe(topic, 0, 0, kind)), now)

    def change_will(self, will: Will | None, *, now: float) -> tuple[int, list[MqttSnClientEffect]]:
        """Change the will (6.4). With a message these are two requests; the number of the second
        is returned."""
        if will is None:
            return self._add(PendingRequest(0, request=WillTopicUpd()), now)
        request = WillTopicUpd(will.topic, will.qos, will.retain)
        _, effects = self._add(PendingRequest(0, request=request), now)
        number, more = self._add(PendingRequest(0, request=WillMsgUpd(will.message)), now)
        return number, [*effects, *more]

    def disconnect(self, *, now: float) -> list[Packet]:
        if self.state is ClientState.DISCONNECTED:
            return []
        self.state = ClientState.LEAVING
        return self._send_request(Disconnect(), now)

    def sleep(self, duration_s: int, *, now: float) -> list[Packet]:
        """Sleep while the gateway keeps messages. Call `wake` before `duration_s` is over."""
        if self.state not in (ClientState.ACTIVE, ClientState.ASLEEP):
            return []
        self.state = ClientState.FALLING_ASLEEP
        self._registered = None
        return self._send_request(Disconnect(duration_s), now)

    def wake(self, *, now: float) -> list[Packet]:
        """Fetch the messages that the gateway kept, then sleep again."""
        if self.state is not ClientState.ASLEEP:
            return []
        self.state = ClientState.AWAKE
        return self._send_request(PingReq(self.config.client_id), now)

    def handle_timer(self, *, now: float) -> list[MqttSnClientEffect]:
        """Call it at the time of `get_timer`; earlier calls do nothing."""
        timer_at = self.get_timer()
        if timer_at is None or now < timer_at:
            return []
        if self._request is None:
            if self._held_until is not None and now >= self._held_until:
                return self._next(now)
            return [*self._send_request(PingReq(), now)]
        if self._retries >= self.config.retries_max:  # 6.13
            return self._lose()
        self._retries += 1
        self._retry_at = now + self.config.retry_s
        self._sent_at = now
        if isinstance(self._request, Publish):
            self._request = msgspec.structs.replace(self._request, dup=True)
        return [self._request]

    def receive_packet(self, packet: Packet, *, now: float) -> list[MqttSnClientEffect]:
        """Process a packet from the gateway."""
        if self.state is ClientState.AWAKE and self._request is not None:
            # Kept messages precede PINGRESP; each one shows that the gateway is alive.
            self._retries = 0
            self._retry_at = now + self.config.retry_s
        match packet:
            case WillTopicReq() | WillMsgReq() | ConnAck():
                return self._while_connecting(packet, now)
            case Disconnect():
                return self._on_disconnect()
            case PingResp():
                return self._on_pingresp(now)
            case PingReq():  # 6.11
                return [PingResp()]
            case Register():
                self._names[packet.topic_id] = packet.topic
                return [RegAck(packet.topic_id, packet.message_id)]
            case Publish():
                return self._on_publish(packet, now)
            case PubRel():
                self._qos2.release(packet.message_id, now=now)
                return [PubComp(packet.message_id)]
            case WillTopicResp() | WillMsgResp():
                return self._on_will_answer(packet, now)
            case RegAck() | SubAck() | UnsubAck() | PubAck() | PubRec() | PubComp():
                return self._on_answer(packet, now)
        return []

    def _while_connecting(
        self, packet: WillTopicReq | WillMsgReq | ConnAck, now: float
    ) -> list[MqttSnClientEffect]:
        if self.state is not ClientState.CONNECTING:
            return []
        will = self.config.will
        if isinstance(packet, WillTopicReq):
            if will is None:
                return [*self._send_request(WillTopic(), now)]
            return [*self._send_request(WillTopic(will.topic, will.qos, will.retain), now)]
        if isinstance(packet, WillMsgReq):
            return [*self._send_request(WillMsg(will.message if will else b""), now)]
        self._request = None
        if packet.return_code != ReturnCode.ACCEPTED:
            self.state = ClientState.DISCONNECTED
            return [MqttSnRefused(packet.return_code)]
        self.state = ClientState.ACTIVE
        return [MqttSnConnected(), *self._next(now)]

    def _on_disconnect(self) -> list[MqttSnClientEffect]:
        requested = isinstance(self._request, Disconnect)
        if self.state is ClientState.LEAVING:
            self._request = None
            self.state = ClientState.DISCONNECTED
            return [MqttSnDisconnected()]
        if self.state is ClientState.FALLING_ASLEEP and requested:
            self._request = None
            self.state = ClientState.ASLEEP
            return [MqttSnAsleep()]
        if self.state in (ClientState.DISCONNECTED, ClientState.CONNECTING, ClientState.ASLEEP):
            return []  # a late answer
        return self._lose()

    def _on_pingresp(self, now: float) -> list[MqttSnClientEffect]:
        if not isinstance(self._request, PingReq):
            return []
        self._request = None
        if self.state is ClientState.AWAKE:
            self.state = ClientState.ASLEEP
            return [MqttSnAsleep()]
        return self._next(now)

    def _on_publish(self, packet: Publish, now: float) -> list[MqttSnClientEffect]:
        publish = without_dup(packet)
        if publish.qos == 2 and self._qos2.has(publish, now=now):
            return [PubRec(publish.message_id)]
        topic: str | None
        match publish.topic_id_type:
            case TopicIdType.NORMAL:
                topic = self._names.get(publish.topic_id)
            case TopicIdType.PREDEFINED:
                topic = self.config.predefined.get(publish.topic_id)
            case _:
                topic = short_topic(publish.topic_id)
        if topic is None:
            code = ReturnCode.INVALID_TOPIC_ID
            return [PubAck(publish.topic_id, publish.message_id, code)]
        event = MqttSnMessage(topic, publish.data, publish.qos, publish.retain)
        if publish.qos == 2:
            self._qos2.add(publish)
            return [PubRec(publish.message_id), event]
        if publish.qos == 1:
            return [PubAck(publish.topic_id, publish.message_id), event]
        return [event]

    def _on_answer(
        self, packet: RegAck | SubAck | UnsubAck | PubAck | PubRec | PubComp, now: float
    ) -> list[MqttSnClientEffect]:
        request = self._request
        if getattr(request, "message_id", None) != packet.message_id:
            return []
        match request, packet:
            case Register(), RegAck():
                self._request = None
                if packet.return_code != ReturnCode.ACCEPTED:
                    return self._on_refusal(packet.return_code, now)
                self._learn(request.topic, packet.topic_id)
                self._registered = packet.topic_id
                return self._next(now)
            case Publish(), PubRec():
                self._pending[0].released = True
                return [*self._send_request(PubRel(packet.message_id), now)]
            case (
                (Publish(), PubAck())
                | (PubRel(), PubComp())
                | (Subscribe(), SubAck())
                | (Unsubscribe(), UnsubAck())
            ):
                self._request = None
                code = getattr(packet, "return_code", ReturnCode.ACCEPTED)
                if code != ReturnCode.ACCEPTED:
                    return self._on_refusal(code, now)
                if isinstance(packet, SubAck) and isinstance(request, Subscribe):
                    topic = request.topic
                    if isinstance(topic, str) and packet.topic_id and not has_wildcard(topic):
                        self._learn(topic, packet.topic_id)
                return self._finish(now)
        return []

    def _on_will_answer(
        self, packet: WillTopicResp | WillMsgResp, now: float
    ) -> list[MqttSnClientEffect]:
        expected = WillTopicUpd if isinstance(packet, WillTopicResp) else WillMsgUpd
        if not isinstance(self._request, expected):
            return []
        self._request = None
        if packet.return_code != ReturnCode.ACCEPTED:
            return self._on_refusal(packet.return_code, now)
        return self._finish(now)

    def _on_refusal(self, code: int, now: float) -> list[MqttSnClientEffect]:
        pending = self._pending[0]
        if code == ReturnCode.CONGESTION:
            self._registered = None
            self._held_until = now + CONGESTED_WAIT_S
            return []
        if code == ReturnCode.INVALID_TOPIC_ID and self._registered is not None:
            self._ids.pop(
                str(pending.topic), None
            )  # 6.6: the gateway forgot the id; register again
            self._registered = None
            return self._next(now)
        return [MqttSnRefused(code, pending.number), *self._finish(now)[1:]]

    def _finish(self, now: float) -> list[MqttSnClientEffect]:
        """Complete the first request, and start the next one."""
        pending = self._pending.popleft()
        self._registered = None
        return [MqttSnRequestDone(pending.number), *self._next(now)]

    def _add(self, pending: PendingRequest, now: float) -> tuple[int, list[MqttSnClientEffect]]:
        if len(self._pending) >= PENDING_REQUESTS_MAX:
            raise errors.Refused(f"{PENDING_REQUESTS_MAX} requests are pending already")
        self._number += 1
        pending.number = self._number
        self._pending.append(pending)
        return pending.number, self._next(now)

    def _next(self, now: float) -> list[MqttSnClientEffect]:
        """Send packets of the pending requests, in order, until one needs an answer."""
        effects: list[MqttSnClientEffect] = []
        while self.state is ClientState.ACTIVE and self._request is None and self._pending:
            if self._held_until is not None:
                if now < self._held_until:
                    break
                self._held_until = None
            pending = self._pending[0]
            if pending.released:
                return [*effects, *self._send_request(PubRel(pending.message_id), now)]
            if pending.request is not None:
                return [
                    *effects,
                    *self._send_request(self._with_message_id(pending, pending.request), now),
                ]
            packet = self._publish(pending)
            if isinstance(packet, Publish) and pending.qos == 0:
                effects.append(packet)
                effects.append(MqttSnRequestDone(pending.number))
                self._sent_at = now
                self._pending.popleft()
                self._registered = None
            else:
                effects += self._send_request(packet, now)
        return effects

    def _publish(self, pending: PendingRequest) -> Publish | Register:
        """PUBLISH, or the REGISTER that must precede it."""
        kind, topic_id = TopicIdType.NORMAL, self._registered
        if isinstance(pending.topic, int):
            kind, topic_id = TopicIdType.PREDEFINED, pending.topic
        elif (short := short_topic_id(pending.topic)) is not None:
            kind, topic_id = TopicIdType.SHORT, short
        elif topic_id is None and not self.config.register_always:
            topic_id = self._registered = self._ids.get(pending.topic)
        if topic_id is None:
            return Register(str(pending.topic), self._next_message_id())
        if pending.qos and not pending.message_id:
            pending.message_id = self._next_message_id()
        return Publish(
            topic_id, pending.data, pending.qos, pending.message_id, kind, pending.retain
        )

    def _with_message_id(self, pending: PendingRequest, request: RequestPacket) -> RequestPacket:
        if isinstance(request, WillTopicUpd | WillMsgUpd):
            return request
        pending.message_id = pending.message_id or self._next_message_id()
        return msgspec.structs.replace(request, message_id=pending.message_id)

    def _learn(self, topic: str, topic_id: int) -> None:
        self._ids[topic] = topic_id
        self._names[topic_id] = topic

    def _send_request(self, packet: Packet, now: float) -> list[Packet]:
        """Send a packet that the gateway must answer."""
        self._request = packet
        self._retries = 0
        self._retry_at = now + self.config.retry_s
        self._sent_at = now
        return [packet]

    def _lose(self) -> list[MqttSnClientEffect]:
        self._request = None
        self._registered = None
        self.state = ClientState.DISCONNECTED
        return [MqttSnLost()]

    def _forget(self) -> None:
        """Discard the state of the session, except pending requests."""
        self._ids.clear()
        self._names.clear()
        self._qos2.clear()

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % MESSAGE_ID_MAX + 1
        return self._message_id
