# SPDX-License-Identifier: BSD-3-Clause
"""The session of one client at a gateway (6.2–6.4, 6.11, 6.12, 6.14).

Pure: packets of the client and events of its MQTT connection go in; packets to the client, actions
of the connection and the time of the next timer come out, in order. `now` is the loop's time in
seconds. `mqtt` defines the contract with the MQTT connection, `gateway` assigns packets to
sessions.
"""

import math
from collections.abc import Callable
from enum import Enum
from typing import Final

import msgspec

from pyaiot.protocols.mqttsn.mqtt import (
    MqttConnect,
    MqttConnected,
    MqttDisconnect,
    MqttEvent,
    MqttLost,
    MqttMessage,
    MqttPublished,
    MqttRefused,
    MqttSubscribed,
    MqttUnsubscribed,
    Will,
)
from pyaiot.protocols.mqttsn.numbers import ReturnCode
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
    Subscribe,
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
from pyaiot.protocols.mqttsn.publications import Effect
from pyaiot.protocols.mqttsn.session_data import WILL_BYTES_MAX, SavedSession, SessionData
from pyaiot.protocols.mqttsn.settings import SessionConfig
from pyaiot.protocols.mqttsn.shares import Account
from pyaiot.protocols.mqttsn.states import CONNECTED_STATES, Cause, State
from pyaiot.protocols.mqttsn.topics import is_topic

CONNECT_REPEATED_S: Final = 2.0
"""For this long after CONNACK the same CONNECT is a duplicate, not a new session."""


class _Stage(Enum):
    """What a session that is connecting waits for."""

    WILL_TOPIC = "WILLTOPIC"
    WILL_MESSAGE = "WILLMSG"
    BROKER = "the MQTT broker"


class Session(SessionData):
    """The state machine of one client id."""

    def __init__(
        self,
        client_id: str,
        config: SessionConfig,
        *,
        now: float,
        topics: Account | None = None,
        messages: Account | None = None,
        deadline_of: Callable[[MqttMessage, float], float] = lambda _message, _now: math.inf,
    ) -> None:
        """`topics`, `messages`: their shares of the gateway's memory; None: unlimited.

        `deadline_of`: returns when a message that arrives now expires.
        """
        super().__init__(client_id, config, topics=topics, messages=messages, now=now)
        self._deadline_of = deadline_of
        self._connect: Connect | None = None
        self._accepted_at = float("-inf")
        self._stage: _Stage | None = None
        self._stage_at = now
        self._retries = 0
        self._will_answers: list[Packet] = []
        self._broker_connected = False

    def restore(self, saved: SavedSession) -> list[Effect]:
        """Continue a saved session. The client notices nothing; the MQTT connection is new.

        The time without packets from the client counts from now.
        """
        self._load(saved)
        if self.state is State.ACTIVE:
            self.delivery.resume(now=self._received_at)
        return [self._mqtt_connect()] if self.state in CONNECTED_STATES else []

    def get_timer(self) -> float | None:
        """When to call `handle_timer`, or None. Every method may change it."""
        if self.state is State.CONNECTING:
            return self._stage_at
        if self.state not in CONNECTED_STATES:
            return None
        delivery_at = self.delivery.get_timer()
        lost_at = self._lost_at
        return lost_at if delivery_at is None else min(delivery_at, lost_at)

    def receive_packet(self, packet: Packet, *, now: float) -> list[Effect]:
        """Process a packet of this client. Packets that only gateways send are ignored."""
        if isinstance(packet, Connect):
            return self._on_connect(packet, now)
        if self.state is State.CONNECTING:
            self._received_at = now
            return self._while_connecting(packet, now)
        if self.state not in CONNECTED_STATES:
            return [Disconnect()]
        self._received_at = now
        return self._while_connected(packet, now)

    def receive_mqtt_event(self, event: MqttEvent, *, now: float) -> list[Effect]:
        """Process an event of the MQTT connection of this client."""
        match event:
            case MqttConnected(session_present=session_present):
                return self._on_broker(session_present, now)
            case MqttLost() | MqttRefused():
                return self._on_no_broker(permanent=isinstance(event, MqttRefused))
            case MqttPublished():
                return self.publications.published(event, now=now)
            case MqttSubscribed():
                return self.subscriptions.subscribed(event, now=now)
            case MqttUnsubscribed():
                return self.subscriptions.unsubscribed(event, now=now)
            case MqttMessage():
                expires_at = self._deadline_of(event, now)
                pushed = self.delivery.push(event, now=now, expires_at=expires_at)
                return [*pushed, *self._finish_awake(now)]

    def handle_timer(self, *, now: float) -> list[Effect]:
        """Call it at the time of `get_timer`; earlier calls do nothing."""
        timer_at = self.get_timer()
        if timer_at is None or now < timer_at:
            return []
        if self.state is State.CONNECTING:
            return self._connecting_is_late(now)
        if now >= self._lost_at:  # 6.11, 6.14
            self._end(Cause.SILENT)
            return [MqttDisconnect(with_will=True)]
        if not self.delivery.exhausted:
            return [*self.delivery.handle_timer(now=now), *self._finish_awake(now)]
        if self.state is State.ACTIVE:
            return [*self.delivery.give_up(now=now)]
        packets = self.delivery.postpone(now=now)
        if not self.delivery.awake:  # it sleeps again; the message stays queued
            self._transition(Cause.SERVED)
        return [*packets, *self._finish_awake(now)]

    def change_address(self) -> list[Effect]:
        """The client connects from another address: its CONNECT is not a duplicate.

        MQTT 3.1.1 sections 3.1.2.5 and 3.1.4: the earlier client with this id is disconnected, and
        its will is published, as for every connection that ends without DISCONNECT.
        """
        self._connect = None
        if self._will is None or not self._broker_connected:
            return []
        self._broker_connected = False
        return [MqttDisconnect(with_will=True)]

    def take_over(self) -> list[Effect]:
        """Another client uses the address of this one: this one is lost."""
        if self.state not in CONNECTED_STATES and self.state is not State.CONNECTING:
            return []
        self._end(Cause.SILENT)
        return [MqttDisconnect(with_will=True)]

    def _on_connect(self, packet: Connect, now: float) -> list[Effect]:
        """6.2, 6.3."""
        self._received_at = now
        if packet == self._connect:
            if self.state is State.CONNECTING:  # the client missed the will request
                return self._request_will()
            if self.state is State.ACTIVE and now - self._accepted_at <= CONNECT_REPEATED_S:
                return [ConnAck()]
        if self._is_return(packet):
            return self._on_return(packet, now)
        self._connect = packet
        self._transition(Cause.CONNECT)
        self._duration_s = packet.duration_s
        self._stage = None
        self._will_answers.clear()
        self.delivery.pause()
        if packet.clean_session:
            self.publications.clear()
            self.subscriptions.clear()
            self.delivery.clear()
            self._topics.clear()
            self._will = None
        else:
            self._topics.forget_known()
            self.delivery.forget_registrations()
        self.clean = packet.clean_session
        if packet.will:
            return self._enter(_Stage.WILL_TOPIC, now)
        return self._connect_to_broker(now)

    def _is_return(self, packet: Connect) -> bool:
        """Whether a CONNECT makes a client active again, without a new session.

        In figure 4 CONNECT leads from asleep to active. A client has only one form of CONNECT, so
        the same flags as before do not discard the session of a client that slept.
        """
        if packet.will or packet.clean_session is not self.clean or not self._broker_connected:
            return False
        slept = self.state in (State.ASLEEP, State.AWAKE)
        return slept or (self.state is State.ACTIVE and not packet.clean_session)

    def _on_return(self, packet: Connect, now: float) -> list[Effect]:
        # A client that sends CONNECT may have rebooted, even while asleep.
        self._topics.forget_known()
        self.delivery.forget_registrations()
        self._transition(Cause.RETURN)
        self._connect = packet
        self._duration_s = packet.duration_s
        self._accepted_at = now
        return [ConnAck(), *self.delivery.resume(now=now)]

    def _while_connecting(self, packet: Packet, now: float) -> list[Effect]:
        match packet:
            case WillTopic(topic="") if self._stage is _Stage.WILL_TOPIC:
                self._will = None  # 6.3: no topic, so no will and no WILLMSGREQ
                return self._connect_to_broker(now)
            case WillTopic() if self._stage is _Stage.WILL_TOPIC:
                if not self._may_have_will(packet.topic):
                    return self._refuse(ReturnCode.NOT_SUPPORTED)
                self._will = Will(packet.topic, b"", packet.qos, packet.retain)
                return self._enter(_Stage.WILL_MESSAGE, now)
            case WillTopic() if self._stage is _Stage.WILL_MESSAGE:
                return self._request_will()  # the client missed WILLMSGREQ
            case WillMsg() if self._stage is _Stage.WILL_MESSAGE and self._will is not None:
                if len(packet.message) > WILL_BYTES_MAX:
                    return self._refuse(ReturnCode.NOT_SUPPORTED)
                self._will = msgspec.structs.replace(self._will, message=packet.message)
                return self._connect_to_broker(now)
            case Disconnect():
                had_broker = self._stage is _Stage.BROKER
                self._end(Cause.DISCONNECT)
                return [*([MqttDisconnect(with_will=False)] if had_broker else []), Disconnect()]
        return []

    def _while_connected(self, packet: Packet, now: float) -> list[Effect]:
        ready = self._broker_connected
        match packet:
            case Publish():
                return self._on_publish(packet, now)
            case Register():
                return [self._registration(packet)]
            case PubAck() | RegAck() | PubRec() | PubComp():
                return [
                    *self.delivery.receive_acknowledgement(packet, now=now),
                    *self._finish_awake(now),
                ]
            case PubRel():
                return self.publications.released(packet, now=now)
            case Subscribe():
                return self.subscriptions.subscribe(packet, ready=ready, now=now)
            case Unsubscribe():
                return self.subscriptions.unsubscribe(packet, ready=ready, now=now)
            case PingReq():
                return self._on_ping(packet, now)
            case Disconnect():
                return self._on_disconnect(packet)
            case WillTopicUpd():
                return self._on_will_topic(packet)
            case WillMsgUpd():
                return self._on_will_message(packet)
            case WillMsg() | WillTopic():
                # The client missed CONNACK.
                return [ConnAck()] if self._connect and self._connect.will else []
        return []

    def _on_publish(self, packet: Publish, now: float) -> list[Effect]:
        topic = self._topics.name(packet.topic_id_type, packet.topic_id)
        if topic is not None and not self._is_supported(topic):
            return [PubAck(packet.topic_id, packet.message_id, ReturnCode.NOT_SUPPORTED)]
        return self.publications.receive_publish(
            packet, topic, ready=self._broker_connected, now=now
        )

    def _registration(self, packet: Register) -> RegAck:
        """6.5. A name that is registered already keeps its id."""
        code, topic_id = ReturnCode.ACCEPTED, None
        if not is_topic(packet.topic):
            code = ReturnCode.INVALID_TOPIC_ID
        elif not self._is_supported(packet.topic):
            code = ReturnCode.NOT_SUPPORTED
        else:
            topic_id = self._topics.register(packet.topic, known=True)
            if topic_id is None:
                code = ReturnCode.CONGESTION
        return RegAck(topic_id or 0, packet.message_id, code)

    def _on_ping(self, packet: PingReq, now: float) -> list[Effect]:
        """6.11. With a client id (6.14), a sleeping client gets its kept messages, then
        PINGRESP."""
        if self.state is State.ASLEEP and packet.client_id:
            self._transition(Cause.WAKE)
            kept = self.delivery.resume(now=now, messages=len(self.delivery))
            return [*kept, *self._finish_awake(now)]
        return [] if self.state is State.AWAKE else [PingResp()]

    def _finish_awake(self, now: float) -> list[Effect]:
        """Send PINGRESP when a client that is awake has acknowledged its kept messages."""
        if self.state is not State.AWAKE or not self.delivery.finished:
            return []
        self._transition(Cause.SERVED)
        self.delivery.pause()
        self._received_at = now
        return [PingResp()]

    def _on_disconnect(self, packet: Disconnect) -> list[Effect]:
        """6.12, with a duration 6.14. A duration of 0 is treated as absent."""
        if packet.duration_s:
            self._transition(Cause.SLEEP)
            self._duration_s = packet.duration_s
            self.delivery.pause()
            return [Disconnect()]
        self._end(Cause.DISCONNECT)
        return [MqttDisconnect(with_will=False), Disconnect()]

    def _on_will_topic(self, packet: WillTopicUpd) -> list[Effect]:
        """6.4."""
        if not packet.topic:
            return self._change_will(None, WillTopicResp())
        if not self._may_have_will(packet.topic):
            return [WillTopicResp(ReturnCode.NOT_SUPPORTED)]
        message = self._will.message if self._will else b""
        return self._change_will(
            Will(packet.topic, message, packet.qos, packet.retain), WillTopicResp()
        )

    def _on_will_message(self, packet: WillMsgUpd) -> list[Effect]:
        """6.4. A message without a topic is refused."""
        if self._will is None or len(packet.message) > WILL_BYTES_MAX:
            return [WillMsgResp(ReturnCode.NOT_SUPPORTED)]
        will = msgspec.structs.replace(self._will, message=packet.message)
        return self._change_will(will, WillMsgResp())

    def _change_will(self, will: Will | None, answer: Packet) -> list[Effect]:
        """MQTT sends the will in CONNECT only, so a changed will needs a new MQTT connection."""
        if will == self._will:
            return [] if answer in self._will_answers else [answer]
        self._will = will
        self._changes += 1
        self._will_answers.append(answer)
        self._broker_connected = False
        refused = [*self.publications.broker_lost(), *self.subscriptions.broker_lost()]
        return [*refused, self._mqtt_connect()]

    def _connect_to_broker(self, now: float) -> list[Effect]:
        self._broker_connected = False
        refused = [*self.publications.broker_lost(), *self.subscriptions.broker_lost()]
        return [*refused, *self._enter(_Stage.BROKER, now), self._mqtt_connect()]

    def _mqtt_connect(self) -> MqttConnect:
        duration_s = self._connect.duration_s if self._connect else int(self._duration_s)
        return MqttConnect(self.client_id, self.clean, duration_s, self._will)

    def _on_broker(self, session_present: bool, now: float) -> list[Effect]:
        if self.state is not State.CONNECTING and self.state not in CONNECTED_STATES:
            return []
        self._broker_connected = True
        effects: list[Effect] = []
        if self.state is State.CONNECTING:
            self._transition(Cause.ACCEPTED)
            self._stage = None
            self._accepted_at = now
            effects.append(ConnAck())
        effects += self._will_answers
        self._will_answers.clear()
        if not session_present:
            effects += self.subscriptions.resubscribe()
        if self.state is State.ACTIVE:
            effects += self.delivery.resume(now=now)
        return effects

    def _on_no_broker(self, *, permanent: bool) -> list[Effect]:
        self._broker_connected = False
        if self.state is State.CONNECTING and self._stage is _Stage.BROKER:
            return self._refuse(ReturnCode.CONGESTION)
        refused = [*self.publications.broker_lost(), *self.subscriptions.broker_lost()]
        if permanent and self.state in CONNECTED_STATES:
            self._end(Cause.DISCONNECT)
            return [*refused, Disconnect()]
        return refused

    def _enter(self, stage: _Stage, now: float) -> list[Effect]:
        self._stage = stage
        self._retries = 0
        waits_s = self._config.broker_limit_s if stage is _Stage.BROKER else self._config.retry_s
        self._stage_at = now + waits_s
        return self._request_will()

    def _request_will(self) -> list[Effect]:
        """The request that the client must answer before it is connected."""
        match self._stage:
            case _Stage.WILL_TOPIC:
                return [WillTopicReq()]
            case _Stage.WILL_MESSAGE:
                return [WillMsgReq()]
        return []

    def _connecting_is_late(self, now: float) -> list[Effect]:
        if self._stage is _Stage.BROKER:
            return self._refuse(ReturnCode.CONGESTION)
        if self._retries >= self._config.retries_max:
            self._end(Cause.SILENT)
            return []
        self._retries += 1
        self._stage_at = now + self._config.retry_s
        return self._request_will()

    def _refuse(self, return_code: ReturnCode) -> list[Effect]:
        had_broker = self._stage is _Stage.BROKER
        self._end(Cause.REFUSED)
        answer = ConnAck(return_code)
        return [*([MqttDisconnect(with_will=False)] if had_broker else []), answer]

    def _end(self, cause: Cause) -> None:
        self._transition(cause)
        self._stage = None
        self._broker_connected = False
        self.publications.broker_lost()
        self.subscriptions.broker_lost()
        self.delivery.pause()
