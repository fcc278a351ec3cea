# SPDX-License-Identifier: BSD-3-Clause
"""Messages to a client: registered, acknowledged, repeated, kept while it sleeps."""

import pytest

from pyaiot.protocols.mqttsn.delivery import REGISTER_AGAIN_S
from pyaiot.protocols.mqttsn.mqtt import (
    MqttConnected,
    MqttDisconnect,
    MqttLost,
    MqttMessage,
    MqttSubscribed,
)
from pyaiot.protocols.mqttsn.numbers import ReturnCode, TopicIdType
from pyaiot.protocols.mqttsn.packets import (
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
    RegAck,
    Register,
    Subscribe,
)
from pyaiot.protocols.mqttsn.shares import ENTRY_BYTES, Account, Budget
from pyaiot.protocols.mqttsn.states import State
from tests.protocols.mqttsn.harness import CONNECT, Harness, tokens

NORMAL, PREDEFINED, SHORT = TopicIdType
ACCEPTED, CONGESTION, INVALID_TOPIC_ID, NOT_SUPPORTED = ReturnCode
DURABLE = Connect("node", 360, clean_session=False)
WAKE = PingReq("node")


def message(payload: bytes = b"1", qos: int = 1, topic: str = "news/x") -> MqttMessage:
    return MqttMessage(topic, payload, qos)


def known(topic: str = "news/x", **config: object) -> Harness:
    """A client that has the id 1 for the topic."""
    return Harness(**config).connected().subscribed(topic)


# 6.10


def test_a_topic_is_registered_before_its_first_publish() -> None:
    node = Harness().connected().subscribed("news/+")
    assert node.receive_event(message()) == [Register("news/x", 1, topic_id=1)]
    assert node.receive_event(message(b"2")) == []
    assert node.receive(RegAck(1, 1)) == [Publish(1, b"1", 1, 1)]
    assert node.receive(PubAck(1, 1)) == [Publish(1, b"2", 1, 2)]
    assert node.receive(PubAck(1, 2)) == []
    assert len(node.session.delivery) == 0


def test_a_topic_subscribed_by_name_needs_no_registration() -> None:
    assert known().receive_event(message()) == [Publish(1, b"1", 1, 1)]


@pytest.mark.parametrize(
    ("subscribe", "topic", "kind", "topic_id"),
    [
        (Subscribe(7, 5, 1, PREDEFINED), "alarm", PREDEFINED, 7),
        (Subscribe("ab", 5, 1, SHORT), "ab", SHORT, 0x6162),
        (Subscribe("ab", 5, 1), "ab", NORMAL, 1),
        (Subscribe("#", 5, 1), "ab", SHORT, 0x6162),
    ],
)
def test_a_message_has_the_kind_of_id_that_the_client_knows(
    subscribe: Subscribe, topic: str, kind: TopicIdType, topic_id: int
) -> None:
    node = Harness().connected()
    (token,) = tokens(node.receive(subscribe))
    node.receive_event(MqttSubscribed(token, 1))
    assert node.receive_event(message(topic=topic)) == [Publish(topic_id, b"1", 1, 1, kind)]


def test_qos_0_is_sent_at_once_and_in_order() -> None:
    node = known()
    assert node.receive_event(message(qos=0)) == [Publish(1, b"1")]
    assert node.receive_event(message(b"2", 1), message(b"3", 0)) == [Publish(1, b"2", 1, 1)]
    assert node.receive(PubAck(1, 1)) == [Publish(1, b"3")]


def test_qos_2_ends_with_pubcomp() -> None:
    node = known()
    assert node.receive_event(message(qos=2), message(b"2", 2)) == [Publish(1, b"1", 2, 1)]
    assert node.receive(PubRec(1)) == [PubRel(1)]
    assert node.receive(PubRec(1)) == [PubRel(1)]
    assert node.receive(PubComp(1)) == [Publish(1, b"2", 2, 2)]
    assert node.receive(PubRec(1)) == [PubRel(1)]  # late; the client must be able to end it
    assert node.receive(PubComp(1)) == []


def test_what_is_not_acknowledged_is_repeated_with_dup_then_dropped() -> None:
    node = known(retry_s=10, retries_max=2)
    node.receive_event(message(), message(b"2"))
    again = Publish(1, b"1", 1, 1, dup=True)
    assert [node.wait() for _ in range(2)] == [[again], [again]]
    assert node.now == 1020
    assert node.wait() == [Publish(1, b"2", 1, 2)]
    assert node.session.delivery.dropped == 1


def test_register_and_pubrel_are_repeated_too() -> None:
    node = Harness(retry_s=10).connected().subscribed("news/+")
    assert node.receive_event(message(qos=2)) == node.wait() == [Register("news/x", 1, 1)]
    node.receive(RegAck(1, 1))
    assert node.receive(PubRec(1)) == node.wait() == [PubRel(1)]


def test_answers_to_something_else_are_ignored() -> None:
    node = known()
    node.receive_event(message())
    assert node.receive(PubAck(1, 2), RegAck(1, 1), PubComp(1), PubComp(7)) == []
    assert node.receive(PubAck(1, 1)) == []
    assert node.receive(PubAck(1, 1)) == []


def test_a_topic_that_a_client_forgot_is_registered_again() -> None:
    node = known()
    node.receive_event(message())
    assert node.receive(PubAck(1, 1, INVALID_TOPIC_ID)) == [Register("news/x", 1, 1)]
    assert node.receive(RegAck(1, 1)) == [Publish(1, b"1", 1, 1)]
    assert node.receive(PubAck(1, 1)) == []


def test_a_client_that_never_learns_a_topic_loses_only_the_message() -> None:
    node = known()
    node.receive_event(message(), message(b"2"))
    for _ in range(3):
        assert node.receive(PubAck(1, 1, INVALID_TOPIC_ID)) == [Register("news/x", 1, 1)]
        node.receive(RegAck(1, 1))
    assert node.receive(PubAck(1, 1, INVALID_TOPIC_ID)) == [Publish(1, b"2", 1, 2)]
    assert node.session.delivery.dropped == 1


def test_a_client_that_refuses_a_registration_or_a_message_does_not_get_it() -> None:
    node = Harness().connected().subscribed("news/+")
    node.receive_event(message(), message(b"2"))
    assert node.receive(RegAck(1, 1, NOT_SUPPORTED)) == [Register("news/x", 2, 1)]
    node.receive(RegAck(1, 2))
    assert node.receive(PubAck(1, 2, NOT_SUPPORTED)) == []
    assert node.session.delivery.dropped == 2


def test_a_client_that_refuses_the_dup_flag_gets_the_message_without_it() -> None:
    """As RIOT's emcute does."""
    node = known(retries_max=3)
    node.receive_event(message())
    node.wait()
    assert node.receive(PubAck(1, 1, NOT_SUPPORTED)) == [Publish(1, b"1", 1, 1)]
    assert node.receive(PubAck(1, 1)) == []
    assert node.session.delivery.dropped == 0


def test_a_congested_client_is_sent_the_message_again_later() -> None:
    node = known(retry_s=10)
    node.receive_event(message())
    assert node.receive(PubAck(1, 1, CONGESTION)) == []
    assert node.wait() == [Publish(1, b"1", 1, 1, dup=True)]


def test_a_message_larger_than_a_packet_is_dropped() -> None:
    node = known(packet_bytes_max=100)
    assert node.receive_event(message(b"x" * 92)) == []
    assert node.session.delivery.dropped == 1
    (publish,) = node.receive_event(message(b"x" * 91))
    assert isinstance(publish, Publish)
    assert len(publish.to_bytes()) <= 100


def test_a_topic_too_many_costs_its_message() -> None:
    node = Harness(topics_max=1).connected().subscribed("news/+")
    node.receive_event(message())
    node.receive(RegAck(1, 1), PubAck(1, 1))
    assert node.receive_event(message(topic="news/y"), message(b"3")) == [Publish(1, b"3", 1, 3)]
    assert node.session.delivery.dropped == 1


def test_messages_are_kept_up_to_a_limit_the_latest_ones() -> None:
    node = known(messages_max=3).asleep()
    node.receive_event(*(message(bytes((48 + number,))) for number in range(5)))
    assert len(node.session.delivery) == 3
    assert node.session.delivery.dropped == 2
    assert node.receive(WAKE) == [Publish(1, b"2", 1, 1)]


def test_at_the_limit_qos_0_goes_first() -> None:
    node = known(messages_max=3).asleep()
    node.receive_event(message(b"1"), message(b"2", 0), message(b"3"), message(b"4"))
    assert payloads(node) == [b"1", b"3", b"4"]


def test_the_message_on_its_way_is_not_dropped_at_the_limit() -> None:
    node = known(messages_max=1)
    assert node.receive_event(message(b"1"), message(b"2")) == [Publish(1, b"1", 1, 1)]
    assert len(node.session.delivery) == 1
    assert node.receive(PubAck(1, 1)) == []


# 6.14


def payloads(node: Harness) -> list[bytes]:
    """Wake up, take everything with QoS 1, and sleep on."""
    taken: list[bytes] = []
    effects = node.receive(WAKE)
    while effects:
        (effect,) = effects
        if effect == PingResp():
            return taken
        assert isinstance(effect, Publish)
        taken.append(effect.data)
        effects = node.receive(PubAck(effect.topic_id, effect.message_id))
    raise AssertionError("no PINGRESP")


def test_a_sleeping_client_gets_its_messages_then_pingresp() -> None:
    node = known().asleep()
    assert node.receive_event(message(b"1", 0), message(b"2", 1), message(b"3", 2)) == []
    assert node.receive(WAKE) == [Publish(1, b"1"), Publish(1, b"2", 1, 1)]
    assert node.state_is(State.AWAKE)
    assert node.receive(WAKE) == []
    assert node.receive(PubAck(1, 1)) == [Publish(1, b"3", 2, 2)]
    assert node.receive(PubRec(2)) == [PubRel(2)]
    assert node.receive(PubComp(2)) == [PingResp()]
    assert node.state_is(State.ASLEEP)
    assert node.receive_event(message()) == []


def test_a_sleeping_client_without_messages_gets_pingresp() -> None:
    node = known().asleep()
    assert node.receive(WAKE) == [PingResp()]
    assert node.state_is(State.ASLEEP)


def test_qos_0_alone_is_followed_by_pingresp() -> None:
    node = known().asleep()
    node.receive_event(message(qos=0))
    assert node.receive(WAKE) == [Publish(1, b"1"), PingResp()]


def test_what_comes_while_a_client_is_awake_waits_for_the_next_time() -> None:
    node = known().asleep()
    node.receive_event(message(b"1"))
    node.receive(WAKE)
    assert node.receive_event(message(b"2")) == []
    assert node.receive(PubAck(1, 1)) == [PingResp()]
    assert payloads(node) == [b"2"]


def test_pingreq_without_a_client_id_wakes_no_client() -> None:
    node = known().asleep()
    node.receive_event(message())
    assert node.receive(PingReq()) == [PingResp()]
    assert node.state_is(State.ASLEEP)


def test_a_client_that_woke_up_and_fell_silent_gets_its_message_next_time() -> None:
    node = known(retry_s=5, retries_max=2).asleep()
    node.receive_event(message())
    node.receive(WAKE)
    assert [len(node.wait()) for _ in range(3)] == [1, 1, 0]
    assert node.state_is(State.ASLEEP)
    assert node.receive(WAKE) == [Publish(1, b"1", 1, 1, dup=True)]
    assert node.receive(PubAck(1, 1)) == [PingResp()]
    assert node.session.delivery.dropped == 0


def test_an_acknowledgement_that_comes_after_falling_asleep_counts() -> None:
    node = known()
    node.receive_event(message())
    node.asleep()
    assert node.receive(PubAck(1, 1)) == []
    assert node.receive(WAKE) == [PingResp()]


@pytest.mark.parametrize("connect", [CONNECT, DURABLE])
def test_connect_makes_a_sleeping_client_active_with_its_messages(connect: Connect) -> None:
    node = Harness().connected(connect).subscribed("news/x").asleep()
    node.receive_event(message())
    # From a fresh process, for what the gateway knows: no id may be used before it is registered.
    assert node.receive(connect) == [ConnAck(), Register("news/x", 1, 1)]
    assert node.state_is(State.ACTIVE)
    assert node.session.get_timer() == 1010
    assert node.receive(RegAck(1, 1)) == [Publish(1, b"1", 1, 1)]


def test_a_sleeping_client_is_lost_when_it_oversleeps() -> None:
    node = known().asleep()
    assert node.session.get_timer() == 1090
    node.now = 1080
    node.receive(WAKE)
    assert node.wait() == [MqttDisconnect(with_will=True)]
    assert node.now == 1170
    assert node.state_is(State.LOST)
    assert node.receive(WAKE) == [Disconnect()]


def test_a_sleeping_client_may_change_how_long_it_sleeps() -> None:
    node = known().asleep()
    assert node.receive(Disconnect(600)) == [Disconnect()]
    assert node.session.get_timer() == 1900


def test_a_sleeping_client_may_leave() -> None:
    node = known().asleep()
    assert node.receive(Disconnect()) == [MqttDisconnect(with_will=False), Disconnect()]


def test_a_sleeping_client_can_publish() -> None:
    node = known().asleep()
    assert tokens(node.receive(Publish(1, b"x", 1, 1)))
    assert node.state_is(State.ASLEEP)


def test_a_sleep_of_no_duration_is_a_disconnect() -> None:
    node = known()
    assert node.receive(Disconnect(0)) == [MqttDisconnect(with_will=False), Disconnect()]


def test_a_durable_client_that_rebooted_gets_what_it_did_not_acknowledge() -> None:
    node = Harness().connected(DURABLE).subscribed("news/x")
    node.receive_event(message())
    node.now += 5
    effects = node.receive(DURABLE)
    assert effects == [ConnAck(), Register("news/x", 1, 1)]
    assert node.receive(RegAck(1, 1)) == [Publish(1, b"1", 1, 1)]


def test_a_broker_that_is_away_does_not_wake_a_sleeping_client() -> None:
    node = known().asleep()
    node.receive_event(message(), MqttLost())
    assert [type(effect).__name__ for effect in node.receive_event(MqttConnected())] == [
        "MqttSubscribe"
    ]
    assert payloads(node) == [b"1"]


def test_a_message_id_is_never_zero() -> None:
    node = known()
    node.session.delivery._message_id = 0xFFFE
    for expected in (0xFFFF, 1):
        (publish,) = node.receive_event(message())
        assert isinstance(publish, Publish)
        assert publish.message_id == expected
        node.receive(PubAck(1, expected))


@pytest.mark.parametrize("topic", ["", "a/#", "a\0b"])
def test_a_topic_that_cannot_be_is_not_delivered(topic: str) -> None:
    node = known()
    assert node.receive_event(message(topic=topic)) == []
    assert node.session.delivery.dropped == 1


def test_a_registration_refused_with_congestion_is_repeated_later() -> None:
    node = Harness(retry_s=10).connected().subscribed("news/+")
    node.receive_event(message())
    assert node.receive(RegAck(1, 1, CONGESTION)) == []
    assert node.wait() == [Register("news/x", 1, 1)]
    assert node.now == 1010
    assert node.receive(RegAck(1, 1)) == [Publish(1, b"1", 1, 1)]


def test_topics_of_a_returning_durable_client_are_registered_again() -> None:
    node = Harness().connected(DURABLE).subscribed("news/x")
    node.receive(Disconnect(), DURABLE)
    node.receive_event(MqttConnected(session_present=True))
    assert node.receive_event(message()) == [Register("news/x", 1, 1)]


# A client that knows no REGISTER, as RIOT's emcute


def test_after_one_unanswered_register_such_messages_are_dropped_at_once() -> None:
    node = Harness(retry_s=10, retries_max=5).connected().subscribed("known").subscribed("news/+")
    assert node.receive_event(message(topic="news/x"), message(b"k", topic="known")) == [
        Register("news/x", 1, 2)
    ]
    assert [node.wait() for _ in range(5)] == [[Register("news/x", 1, 2)]] * 5
    assert node.wait() == [Publish(1, b"k", 1, 2)]
    assert node.now == 1060
    assert node.receive(PubAck(1, 2)) == []
    for number, topic in enumerate(("news/x", "news/y", "news/z")):
        assert node.receive_event(message(topic=topic)) == []
        # The others pass, and at once.
        published = Publish(1, b"k", 1, 3 + number)
        assert node.receive_event(message(b"k", topic="known")) == [published]
        assert node.receive(PubAck(1, 3 + number)) == []
    assert node.session.delivery.dropped == 4
    assert len(node.session.delivery) == 0


def test_deadlines_of_commands_do_not_keep_a_client_that_knows_no_register_blocked() -> None:
    """Each command is given up before its REGISTER is exhausted; together they exhaust it."""
    node = Harness(retry_s=10, retries_max=2, predefined={})
    node.deadline_s = 15.0
    node.connected().subscribed("known").subscribed("news/+")
    for number in range(2):
        assert node.receive_event(message(topic=f"news/{number}")) != []
        node.now += 10
        assert node.session.handle_timer(now=node.now) != []
        node.now += 5
        assert node.session.handle_timer(now=node.now) == []
    assert node.receive_event(message(topic="news/2"), message(b"k", topic="known")) == [
        Publish(1, b"k", 1, 3)
    ]


def test_a_late_regack_ends_the_dropping() -> None:
    node = Harness(retry_s=10, retries_max=0).connected().subscribed("news/+")
    node.receive_event(message())
    node.wait()
    assert node.receive_event(message()) == []
    assert node.receive(RegAck(1, 1)) == []
    assert node.receive_event(message()) == [Publish(1, b"1", 1, 2)]
    assert node.receive(PubAck(1, 2)) == []
    # It is known to answer: a further topic is registered at once.
    assert node.receive_event(message(topic="news/y")) == [Register("news/y", 3, 2)]


def test_a_client_without_register_gets_one_from_time_to_time() -> None:
    node = Harness(retry_s=10, retries_max=0).connected().subscribed("news/+")
    node.receive_event(message())
    node.wait()
    node.now += REGISTER_AGAIN_S
    assert node.receive_event(message()) == [Register("news/x", 2, 1)]
    assert node.receive_event(message()) == []  # nothing waits, and once a minute is enough
    assert node.session.delivery.get_timer() is None
    assert node.receive(RegAck(1, 2)) == []
    assert node.receive_event(message()) == [Publish(1, b"1", 1, 3)]


def test_a_client_that_connects_again_is_sent_register_again() -> None:
    node = Harness(retry_s=10, retries_max=0).connected().subscribed("news/+")
    node.receive_event(message())
    node.wait()
    node.now += 5
    node.connected().subscribed("news/+")
    assert node.receive_event(message()) == [Register("news/x", 2, 1)]


def test_a_client_that_answered_register_before_loses_only_one_message() -> None:
    node = Harness(retry_s=10, retries_max=0).connected().subscribed("news/+")
    node.receive_event(message())
    node.receive(RegAck(1, 1), PubAck(1, 1))
    node.receive_event(message(topic="news/y"))
    assert node.wait() == []
    assert node.receive_event(message(topic="news/z")) == [Register("news/z", 3, 3)]


def test_a_sleeping_client_that_knows_no_register_gets_the_others_the_next_time_it_wakes() -> None:
    node = Harness(retry_s=5, retries_max=1).connected().subscribed("known").subscribed("news/+")
    node.asleep()
    node.receive_event(message(topic="news/x"), message(b"k", topic="known"))
    assert node.receive(WAKE) == [Register("news/x", 1, 2)]
    assert [len(node.wait()) for _ in range(2)] == [1, 0]
    assert node.state_is(State.ASLEEP)
    assert node.receive(WAKE) == [Publish(1, b"k", 1, 2)]
    assert node.receive(PubAck(1, 2)) == [Register("news/x", 3, 2)]
    assert [node.wait() for _ in range(2)] == [[Register("news/x", 3, 2)], [PingResp()]]
    assert node.state_is(State.ASLEEP)
    node.receive_event(message(topic="news/x"), message(b"k", topic="known"))
    assert node.receive(WAKE) == [Publish(1, b"k", 1, 4)]


# Deadlines


def test_nothing_is_sent_to_a_sleeping_client_after_its_deadline() -> None:
    node = known()
    node.deadline_s = 1.0
    node.asleep()
    node.receive_event(message(b"late", qos=0), message(b"late"))
    node.deadline_s = 60.0
    node.receive_event(message(b"good"))
    node.now += 4
    assert node.receive(WAKE) == [Publish(1, b"good", 1, 1)]
    assert node.receive(PubAck(1, 1)) == [PingResp()]
    assert node.session.delivery.dropped == 2


def test_a_message_whose_deadline_is_over_waits_for_nothing_and_holds_up_nothing() -> None:
    node = known(retry_s=10)
    node.deadline_s = 3.0
    assert node.receive_event(message(b"a")) == [Publish(1, b"a", 1, 1)]
    node.receive_event(message(b"b"))
    node.deadline_s = 60.0
    node.receive_event(message(b"c"))
    assert node.wait() == [Publish(1, b"c", 1, 2)]
    assert node.now == 1003
    assert node.session.delivery.dropped == 2


def test_a_registration_that_comes_after_the_deadline_sends_nothing() -> None:
    node = Harness().connected().subscribed("news/+")
    node.deadline_s = 1.0
    node.receive_event(message())
    node.now += 1
    assert node.receive(RegAck(1, 1)) == []
    assert len(node.session.delivery) == 0


def test_a_message_of_qos_2_that_was_received_is_released_after_its_deadline() -> None:
    node = known(retry_s=10)
    node.deadline_s = 3.0
    node.receive_event(message(qos=2))
    assert node.receive(PubRec(1)) == [PubRel(1)]
    assert node.wait() == [PubRel(1)]
    assert node.now == 1010


# Bytes


def test_messages_for_all_clients_are_limited_in_bytes() -> None:
    budget = Budget(3 * (ENTRY_BYTES + 6 + 100))
    node = Harness(account=Account(budget)).connected().subscribed("news/x")
    node.asleep()
    node.receive_event(*(message(b"%d" % number + b"x" * 99) for number in range(5)))
    assert len(node.session.delivery) == 3
    assert node.session.delivery.dropped == 2
    assert [payload[:1] for payload in payloads(node)] == [b"2", b"3", b"4"]
    assert budget.used == 0
