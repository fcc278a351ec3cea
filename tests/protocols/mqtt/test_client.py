# SPDX-License-Identifier: BSD-3-Clause
"""The machine of an MQTT client against the packets of a broker, written down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import LinkLost, ProtocolError
from pyaiot.protocols.mqtt import client as machine
from pyaiot.protocols.mqtt.client import ConnectionRefused, MqttClientProtocol
from pyaiot.protocols.mqtt.events import (
    MqttConnected,
    MqttEvent,
    MqttMessage,
    MqttPublished,
    MqttSubscribed,
    MqttUnsubscribed,
)
from pyaiot.protocols.mqtt.packet import Packet, PacketReader
from pyaiot.protocols.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)

KEPT = Connect("c", clean_session=False, keep_alive_s=60)


class Talk:
    """A client, and what passes between it and a broker."""

    def __init__(self, connect: Connect = KEPT, *, session_present: bool = False) -> None:
        self.client = MqttClientProtocol()
        self.now = 100.0
        self.connect(connect, session_present=session_present)

    def connect(self, connect: Connect = KEPT, *, session_present: bool = False) -> None:
        self.client.connection_opened(connect, now=self.now)
        assert self.sent() == [connect]
        assert self.receive(ConnAck(session_present)) == [MqttConnected(session_present)]

    def receive(self, *packets: Packet) -> list[MqttEvent]:
        data = b"".join(packet.to_bytes() for packet in packets)
        return list(self.client.receive_bytes(data, now=self.now))

    def sent(self) -> list[Packet]:
        return list(PacketReader(packet_bytes_max=10**6).receive_bytes(self.client.bytes_to_send()))

    def publish(self, token: int = 1, qos: int = 1) -> bool:
        return self.client.publish(token, "t", b"1", qos=qos, retain=False, now=self.now)


def test_qos_1_is_published_when_the_broker_acknowledges() -> None:
    talk = Talk()
    assert talk.publish(token=7)
    assert talk.sent() == [Publish("t", b"1", 1, packet_id=1)]
    assert talk.receive(PubAck(2)) == []
    assert talk.receive(PubAck(1)) == [MqttPublished(7)]
    assert talk.receive(PubAck(1)) == []


def test_qos_2_is_published_with_the_last_of_four_packets() -> None:
    talk = Talk()
    assert talk.publish(token=7, qos=2)
    assert talk.sent() == [Publish("t", b"1", 2, packet_id=1)]
    assert talk.receive(PubComp(1)) == []
    assert talk.receive(PubRec(1)) == []
    assert talk.sent() == [PubRel(1)]
    assert talk.receive(PubComp(1)) == [MqttPublished(7)]


def test_an_answer_of_another_kind_answers_nothing() -> None:
    talk = Talk()
    talk.publish(token=7, qos=2)
    assert talk.receive(PubAck(1), UnsubAck(1), SubAck(1, (0,))) == []
    talk.receive(PubRec(1))
    assert talk.receive(PubComp(1)) == [MqttPublished(7)]


def test_qos_0_is_sent_and_forgotten() -> None:
    talk = Talk()
    assert talk.publish(qos=0)
    assert talk.sent() == [Publish("t", b"1")]
    assert talk.client.get_timer() == talk.now + machine.PING_SHARE * 60


def test_subscriptions_are_granted_or_refused() -> None:
    talk = Talk()
    assert talk.client.subscribe(3, "a/#", qos=1, now=talk.now)
    assert talk.client.subscribe(4, "b", qos=2, now=talk.now)
    assert talk.client.unsubscribe(5, "a/#", now=talk.now)
    assert talk.sent() == [
        Subscribe(1, (("a/#", 1),)),
        Subscribe(2, (("b", 2),)),
        Unsubscribe(3, ("a/#",)),
    ]
    assert talk.receive(SubAck(2, (0x80,)), SubAck(1, (1,)), UnsubAck(3)) == [
        MqttSubscribed(4, None),
        MqttSubscribed(3, 1),
        MqttUnsubscribed(5),
    ]


def test_messages_are_acknowledged_by_qos_and_reported_once() -> None:
    talk = Talk()
    twice = Publish("t", b"2", 2, packet_id=9)
    assert talk.receive(Publish("t", b"0"), Publish("t", b"1", 1, True, 8), twice, twice) == [
        MqttMessage("t", b"0"),
        MqttMessage("t", b"1", 1, True),
        MqttMessage("t", b"2", 2),
    ]
    assert talk.sent() == [PubAck(8), PubRec(9), PubRec(9)]
    assert talk.receive(PubRel(9), PubRel(9)) == []
    assert talk.sent() == [PubComp(9), PubComp(9)]
    assert talk.receive(twice) == [MqttMessage("t", b"2", 2)]


def test_a_message_of_qos_2_is_delivered_once_over_two_connections() -> None:
    talk = Talk()
    message = Publish("t", b"2", 2, packet_id=9)
    assert len(talk.receive(message)) == 1
    talk.connect(session_present=True)
    assert talk.receive(message) == []
    talk.connect(session_present=False)
    assert len(talk.receive(message)) == 1


def test_there_are_no_events_of_the_connection_before() -> None:
    talk = Talk()
    talk.publish(token=7)
    talk.client.subscribe(8, "t", qos=0, now=talk.now)
    talk.client.connection_closed()
    assert not talk.publish()
    talk.connect()
    assert talk.receive(PubAck(1), SubAck(2, (0,))) == []


def test_what_qos_2_left_open_is_released_and_its_id_not_used() -> None:
    talk = Talk()
    talk.publish(qos=2)
    talk.publish(qos=2)
    talk.sent()
    talk.receive(PubRec(1))
    talk.connect(session_present=True)
    assert talk.sent() == [PubRel(1), PubRel(2)]
    talk.client._packet_id = 0
    assert talk.receive(PubComp(1)) == []
    talk.publish(token=5)
    talk.publish(token=6)
    assert talk.sent() == [Publish("t", b"1", 1, packet_id=1), Publish("t", b"1", 1, packet_id=3)]


def test_nothing_of_a_lost_session_is_sent_to_the_broker() -> None:
    talk = Talk()
    talk.publish(qos=2)
    talk.connect(session_present=False)
    assert talk.sent() == []


def test_pubrec_of_something_forgotten_is_released() -> None:
    talk = Talk()
    talk.receive(PubRec(77))
    assert talk.sent() == [PubRel(77)]


def test_packet_ids_go_round_and_miss_those_in_flight() -> None:
    talk = Talk()
    talk.publish(token=1)
    talk.client._packet_id = 65_534
    talk.publish(token=2)
    talk.publish(token=3)
    sent = talk.sent()
    assert [getattr(packet, "packet_id", None) for packet in sent] == [1, 65_535, 2]


def test_commands_beyond_the_limit_are_refused() -> None:
    talk = Talk()
    assert all(talk.publish(token) for token in range(machine.IN_FLIGHT_MAX))
    assert not talk.publish()
    assert not talk.client.subscribe(1, "t", qos=0, now=talk.now)
    assert not talk.client.unsubscribe(1, "t", now=talk.now)
    assert talk.publish(qos=0)
    talk.receive(PubAck(1))
    assert talk.publish()


def test_a_quiet_connection_is_pinged() -> None:
    talk = Talk()
    talk.now += machine.PING_SHARE * 60
    assert talk.client.get_timer() == talk.now
    talk.client.handle_timer(now=talk.now - 0.1)
    assert talk.sent() == []
    talk.client.handle_timer(now=talk.now)
    assert talk.sent() == [PingReq()]
    assert talk.client.get_timer() == talk.now + machine.ANSWER_LIMIT_S
    talk.receive(PingResp())
    assert talk.client.get_timer() == talk.now + machine.PING_SHARE * 60


def test_a_broker_that_only_listens_is_pinged_too() -> None:
    talk = Talk()
    talk.now += machine.PING_SHARE * 60
    talk.publish(qos=0)
    talk.client.handle_timer(now=talk.now)
    assert talk.sent()[-1] == PingReq()


def test_without_keep_alive_nothing_is_pinged() -> None:
    assert Talk(Connect("c", keep_alive_s=0)).client.get_timer() is None


@pytest.mark.parametrize("what", ["connect", "publish", "ping"])
def test_a_broker_that_owes_an_answer_too_long_has_lost_us(what: str) -> None:
    talk = Talk()
    if what == "connect":
        talk.client.connection_opened(KEPT, now=talk.now)
    elif what == "publish":
        talk.publish()
    else:
        talk.now += 60
        talk.client.handle_timer(now=talk.now)
    wake_at = talk.client.get_timer()
    assert wake_at == talk.now + machine.ANSWER_LIMIT_S
    talk.client.handle_timer(now=wake_at - 0.1)
    with pytest.raises(LinkLost):
        talk.client.handle_timer(now=wake_at)


def test_disconnect_is_the_last_packet() -> None:
    talk = Talk()
    talk.client.disconnect(now=talk.now)
    assert talk.sent() == [Disconnect()]
    assert not talk.publish(qos=0)
    assert talk.sent() == []


@pytest.mark.parametrize(
    ("code", "permanent"), [(1, True), (2, True), (3, False), (5, True), (9, True)]
)
def test_a_refusal_states_whether_to_reconnect(code: int, permanent: bool) -> None:
    client = MqttClientProtocol()
    client.connection_opened(KEPT, now=0.0)
    with pytest.raises(ConnectionRefused) as refused:
        list(client.receive_bytes(ConnAck(return_code=code).to_bytes(), now=0.0))
    assert refused.value.permanent is permanent
    assert not client.connected


@pytest.mark.parametrize(
    "packet",
    [
        *(Connect("x"), Subscribe(1, (("t", 0),)), Unsubscribe(1, ("t",)), PingReq()),
        *(Disconnect(), ConnAck()),
    ],
    ids=repr,
)
def test_packets_of_clients_and_a_second_connack_are_refused(packet: Packet) -> None:
    with pytest.raises(ProtocolError):
        Talk().receive(packet)


def test_an_unexpected_session_is_refused() -> None:
    client = MqttClientProtocol()
    client.connection_opened(Connect("c", clean_session=True), now=0.0)
    with pytest.raises(ProtocolError):
        list(client.receive_bytes(ConnAck(session_present=True).to_bytes(), now=0.0))


def test_nothing_comes_before_connack() -> None:
    client = MqttClientProtocol()
    client.connection_opened(KEPT, now=0.0)
    with pytest.raises(ProtocolError):
        list(client.receive_bytes(Publish("t", b"").to_bytes(), now=0.0))


def test_one_filter_has_one_answer() -> None:
    talk = Talk()
    talk.client.subscribe(3, "a", qos=1, now=talk.now)
    with pytest.raises(ProtocolError):
        talk.receive(SubAck(1, (1, 1)))


def answers_to(packet: Packet) -> list[Packet]:
    """The answer of a broker to a packet of the client."""
    match packet:
        case Publish(qos=1, packet_id=packet_id):
            return [PubAck(packet_id)]
        case Publish(packet_id=packet_id):
            return [PubRec(packet_id)]
        case PubRel(packet_id=packet_id):
            return [PubComp(packet_id)]
        case Subscribe(packet_id=packet_id):
            return [SubAck(packet_id, (0,))]
    return []


@given(st.lists(st.sampled_from(["1", "2", "sub", "ack", "lost"]), max_size=60))
def test_every_token_ends_once_or_with_its_connection(steps: list[str]) -> None:
    talk = Talk()
    open_tokens: set[int] = set()

    def answer(*packets: Packet) -> None:
        for event in talk.receive(*packets):
            assert isinstance(event, MqttPublished | MqttSubscribed)
            open_tokens.remove(event.token)

    for token, step in enumerate(steps):
        if step == "lost":
            open_tokens.clear()
            talk.connect(session_present=True)
            talk.sent()
        elif step == "ack":
            for packet in talk.sent():
                answer(*answers_to(packet))
        else:
            open_tokens.add(token)
            if step == "sub":
                talk.client.subscribe(token, "t", qos=0, now=talk.now)
            else:
                talk.publish(token, int(step))
    for packet_id in range(1, len(steps) + 1):
        answer(PubAck(packet_id), PubRec(packet_id), PubComp(packet_id), SubAck(packet_id, (0,)))
    assert not open_tokens
