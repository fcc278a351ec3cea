# SPDX-License-Identifier: BSD-3-Clause
"""The client's machine, packet by packet, as boards do it."""

import pytest

from pyaiot import errors
from pyaiot.protocols.mqttsn.client import (
    CONGESTED_WAIT_S,
    PENDING_REQUESTS_MAX,
    MqttSnClientProtocol,
)
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
from pyaiot.protocols.mqttsn.mqtt import Will
from pyaiot.protocols.mqttsn.numbers import ReturnCode, TopicIdType
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

ACCEPTED, CONGESTION, INVALID_TOPIC_ID, NOT_SUPPORTED = ReturnCode


class Board:
    """A client on a clock that the test moves."""

    def __init__(self, **config: object) -> None:
        self.now = 1000.0
        self.client = MqttSnClientProtocol(ClientConfig(client_id="node", **config))  # type: ignore[arg-type]

    def receive(self, *packets: Packet) -> list[MqttSnClientEffect]:
        return [e for packet in packets for e in self.client.receive_packet(packet, now=self.now)]

    def wait(self) -> list[MqttSnClientEffect]:
        timer_at = self.client.get_timer()
        assert timer_at is not None
        self.now = timer_at
        return self.client.handle_timer(now=self.now)

    def connected(self) -> "Board":
        self.client.connect(now=self.now)
        assert self.receive(ConnAck())[0] == MqttSnConnected()
        return self

    def publish(self, topic: str | int, qos: int = 1) -> list[MqttSnClientEffect]:
        return self.client.publish(topic, b"x", qos=qos, now=self.now)[1]


def test_it_connects_as_emcute_does() -> None:
    board = Board()
    assert board.client.connect(now=1000) == [Connect("node", 360, clean_session=True)]
    assert board.receive(ConnAck()) == [MqttSnConnected()]


def test_it_sends_its_will_on_request() -> None:
    board = Board(will=Will("last", b"gone", 1, retain=True))
    assert board.client.connect(now=1000) == [Connect("node", 360, will=True)]
    assert board.receive(WillTopicReq()) == [WillTopic("last", 1, retain=True)]
    assert board.receive(WillMsgReq()) == [WillMsg(b"gone")]
    assert board.receive(ConnAck()) == [MqttSnConnected()]


def test_a_refused_connect_is_an_event() -> None:
    board = Board()
    board.client.connect(now=1000)
    assert board.receive(ConnAck(CONGESTION)) == [MqttSnRefused(CONGESTION)]
    assert board.client.state is ClientState.DISCONNECTED


def test_every_publish_has_its_register() -> None:
    board = Board().connected()
    for number in (1, 2):
        assert board.publish("node/a") == [Register("node/a", 2 * number - 1)]
        publish = Publish(5, b"x", 1, 2 * number)
        assert board.receive(RegAck(5, 2 * number - 1)) == [publish]
        assert board.receive(PubAck(5, 2 * number)) == [MqttSnRequestDone(number)]


def test_a_client_that_remembers_registers_once() -> None:
    board = Board(register_always=False).connected()
    board.publish("node/a")
    board.receive(RegAck(5, 1), PubAck(5, 2))
    assert board.publish("node/a") == [Publish(5, b"x", 1, 3)]
    assert board.receive(PubAck(5, 3, INVALID_TOPIC_ID)) == [Register("node/a", 4)]


def test_predefined_and_short_topics_are_not_registered() -> None:
    board = Board().connected()
    assert board.publish(7, 0) == [
        Publish(7, b"x", topic_id_type=TopicIdType.PREDEFINED),
        MqttSnRequestDone(1),
    ]
    assert board.publish("ab", 0) == [
        Publish(0x6162, b"x", topic_id_type=TopicIdType.SHORT),
        MqttSnRequestDone(2),
    ]


def test_qos_2_needs_four_packets() -> None:
    board = Board().connected()
    board.publish(7, 2)
    assert board.receive(PubRec(1)) == [PubRel(1)]
    assert board.receive(PubComp(1)) == [MqttSnRequestDone(1)]


def test_requests_wait_for_each_other_and_for_the_connection() -> None:
    board = Board()
    assert board.publish(7) == []
    board.client.connect(now=board.now)
    connected, first = board.receive(ConnAck())
    assert connected == MqttSnConnected()
    assert isinstance(first, Publish)
    assert board.publish(8) == []
    done, second = board.receive(PubAck(7, first.message_id))
    assert done == MqttSnRequestDone(1)
    assert isinstance(second, Publish)


def test_pending_requests_are_limited() -> None:
    board = Board()
    for _ in range(PENDING_REQUESTS_MAX):
        board.publish(7)
    with pytest.raises(errors.Refused):
        board.publish(7)


def test_what_is_not_answered_is_repeated_then_the_gateway_is_lost() -> None:
    board = Board(retry_s=15.0, retries_max=3).connected()
    board.publish(7)
    again = Publish(7, b"x", 1, 1, TopicIdType.PREDEFINED, dup=True)
    assert [board.wait() for _ in range(4)] == [[again]] * 3 + [[MqttSnLost()]]
    assert board.now == 1060
    board.client.connect(now=board.now)
    assert board.receive(ConnAck()) == [
        MqttSnConnected(),
        Publish(7, b"x", 1, 1, TopicIdType.PREDEFINED),
    ]


def test_after_pubrec_a_message_is_never_sent_again() -> None:
    board = Board(retries_max=0).connected()
    board.publish(7, 2)
    board.receive(PubRec(1))
    assert board.wait() == [MqttSnLost()]
    board.client.connect(now=board.now)
    assert board.receive(ConnAck()) == [MqttSnConnected(), PubRel(1)]


def test_a_gateway_that_does_not_know_us_is_lost() -> None:
    board = Board().connected()
    board.publish("a")
    assert board.receive(Disconnect()) == [MqttSnLost()]
    board.client.connect(now=board.now)
    assert board.receive(ConnAck()) == [MqttSnConnected(), Register("a", 2)]


def test_congestion_is_waited_for() -> None:
    board = Board().connected()
    board.publish(7)
    assert board.receive(PubAck(7, 1, CONGESTION)) == []
    assert board.wait() == [Publish(7, b"x", 1, 1, TopicIdType.PREDEFINED)]
    assert board.now == 1000 + CONGESTED_WAIT_S


def test_a_refused_request_is_an_event_and_the_next_one_follows() -> None:
    board = Board().connected()
    board.client.subscribe("a/#/b", now=board.now)
    board.publish(7, 0)
    effects = board.receive(SubAck(0, 1, INVALID_TOPIC_ID))
    assert effects[0] == MqttSnRefused(INVALID_TOPIC_ID, 1)
    assert effects[-1] == MqttSnRequestDone(2)


def test_it_pings_after_half_of_the_keep_alive() -> None:
    board = Board(keep_alive_s=60).connected()
    assert board.wait() == [PingReq()]
    assert board.now == 1030
    assert board.receive(PingResp()) == []
    assert board.wait() == [PingReq()]
    assert board.now == 1060


def test_it_answers_the_ping_of_a_gateway() -> None:
    assert Board().connected().receive(PingReq()) == [PingResp()]


def test_it_receives_what_it_subscribed_to_by_name() -> None:
    board = Board().connected()
    board.client.subscribe("news", qos=1, now=board.now)
    assert board.receive(SubAck(3, 1, qos=1)) == [MqttSnRequestDone(1)]
    assert board.receive(Publish(3, b"hi", 1, 9)) == [PubAck(3, 9), MqttSnMessage("news", b"hi", 1)]
    assert board.receive(Publish(3, b"hi")) == [MqttSnMessage("news", b"hi")]


def test_it_receives_what_the_gateway_registered() -> None:
    board = Board().connected()
    board.client.subscribe("news/#", qos=2, now=board.now)
    board.receive(SubAck(0, 1, qos=2))
    publish = Publish(3, b"hi", 2, 9)
    assert board.receive(publish) == [PubAck(3, 9, INVALID_TOPIC_ID)]
    assert board.receive(Register("news/x", 8, 3)) == [RegAck(3, 8)]
    assert board.receive(publish) == [PubRec(9), MqttSnMessage("news/x", b"hi", 2)]
    assert board.receive(publish) == [PubRec(9)]
    assert board.receive(PubRel(9), PubRel(9)) == [PubComp(9)] * 2
    assert board.receive(publish) == [PubRec(9)]


def test_it_receives_predefined_and_short_topics() -> None:
    board = Board(predefined={7: "alarm"}).connected()
    (subscribe,) = board.client.subscribe(7, now=board.now)[1]
    assert subscribe == Subscribe(7, 1, 1, TopicIdType.PREDEFINED)
    predefined, short = Publish(7, b"", 0, 0, TopicIdType.PREDEFINED), TopicIdType.SHORT
    assert board.receive(predefined) == [MqttSnMessage("alarm", b"")]
    assert board.receive(Publish(0x6162, b"", topic_id_type=short)) == [MqttSnMessage("ab", b"")]


def test_it_unsubscribes() -> None:
    board = Board().connected()
    assert board.client.unsubscribe("news", now=board.now) == (1, [Unsubscribe("news", 1)])
    assert board.receive(UnsubAck(1)) == [MqttSnRequestDone(1)]


def test_it_changes_its_will_topic_first() -> None:
    board = Board().connected()
    will = Will("last", b"gone")
    assert board.client.change_will(will, now=board.now) == (2, [WillTopicUpd("last")])
    assert board.receive(WillMsgResp()) == []
    assert board.receive(WillTopicResp()) == [MqttSnRequestDone(1), WillMsgUpd(b"gone")]
    assert board.receive(WillMsgResp()) == [MqttSnRequestDone(2)]
    assert board.client.change_will(None, now=board.now) == (3, [WillTopicUpd()])
    assert board.receive(WillTopicResp(NOT_SUPPORTED)) == [MqttSnRefused(NOT_SUPPORTED, 3)]


def test_it_leaves() -> None:
    board = Board().connected()
    assert board.client.disconnect(now=board.now) == [Disconnect()]
    assert board.receive(Disconnect()) == [MqttSnDisconnected()]
    assert board.client.get_timer() is None


def test_it_sleeps_wakes_and_becomes_active_again() -> None:
    board = Board().connected()
    assert board.client.sleep(60, now=board.now) == [Disconnect(60)]
    assert board.receive(Disconnect()) == [MqttSnAsleep()]
    assert board.client.get_timer() is None
    assert board.publish(7, 0) == []
    assert board.client.wake(now=board.now) == [PingReq("node")]
    assert board.receive(Publish(0x6162, b"", 1, 1, TopicIdType.SHORT))
    assert board.receive(PingResp()) == [MqttSnAsleep()]
    board.client.connect(now=board.now)
    assert board.receive(ConnAck())[0] == MqttSnConnected()


def test_a_gateway_that_forgot_a_sleeping_client_is_lost_at_waking() -> None:
    board = Board().connected()
    board.client.sleep(60, now=board.now)
    board.receive(Disconnect())
    assert board.receive(Disconnect()) == []
    board.client.wake(now=board.now)
    assert board.receive(Disconnect()) == [MqttSnLost()]


def test_a_clean_session_treats_a_message_id_of_the_previous_session_as_new() -> None:
    board = Board(predefined={7: "alarm"}).connected()
    publish = Publish(7, b"", 2, 9, TopicIdType.PREDEFINED)
    assert board.receive(publish, publish) == [PubRec(9), MqttSnMessage("alarm", b"", 2), PubRec(9)]
    board.receive(Disconnect())
    board.connected()
    assert board.receive(publish) == [PubRec(9), MqttSnMessage("alarm", b"", 2)]
