# SPDX-License-Identifier: BSD-3-Clause
"""The session of one client from CONNECT to its end, packet by packet."""

import pytest

from pyaiot.protocols.mqttsn.mqtt import (
    MqttConnect,
    MqttConnected,
    MqttDisconnect,
    MqttLost,
    MqttMessage,
    MqttRefused,
    MqttSubscribe,
    Will,
)
from pyaiot.protocols.mqttsn.numbers import ReturnCode, TopicIdType
from pyaiot.protocols.mqttsn.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    RegAck,
    Register,
    WillMsg,
    WillMsgReq,
    WillMsgResp,
    WillMsgUpd,
    WillTopic,
    WillTopicReq,
    WillTopicResp,
    WillTopicUpd,
)
from pyaiot.protocols.mqttsn.states import TRANSITIONS, Cause, State
from tests.protocols.mqttsn.harness import CONNECT, Harness, tokens

NORMAL, PREDEFINED, SHORT = TopicIdType
ACCEPTED, CONGESTION, INVALID_TOPIC_ID, NOT_SUPPORTED = ReturnCode
DURABLE = Connect("node", 360, clean_session=False)
WITH_WILL = Connect("node", 360, will=True)
NEWS = MqttMessage("news/x", b"1", 1)


# CONNECT, 6.2 and 6.3


def test_connect_is_accepted_when_the_broker_accepted() -> None:
    node = Harness()
    assert node.receive(CONNECT) == [MqttConnect("node", clean_session=True, keep_alive_s=360)]
    assert node.state_is(State.CONNECTING)
    assert node.receive_event(MqttConnected()) == [ConnAck()]
    assert node.state_is(State.ACTIVE)


@pytest.mark.parametrize("event", [MqttRefused(), MqttLost()])
def test_connect_is_congestion_when_the_broker_is_away(event: object) -> None:
    node = Harness()
    node.receive(CONNECT)
    assert node.receive_event(event) == [MqttDisconnect(with_will=False), ConnAck(CONGESTION)]
    assert node.state_is(State.DISCONNECTED)


def test_connect_is_congestion_when_the_broker_does_not_answer() -> None:
    node = Harness(broker_limit_s=8)
    node.receive(CONNECT)
    assert node.wait() == [MqttDisconnect(with_will=False), ConnAck(CONGESTION)]
    assert node.now == 1008
    assert node.session.get_timer() is None


def test_the_will_is_requested_before_the_broker_is_connected() -> None:
    node = Harness()
    assert node.receive(WITH_WILL) == [WillTopicReq()]
    assert node.receive(WillTopic("last", 1, retain=True)) == [WillMsgReq()]
    will = Will("last", b"gone", 1, retain=True)
    assert node.receive(WillMsg(b"gone")) == [MqttConnect("node", True, 360, will)]
    assert node.receive_event(MqttConnected()) == [ConnAck()]


def test_an_empty_will_topic_is_no_will() -> None:
    node = Harness()
    node.receive(WITH_WILL)
    assert node.receive(WillTopic()) == [MqttConnect("node", True, 360)]


def test_a_will_topic_with_a_wildcard_is_refused() -> None:
    node = Harness()
    assert node.receive(WITH_WILL, WillTopic("a/#")) == [WillTopicReq(), ConnAck(NOT_SUPPORTED)]
    assert node.state_is(State.DISCONNECTED)


def test_a_duplicate_will_packet_repeats_the_request() -> None:
    """emcute repeats CONNECT until WILLTOPICREQ, WILLTOPIC until WILLMSGREQ, and so on."""
    node = Harness()
    assert node.receive(WITH_WILL, WITH_WILL) == [WillTopicReq()] * 2
    assert node.receive(WillTopic("last"), WillTopic("last")) == [WillMsgReq()] * 2
    assert len(node.receive(WillMsg(b"gone"), WillMsg(b"gone"))) == 1
    node.receive_event(MqttConnected())
    assert node.receive(WillMsg(b"gone")) == [ConnAck()]


def test_the_question_for_a_will_is_repeated_then_given_up() -> None:
    node = Harness(retry_s=10, retries_max=3)
    node.receive(WITH_WILL)
    assert [node.wait() for _ in range(4)] == [[WillTopicReq()]] * 3 + [[]]
    assert node.now == 1040
    assert node.state_is(State.DISCONNECTED)


def test_a_clean_session_forgets_topics_subscriptions_messages_and_will() -> None:
    node = Harness().connected(DURABLE).subscribed("a/b")
    node.receive(WillTopicUpd("last"))
    node.receive_event(MqttConnected(session_present=True))
    node.asleep()
    node.receive_event(NEWS)
    node.now += 5
    assert node.receive(CONNECT) == [MqttConnect("node", True, 360)]
    assert node.receive_event(MqttConnected()) == [ConnAck()]
    assert len(node.session.subscriptions) == 0
    assert node.receive(Publish(1, b"", 1, 1)) == [PubAck(1, 1, INVALID_TOPIC_ID)]


def test_a_durable_session_keeps_will_topics_and_subscriptions() -> None:
    node = Harness()
    node.receive(
        Connect("node", 360, clean_session=False, will=True), WillTopic("last"), WillMsg(b"x")
    )
    node.receive_event(MqttConnected())
    node.subscribed("a/b")
    assert node.receive(Disconnect()) == [MqttDisconnect(with_will=False), Disconnect()]
    assert node.receive(DURABLE) == [MqttConnect("node", False, 360, Will("last", b"x"))]
    assert node.receive_event(MqttConnected(session_present=True)) == [ConnAck()]
    assert node.receive(Register("a/b", 1)) == [RegAck(1, 1)]


def test_a_durable_session_that_the_broker_forgot_is_subscribed_again() -> None:
    node = Harness().connected(DURABLE).subscribed("a/b", qos=1)
    node.receive(Disconnect(), DURABLE)
    effects = node.receive_event(MqttConnected(session_present=False))
    assert effects == [ConnAck(), MqttSubscribe(tokens(effects)[0], "a/b", 1)]


def test_a_doubled_connect_is_no_new_session() -> None:
    node = Harness()
    node.receive(CONNECT)
    assert node.receive(CONNECT) == []
    node.receive_event(MqttConnected())
    node.subscribed("a/b")
    node.now += 1
    assert node.receive(CONNECT) == [ConnAck()]
    assert len(node.session.subscriptions) == 1


def test_a_board_that_reboots_gets_a_new_session() -> None:
    node = Harness().connected().subscribed("a/b")
    node.now += 5
    assert node.receive(CONNECT) == [MqttConnect("node", True, 360)]
    assert len(node.session.subscriptions) == 0


def test_packets_before_connack_are_ignored() -> None:
    node = Harness()
    node.receive(CONNECT)
    assert node.receive(Publish(1, b"", 1, 1), Register("a", 1), PingReq()) == []


def test_disconnect_before_connack_ends_the_connection() -> None:
    node = Harness()
    node.receive(CONNECT)
    assert node.receive(Disconnect()) == [MqttDisconnect(with_will=False), Disconnect()]
    assert node.receive_event(MqttConnected()) == []


# Will, 6.4


def test_a_changed_will_is_sent_to_the_broker_on_a_new_connection() -> None:
    node = Harness().connected().subscribed("a/+", 1)
    assert node.receive(WillTopicUpd("last", 1)) == [
        MqttConnect("node", True, 360, Will("last", b"", 1))
    ]
    answer, again = node.receive_event(MqttConnected())
    assert answer == WillTopicResp()
    assert isinstance(again, MqttSubscribe)
    assert node.receive(WillMsgUpd(b"x")) == [MqttConnect("node", True, 360, Will("last", b"x", 1))]
    assert node.receive(WillMsgUpd(b"x")) == []
    assert node.receive_event(MqttConnected(session_present=True)) == [WillMsgResp()]
    assert node.receive(WillMsgUpd(b"x")) == [WillMsgResp()]
    assert node.receive(WillTopicUpd()) == [MqttConnect("node", True, 360)]


def test_a_will_without_a_topic_or_with_a_wildcard_is_refused() -> None:
    node = Harness().connected()
    assert node.receive(WillMsgUpd(b"x")) == [WillMsgResp(NOT_SUPPORTED)]
    assert node.receive(WillTopicUpd("#")) == [WillTopicResp(NOT_SUPPORTED)]


# Keep alive and DISCONNECT, 6.11 and 6.12


def test_a_client_is_lost_after_one_and_a_half_durations_of_silence() -> None:
    node = Harness().connected()
    assert node.session.get_timer() == 1540
    node.now = 1500
    assert node.receive(PingReq()) == [PingResp()]
    node.now = 1540
    assert node.session.handle_timer(now=node.now) == []
    assert node.wait() == [MqttDisconnect(with_will=True)]
    assert node.now == 2040
    assert node.state_is(State.LOST)
    assert node.session.get_timer() is None
    assert node.receive(Publish(1, b"")) == [Disconnect()]


def test_a_client_that_names_no_duration_is_not_waited_for_endlessly() -> None:
    node = Harness().connected(Connect("node", 0))
    assert node.wait() == [MqttDisconnect(with_will=True)]
    assert node.now == 1000 + 1.5 * 65535


def test_disconnect_ends_the_session_without_its_will() -> None:
    node = Harness().connected()
    assert node.receive(Disconnect()) == [MqttDisconnect(with_will=False), Disconnect()]
    assert node.state_is(State.DISCONNECTED)
    assert node.session.get_timer() is None


def test_every_transition_is_one_of_figure_4_or_of_connecting() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert {cause for _, cause in TRANSITIONS} == set(Cause)
    ends = {target for (_, cause), target in TRANSITIONS.items() if cause is Cause.SILENT}
    assert ends == {State.LOST, State.DISCONNECTED}


def test_a_new_session_gets_no_answer_for_the_will_of_the_one_before() -> None:
    node = Harness().connected()
    node.receive(WillTopicUpd("last"))
    node.now += 5
    node.receive(CONNECT)
    assert node.receive_event(MqttConnected()) == [ConnAck()]
