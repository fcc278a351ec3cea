# SPDX-License-Identifier: BSD-3-Clause
"""What a client publishes and subscribes to, packet by packet."""

import msgspec
import pytest

from pyaiot.protocols.mqttsn.mqtt import (
    NO_TOKEN,
    MqttConnected,
    MqttLost,
    MqttMessage,
    MqttPublish,
    MqttPublished,
    MqttRefused,
    MqttSubscribe,
    MqttSubscribed,
    MqttUnsubscribe,
    MqttUnsubscribed,
)
from pyaiot.protocols.mqttsn.numbers import ReturnCode, TopicIdType
from pyaiot.protocols.mqttsn.packets import (
    Connect,
    Disconnect,
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
)
from pyaiot.protocols.mqttsn.publications import IN_FLIGHT_MAX
from pyaiot.protocols.mqttsn.states import State
from pyaiot.protocols.mqttsn.subscriptions import SUBSCRIPTIONS_MAX
from tests.protocols.mqttsn.harness import Harness, tokens

NORMAL, PREDEFINED, SHORT = TopicIdType
ACCEPTED, CONGESTION, INVALID_TOPIC_ID, NOT_SUPPORTED = ReturnCode
DURABLE = Connect("node", 360, clean_session=False)
WITH_WILL = Connect("node", 360, will=True)
NEWS = MqttMessage("news/x", b"1", 1)


# REGISTER and PUBLISH of the client, 6.5 to 6.8


def test_a_name_that_is_registered_again_gets_the_same_id() -> None:
    node = Harness().connected()
    assert node.receive(Register("a/b", 1), Register("a/b", 2), Register("a/c", 3)) == [
        RegAck(1, 1),
        RegAck(1, 2),
        RegAck(2, 3),
    ]


def test_two_threads_of_a_board_may_interleave_register_and_publish() -> None:
    """Every PUBLISH of emcute has its REGISTER before it, and another thread may come between."""
    node = Harness().connected()
    acks = node.receive(Register("node/check", 0x1234), Register("node/n/led", 0x1235))
    assert acks == [RegAck(1, 0x1234), RegAck(2, 0x1235)]
    effects = node.receive(Publish(2, b"1", 1, 0x1236), Publish(1, b"n", 1, 0x1237))
    first, second = tokens(effects)
    assert effects == [
        MqttPublish(first, "node/n/led", b"1", 1, False),
        MqttPublish(second, "node/check", b"n", 1, False),
    ]
    assert node.receive_event(MqttPublished(second), MqttPublished(first)) == [
        PubAck(1, 0x1237),
        PubAck(2, 0x1236),
    ]


@pytest.mark.parametrize("topic", ["", "a/#", "+", "a\0b", "x" * 1025])
def test_a_topic_that_cannot_be_is_not_registered(topic: str) -> None:
    node = Harness().connected()
    assert node.receive(Register(topic, 1)) == [RegAck(0, 1, INVALID_TOPIC_ID)]


def test_one_topic_too_many_is_refused_with_congestion() -> None:
    node = Harness(topics_max=2).connected()
    node.receive(Register("a", 1), Register("b", 2))
    assert node.receive(Register("c", 3)) == [RegAck(0, 3, CONGESTION)]
    assert node.receive(Register("a", 4)) == [RegAck(1, 4)]
    assert node.receive(Subscribe("c", 5)) == [SubAck(0, 5, CONGESTION)]


def test_qos_0_is_handed_on_and_not_acknowledged() -> None:
    node = Harness().connected()
    node.receive(Register("a", 1))
    assert node.receive(Publish(1, b"x", retain=True)) == [
        MqttPublish(NO_TOKEN, "a", b"x", 0, True)
    ]


@pytest.mark.parametrize(
    ("kind", "topic_id", "topic"), [(PREDEFINED, 7, "alarm"), (SHORT, 0x6162, "ab")]
)
def test_predefined_and_short_topics_need_no_registration(
    kind: TopicIdType, topic_id: int, topic: str
) -> None:
    node = Harness().connected()
    (action,) = node.receive(Publish(topic_id, b"x", 1, 1, kind))
    assert isinstance(action, MqttPublish)
    assert action.topic == topic


@pytest.mark.parametrize(
    "packet",
    [
        Publish(5, b"", 1, 9),
        Publish(5, b"", 2, 9),
        Publish(5, b"", 0, 9),
        Publish(8, b"", 1, 9, PREDEFINED),
        Publish(0x612B, b"", 1, 9, SHORT),  # `a+`
        Publish(0xFFFE, b"", 1, 9, SHORT),  # no UTF-8
    ],
)
def test_an_unknown_topic_id_is_invalid(packet: Publish) -> None:
    node = Harness().connected()
    assert node.receive(packet) == [PubAck(packet.topic_id, 9, INVALID_TOPIC_ID)]


def test_qos_1_is_acknowledged_when_the_broker_has_it() -> None:
    node = Harness().connected()
    node.receive(Register("a", 1))
    (token,) = tokens(node.receive(Publish(1, b"x", 1, 2)))
    assert node.receive(Publish(1, b"x", 1, 2), Publish(1, b"x", 1, 2, dup=True)) == []
    assert node.receive_event(MqttPublished(token)) == [PubAck(1, 2)]
    assert node.receive_event(MqttPublished(token)) == []


def test_what_the_broker_did_not_take_is_congestion() -> None:
    node = Harness().connected()
    node.receive(Register("a", 1))
    for qos in (1, 2):
        (token,) = tokens(node.receive(Publish(1, b"x", qos, 2)))
        assert node.receive_event(MqttPublished(token, accepted=False)) == [
            PubAck(1, 2, CONGESTION)
        ]


def test_a_repetition_after_the_acknowledgement_is_acknowledged_and_not_published() -> None:
    node = Harness().connected()
    node.receive(Register("a", 1))
    (token,) = tokens(node.receive(Publish(1, b"x", 1, 2)))
    node.receive_event(MqttPublished(token))
    assert node.receive(Publish(1, b"x", 1, 2, dup=True)) == [PubAck(1, 2)]
    assert tokens(node.receive(Publish(1, b"y", 1, 2, dup=True)))


def test_a_board_that_always_uses_one_message_id_loses_nothing() -> None:
    node = Harness().connected()
    node.receive(Register("a", 1))
    for _ in range(3):
        (token,) = tokens(node.receive(Publish(1, b"same", 1, 1)))
        assert node.receive_event(MqttPublished(token)) == [PubAck(1, 1)]


def test_qos_2_goes_to_the_broker_once() -> None:
    node = Harness().connected()
    node.receive(Register("a", 1))
    publish, again = Publish(1, b"x", 2, 2), Publish(1, b"x", 2, 2, dup=True)
    (token,) = tokens(node.receive(publish))
    assert node.receive(again) == []
    assert node.receive_event(MqttPublished(token)) == [PubRec(2)]
    assert node.receive(again, publish) == [PubRec(2)] * 2
    assert node.receive(PubRel(2), PubRel(2)) == [PubComp(2)] * 2
    node.now += 5
    assert node.receive(publish) == [PubRec(2)]  # the network was late with it
    node.now += 20
    assert tokens(node.receive(publish))  # a new message with the same id


def test_too_many_publications_in_flight_are_congestion() -> None:
    node = Harness().connected()
    node.receive(Register("a", 1))
    for number in range(IN_FLIGHT_MAX):
        assert tokens(node.receive(Publish(1, b"x", 1, number + 1)))
    assert node.receive(Publish(1, b"x", 1, 99)) == [PubAck(1, 99, CONGESTION)]


def test_without_a_broker_nothing_is_acknowledged() -> None:
    node = Harness().connected()
    node.receive(Register("a", 1))
    (token,) = tokens(node.receive(Publish(1, b"x", 1, 2)))
    node.receive(Subscribe("b", 3))
    assert node.receive_event(MqttLost()) == [PubAck(1, 2, CONGESTION), SubAck(0, 3, CONGESTION)]
    assert node.receive_event(MqttPublished(token)) == []
    assert node.receive(Publish(1, b"x", 2, 4)) == [PubAck(1, 4, CONGESTION)]
    assert node.receive(Publish(1, b"x")) == []
    assert node.session.publications.dropped == 1
    assert node.receive(Subscribe("b", 5), Unsubscribe("b", 6)) == [SubAck(0, 5, CONGESTION)]
    assert node.receive(PingReq()) == [PingResp()]
    assert node.state_is(State.ACTIVE)


def test_a_broker_that_is_back_is_subscribed_again() -> None:
    node = Harness().connected().subscribed("a/+", 1)
    node.receive_event(MqttLost())
    (subscribe,) = node.receive_event(MqttConnected())
    assert isinstance(subscribe, MqttSubscribe)
    assert node.receive_event(MqttSubscribed(subscribe.token, 1)) == []
    assert node.receive(Register("a", 1)) == [RegAck(1, 1)]


def test_a_broker_that_refuses_permanently_ends_the_session() -> None:
    node = Harness().connected()
    assert node.receive_event(MqttRefused()) == [Disconnect()]
    assert node.state_is(State.DISCONNECTED)


# SUBSCRIBE and UNSUBSCRIBE, 6.9


@pytest.mark.parametrize(
    ("packet", "topic_filter", "topic_id"),
    [
        (Subscribe("a/b", 5, 1), "a/b", 1),
        (Subscribe("a/+", 5, 1), "a/+", 0),
        (Subscribe("#", 5, 1), "#", 0),
        (Subscribe(7, 5, 1, PREDEFINED), "alarm", 7),
        (Subscribe("ab", 5, 1, SHORT), "ab", 0),
    ],
)
def test_suback_has_the_id_that_publish_will_have(
    packet: Subscribe, topic_filter: str, topic_id: int
) -> None:
    node = Harness().connected()
    effects = node.receive(packet)
    (token,) = tokens(effects)
    assert effects == [MqttSubscribe(token, topic_filter, 1)]
    assert node.receive(packet, msgspec.structs.replace(packet, dup=True)) == []
    assert node.receive_event(MqttSubscribed(token, 1)) == [SubAck(topic_id, 5, qos=1)]
    assert node.receive(packet) == [SubAck(topic_id, 5, qos=1)]


@pytest.mark.parametrize(
    "packet",
    [Subscribe("a/#/b", 5), Subscribe("a+", 5), Subscribe("", 5), Subscribe(8, 5, 0, PREDEFINED)],
)
def test_a_filter_that_cannot_be_is_invalid(packet: Subscribe) -> None:
    assert Harness().connected().receive(packet) == [SubAck(0, 5, INVALID_TOPIC_ID)]


def test_suback_has_the_granted_qos() -> None:
    node = Harness().connected()
    (token,) = tokens(node.receive(Subscribe("a", 5, 2)))
    assert node.receive_event(MqttSubscribed(token, 0)) == [SubAck(1, 5, qos=0)]
    (token,) = tokens(node.receive(Subscribe("b", 6, 2)))
    assert node.receive_event(MqttSubscribed(token, None)) == [SubAck(0, 6, NOT_SUPPORTED)]


def test_one_subscription_too_many_is_congestion() -> None:
    node = Harness().connected()
    for number in range(SUBSCRIPTIONS_MAX):
        node.subscribed(f"a/{number}")
    assert node.receive(Subscribe("b", 5)) == [SubAck(0, 5, CONGESTION)]
    assert tokens(node.receive(Subscribe("a/1", 6)))


def test_unsubscribe_is_acknowledged_when_the_broker_did() -> None:
    node = Harness().connected().subscribed("a/+")
    effects = node.receive(Unsubscribe("a/+", 9), Unsubscribe("a/+", 9))
    (token,) = tokens(effects)
    assert effects == [MqttUnsubscribe(token, "a/+")]
    assert node.receive_event(MqttUnsubscribed(token)) == [UnsubAck(9)]
    assert node.receive(Unsubscribe("a/+", 9)) == [UnsubAck(9)]
    assert len(node.session.subscriptions) == 0


def test_a_late_subscribe_does_not_undo_unsubscribe() -> None:
    node = Harness().connected().subscribed("a/+")
    (token,) = tokens(node.receive(Unsubscribe("a/+", 1001)))
    node.receive_event(MqttUnsubscribed(token))
    assert node.receive(Subscribe("a/+", 1000, 2)) == [SubAck(0, 1000, qos=2)]
    assert len(node.session.subscriptions) == 0
