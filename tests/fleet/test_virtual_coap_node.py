# SPDX-License-Identifier: BSD-3-Clause
"""The virtual CoAP node without its socket: what it does with each answer, and with none."""

import random
from typing import Any

import pytest

from pyaiot.fleet.coap import ALIVE_AGAIN_S, ANSWER_LIMIT_S, VirtualCoapNode
from pyaiot.fleet.ledger import Account, Series
from pyaiot.fleet.node import TRIES_MAX, WAITING_MAX
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber


class Gateway:
    """A gateway that the test plays, on a clock that the test moves."""

    def __init__(self, *, confirmable: bool = True) -> None:
        self.account = Account("CoAP")
        self.series = Series(self.account)
        self.node = VirtualCoapNode("a", self.series, confirmable=confirmable, rng=random.Random(1))
        self.now = 1000.0
        self.node.boot(now=self.now)

    def posts(self) -> list[CoapMessage]:
        """What the node sends now."""
        sent = self.node.datagrams_to_send(now=self.now)
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

    def taken_in(self) -> "Gateway":
        for post in self.posts():
            self.answer(post)
        assert self.node.is_connected
        return self

    def reading(self) -> CoapMessage:
        self.node.read(now=self.now)
        (post,) = self.posts()
        return post


def test_node_says_who_it_is_until_it_is_taken_in() -> None:
    gateway = Gateway(confirmable=False)
    texts = []
    for _ in range(5):
        texts += [post.payload.decode() for post in gateway.posts()]
        gateway.now += ALIVE_AGAIN_S
    assert texts == ["reset:a", *5 * ["alive:a"]]
    gateway.node.read(now=gateway.now)
    assert (gateway.account.sent, gateway.account.skipped) == (0, 1)
    gateway.answer(gateway.posts()[0])
    assert gateway.node.is_connected
    assert gateway.account.connections == 1


@pytest.mark.parametrize("confirmable", [True, False])
def test_reading_is_a_number_that_counts_when_it_is_acknowledged(confirmable: bool) -> None:
    gateway = Gateway(confirmable=confirmable).taken_in()
    for number in (1, 2, 3):
        post = gateway.reading()
        assert post.payload == f"reading:{number}".encode()
        assert (post.mtype == MessageType.CON) == confirmable
        gateway.answer(post)
        gateway.answer(post)
        assert gateway.account.acknowledged == number


def test_reading_of_a_node_that_is_not_known_any_more_comes_again_after_who_it_is() -> None:
    gateway = Gateway().taken_in()
    gateway.answer(gateway.reading(), Code.SERVICE_UNAVAILABLE)
    assert not gateway.node.is_connected
    (alive,) = gateway.posts()
    assert alive.payload == b"alive:a"
    gateway.answer(alive)
    gateway.now = gateway.node.next_wake
    (again,) = gateway.posts()
    assert again.payload == b"reading:1"
    gateway.answer(again)
    assert gateway.account.acknowledged == 1
    assert gateway.account.refusals == {"5.03 Service Unavailable": 1}
    assert gateway.account.connections == 2


def test_reading_that_is_too_fast_waits_as_long_as_it_is_told() -> None:
    gateway = Gateway().taken_in()
    options = build_options((OptionNumber.MAX_AGE, 3))
    gateway.answer(gateway.reading(), Code.TOO_MANY_REQUESTS, options=options)
    gateway.now += 2.9
    assert gateway.posts() == []
    gateway.now += 0.1
    assert [post.payload for post in gateway.posts()] == [b"reading:1"]


def test_reading_that_is_always_refused_is_given_up() -> None:
    gateway = Gateway().taken_in()
    gateway.answer(gateway.reading(), Code.TOO_MANY_REQUESTS)
    tries = 1
    while gateway.account.refusals.total() == tries < 100:
        gateway.now += 5.0
        posts = [post for post in gateway.posts() if post.payload.startswith(b"reading")]
        if not posts:
            break
        gateway.answer(posts[0], Code.TOO_MANY_REQUESTS)
        tries += 1
    assert tries == TRIES_MAX
    assert gateway.account.acknowledged == 0
    assert gateway.node.waiting == {}
    assert gateway.series.is_settled


def test_reading_that_is_wrong_is_not_tried_again() -> None:
    gateway = Gateway().taken_in()
    gateway.answer(gateway.reading(), Code.FORBIDDEN)
    gateway.now += 5.0
    assert gateway.posts() == []
    assert gateway.account.refusals == {"4.03 Forbidden": 1}


def test_confirmable_reading_is_repeated_as_it_was_until_it_is_answered() -> None:
    gateway = Gateway().taken_in()
    post = gateway.reading()
    gateway.now += 3.0
    assert gateway.posts() == [post]
    gateway.answer(post)
    assert gateway.account.acknowledged == 1


def test_confirmable_reading_that_nobody_answers_is_given_up_in_the_end() -> None:
    gateway = Gateway().taken_in()
    gateway.reading()
    for _ in range(120):
        gateway.now += 1.0
        gateway.posts()
    assert gateway.node.waiting == {}
    assert gateway.series.verdicts() == (0, 0)


def test_other_reading_without_an_answer_is_not_acknowledged() -> None:
    gateway = Gateway(confirmable=False).taken_in()
    post = gateway.reading()
    gateway.now += ANSWER_LIMIT_S
    gateway.posts()
    assert gateway.node.waiting == {}
    gateway.answer(post)
    assert gateway.account.acknowledged == 0


def test_readings_without_an_answer_are_bounded() -> None:
    gateway = Gateway().taken_in()
    for _ in range(100):
        gateway.node.read(now=gateway.now)
    assert gateway.account.sent == WAITING_MAX
    assert gateway.account.skipped == 100 - WAITING_MAX
    assert len(gateway.posts()) == WAITING_MAX


def test_led_is_switched_and_its_value_posted() -> None:
    gateway = Gateway().taken_in()
    options = build_options((OptionNumber.URI_PATH, "led"))
    request = CoapMessage(MessageType.CON, Code.PUT, 7, b"x", options, b"1")
    gateway.node.receive_datagram(request.to_bytes(), now=gateway.now)
    reply, post = gateway.posts()
    assert (reply.mtype, reply.code, reply.payload) == (MessageType.ACK, Code.CHANGED, b"led:1")
    assert post.payload == b"led:1"


def test_what_is_read_at_discovery_holds_no_counted_reading() -> None:
    gateway = Gateway().taken_in()
    options = build_options((OptionNumber.URI_PATH, ".well-known"), (OptionNumber.URI_PATH, "core"))
    request = CoapMessage(MessageType.CON, Code.GET, 7, b"x", options)
    gateway.node.receive_datagram(request.to_bytes(), now=gateway.now)
    assert gateway.posts()[0].payload == b"</led>,</name>"


def test_separate_response_is_acknowledged_and_a_strange_one_reset() -> None:
    gateway = Gateway().taken_in()
    post = gateway.reading()
    for token, mtype in ((post.token, MessageType.ACK), (b"strange", MessageType.RST)):
        answer = CoapMessage(MessageType.CON, Code.CHANGED, 99, token)
        gateway.node.receive_datagram(answer.to_bytes(), now=gateway.now)
        assert gateway.posts() == [CoapMessage(mtype, Code.EMPTY, 99)]
    assert gateway.account.acknowledged == 1


def test_what_is_no_message_is_dropped() -> None:
    gateway = Gateway().taken_in()
    for data in (b"", b"\x40", b"\xff" * 9):
        gateway.node.receive_datagram(data, now=gateway.now)
    assert gateway.posts() == []
