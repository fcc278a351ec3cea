# SPDX-License-Identifier: BSD-3-Clause
"""The virtual CoAP node without its socket: answers, refusals and timeouts."""

import random
from typing import Any

import pytest

from pyaiot.fleet.coap import ANNOUNCE_PERIOD_S, ANSWER_LIMIT_S, VirtualCoapNode
from pyaiot.fleet.ledger import ReadingSeries, Tally
from pyaiot.fleet.node import TRIES_MAX, WAITING_MAX
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber


class Gateway:
    """A scripted gateway with a clock that the test sets."""

    def __init__(self, *, confirmable: bool = True) -> None:
        self.tally = Tally("CoAP")
        self.series = ReadingSeries(self.tally)
        self.node = VirtualCoapNode("a", self.series, confirmable=confirmable, rng=random.Random(1))
        self.now = 1000.0
        self.node.boot(now=self.now)

    def posts(self) -> list[CoapMessage]:
        """The posts that the node sends now."""
        self.node.handle_timer(now=self.now)
        sent = self.node.datagrams_to_send()
        return [CoapMessage.from_bytes(data) for data in sent]

    def answer(self, post: CoapMessage, code: int = Code.CHANGED, **its: Any) -> None:
        con = post.mtype == MessageType.CON
        message = CoapMessage(
            MessageType.ACK if con else MessageType.NON,
            code,
            post.message_id if con else post.message_id ^ 0x5555,
            post.token,
            **its,
        )
        self.node.receive_datagram(message.to_bytes(), now=self.now)

    def accepted(self) -> "Gateway":
        for post in self.posts():
            self.answer(post)
        assert self.node.is_connected
        return self

    def reading(self) -> CoapMessage:
        self.node.read(now=self.now)
        (post,) = self.posts()
        return post


def test_node_announces_itself_until_it_is_accepted() -> None:
    gateway = Gateway(confirmable=False)
    texts = []
    for _ in range(5):
        texts += [post.payload.decode() for post in gateway.posts()]
        gateway.now += ANNOUNCE_PERIOD_S
    assert texts == ["reset:a", *5 * ["alive:a"]]
    gateway.node.read(now=gateway.now)
    assert (gateway.tally.sent, gateway.tally.skipped) == (0, 1)
    gateway.answer(gateway.posts()[0])
    assert gateway.node.is_connected
    assert gateway.tally.connections == 1


@pytest.mark.parametrize("confirmable", [True, False])
def test_reading_is_a_number_that_counts_when_it_is_acknowledged(confirmable: bool) -> None:
    gateway = Gateway(confirmable=confirmable).accepted()
    for number in (1, 2, 3):
        post = gateway.reading()
        assert post.payload == f"reading:{number}".encode()
        assert (post.mtype == MessageType.CON) == confirmable
        gateway.answer(post)
        gateway.answer(post)
        assert gateway.tally.acknowledged == number


def test_reading_of_a_forgotten_node_is_sent_again_after_an_announcement() -> None:
    gateway = Gateway().accepted()
    gateway.answer(gateway.reading(), Code.SERVICE_UNAVAILABLE)
    assert not gateway.node.is_connected
    (alive,) = gateway.posts()
    assert alive.payload == b"alive:a"
    gateway.answer(alive)
    gateway.now = gateway.node.get_timer()
    (again,) = gateway.posts()
    assert again.payload == b"reading:1"
    gateway.answer(again)
    assert gateway.tally.acknowledged == 1
    assert gateway.tally.refusals == {"5.03 Service Unavailable": 1}
    assert gateway.tally.connections == 2


def test_rate_limited_reading_waits_for_max_age() -> None:
    gateway = Gateway().accepted()
    options = build_options((OptionNumber.MAX_AGE, 3))
    gateway.answer(gateway.reading(), Code.TOO_MANY_REQUESTS, options=options)
    gateway.now += 2.9
    assert gateway.posts() == []
    gateway.now += 0.1
    assert [post.payload for post in gateway.posts()] == [b"reading:1"]


def test_reading_that_is_always_refused_is_given_up() -> None:
    gateway = Gateway().accepted()
    gateway.answer(gateway.reading(), Code.TOO_MANY_REQUESTS)
    tries = 1
    while gateway.tally.refusals.total() == tries < 100:
        gateway.now += 5.0
        posts = [post for post in gateway.posts() if post.payload.startswith(b"reading")]
        if not posts:
            break
        gateway.answer(posts[0], Code.TOO_MANY_REQUESTS)
        tries += 1
    assert tries == TRIES_MAX
    assert gateway.tally.acknowledged == 0
    assert gateway.node.waiting == {}
    assert gateway.series.is_settled


def test_permanently_refused_reading_is_not_retried() -> None:
    gateway = Gateway().accepted()
    gateway.answer(gateway.reading(), Code.FORBIDDEN)
    gateway.now += 5.0
    assert gateway.posts() == []
    assert gateway.tally.refusals == {"4.03 Forbidden": 1}


def test_confirmable_reading_is_retransmitted_until_it_is_answered() -> None:
    gateway = Gateway().accepted()
    post = gateway.reading()
    gateway.now += 3.0
    assert gateway.posts() == [post]
    gateway.answer(post)
    assert gateway.tally.acknowledged == 1


def test_unanswered_confirmable_reading_is_given_up() -> None:
    gateway = Gateway().accepted()
    gateway.reading()
    for _ in range(120):
        gateway.now += 1.0
        gateway.posts()
    assert gateway.node.waiting == {}
    assert gateway.series.verdicts() == (0, 0)


def test_unanswered_non_confirmable_reading_is_not_acknowledged() -> None:
    gateway = Gateway(confirmable=False).accepted()
    post = gateway.reading()
    gateway.now += ANSWER_LIMIT_S
    gateway.posts()
    assert gateway.node.waiting == {}
    gateway.answer(post)
    assert gateway.tally.acknowledged == 0


def test_unanswered_readings_are_bounded() -> None:
    gateway = Gateway().accepted()
    for _ in range(100):
        gateway.node.read(now=gateway.now)
    assert gateway.tally.sent == WAITING_MAX
    assert gateway.tally.skipped == 100 - WAITING_MAX
    assert len(gateway.posts()) == WAITING_MAX


def test_led_is_switched_and_its_value_posted() -> None:
    gateway = Gateway().accepted()
    options = build_options((OptionNumber.URI_PATH, "led"))
    request = CoapMessage(MessageType.CON, Code.PUT, 7, b"x", options, b"1")
    gateway.node.receive_datagram(request.to_bytes(), now=gateway.now)
    reply, post = gateway.posts()
    assert (reply.mtype, reply.code, reply.payload) == (MessageType.ACK, Code.CHANGED, b"led:1")
    assert post.payload == b"led:1"


def test_discovery_does_not_list_the_counted_resource() -> None:
    gateway = Gateway().accepted()
    options = build_options((OptionNumber.URI_PATH, ".well-known"), (OptionNumber.URI_PATH, "core"))
    request = CoapMessage(MessageType.CON, Code.GET, 7, b"x", options)
    gateway.node.receive_datagram(request.to_bytes(), now=gateway.now)
    assert gateway.posts()[0].payload == b"</led>,</name>"


def test_separate_response_is_acknowledged_and_an_unknown_one_reset() -> None:
    gateway = Gateway().accepted()
    post = gateway.reading()
    for token, mtype in ((post.token, MessageType.ACK), (b"strange", MessageType.RST)):
        answer = CoapMessage(MessageType.CON, Code.CHANGED, 99, token)
        gateway.node.receive_datagram(answer.to_bytes(), now=gateway.now)
        assert gateway.posts() == [CoapMessage(mtype, Code.EMPTY, 99)]
    assert gateway.tally.acknowledged == 1


def test_invalid_messages_are_dropped() -> None:
    gateway = Gateway().accepted()
    for data in (b"", b"\x40", b"\xff" * 9):
        gateway.node.receive_datagram(data, now=gateway.now)
    assert gateway.posts() == []
