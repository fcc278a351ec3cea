# SPDX-License-Identifier: BSD-3-Clause
"""One Confirmable request: when it is sent, and what ends it."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.protocols.coap.exchange import (
    COMMAND_ACK_TIMEOUT_MIN_S,
    COMMAND_TRANSMISSIONS,
    LAST_RESPONSE_S,
    READ_ACK_TIMEOUT_MIN_S,
    Exchange,
    Spacing,
    command_spacing,
    read_spacing,
)
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import ACK_RANDOM_FACTOR, Code, MessageType

REQUEST = CoapMessage(MessageType.CON, Code.PUT, 0x8001, b"abcd", payload=b"1")
LIMITS = st.floats(0.01, 60.0)


def exchange(limit_s: float = 5.0, spacing: Spacing | None = None) -> Exchange:
    return Exchange(
        REQUEST,
        spacing or command_spacing(limit_s),
        deadline=limit_s,
        now=0.0,
        random=Random(1),
    )


def transmissions(it: Exchange, limit_s: float) -> list[float]:
    """When each leaves, if nothing comes back."""
    times, now = [], 0.0
    while now < limit_s:
        times += [now for _ in it.datagrams_to_send(now=now)]
        now = it.get_timer()
    assert it.datagrams_to_send(now=now) == []
    return times


def reply(mtype: MessageType, code: int = Code.CHANGED, message_id: int = 7) -> CoapMessage:
    token = b"" if code == Code.EMPTY else REQUEST.token
    return CoapMessage(mtype, code, message_id, token)


def test_command_of_five_seconds_is_sent_four_times_before_its_deadline() -> None:
    for seed in range(100):
        it = Exchange(REQUEST, command_spacing(5.0), deadline=5.0, now=0.0, random=Random(seed))
        times = transmissions(it, 5.0)
        assert len(times) == COMMAND_TRANSMISSIONS
        assert times[-1] <= 5.0 - LAST_RESPONSE_S


def test_each_wait_is_twice_the_one_before_it() -> None:
    times = transmissions(exchange(60.0), 60.0)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == 5  # RFC 7252 section 4.8, MAX_RETRANSMIT
    assert 2.0 <= waits[0] <= 3.0
    assert waits[1:] == pytest.approx([2 * wait for wait in waits[:-1]])


@given(LIMITS)
def test_last_transmission_fits_before_the_deadline(limit_s: float) -> None:
    for spacing in (read_spacing(limit_s), command_spacing(limit_s)):
        last_s = spacing.ack_timeout_s * ((1 << spacing.retransmissions) - 1) * ACK_RANDOM_FACTOR
        assert last_s <= limit_s - min(LAST_RESPONSE_S, limit_s / 10) + 1e-9
        assert spacing.retransmissions >= 1


@given(LIMITS)
def test_more_than_one_retransmission_waits_at_least_the_shortest_timeout(limit_s: float) -> None:
    for spacing, shortest_s in (
        (read_spacing(limit_s), READ_ACK_TIMEOUT_MIN_S),
        (command_spacing(limit_s), COMMAND_ACK_TIMEOUT_MIN_S),
    ):
        assert spacing.retransmissions == 1 or spacing.ack_timeout_s >= shortest_s


def test_nothing_is_sent_at_the_deadline_or_after_it_however_late_the_timer_is() -> None:
    for now in (5.0, 5.1, 1000.0):
        it = exchange(5.0)
        it.datagrams_to_send(now=0.0)
        assert it.datagrams_to_send(now=now) == []
        assert it.get_timer() == 5.0
    assert exchange(0.0, Spacing(1.0, 1)).datagrams_to_send(now=0.0) == []


@pytest.mark.parametrize("mtype", [MessageType.ACK, MessageType.CON, MessageType.NON])
def test_answer_in_any_message_ends_the_retransmission(mtype: MessageType) -> None:
    it = exchange()
    it.datagrams_to_send(now=0.0)
    answer = reply(mtype)
    acknowledged = it.receive_message(answer)
    assert it.response is answer
    assert transmissions(it, 5.0) == []
    assert (acknowledged is not None) == (mtype is MessageType.CON)
    if acknowledged is not None:
        assert acknowledged.to_bytes() == b"\x60\0\0\x07"


def test_acknowledgement_ends_the_retransmission_and_the_answer_is_still_awaited() -> None:
    it = exchange()
    it.datagrams_to_send(now=0.0)
    assert it.receive_message(reply(MessageType.ACK, Code.EMPTY, REQUEST.message_id)) is None
    assert (it.response, it.is_reset) == (None, False)
    assert transmissions(it, 5.0) == []
    assert it.get_timer() == 5.0


def test_reset_ends_the_retransmission() -> None:
    it = exchange()
    it.datagrams_to_send(now=0.0)
    assert it.receive_message(reply(MessageType.RST, Code.EMPTY, REQUEST.message_id)) is None
    assert it.is_reset
    assert transmissions(it, 5.0) == []


def test_second_answer_does_not_replace_the_first_and_is_acknowledged_too() -> None:
    it = exchange()
    first = reply(MessageType.CON)
    it.receive_message(first)
    again = it.receive_message(reply(MessageType.CON, Code.FORBIDDEN, 8))
    assert it.response is first
    assert again is not None
    assert again.message_id == 8


def test_every_transmission_is_the_same_datagram() -> None:
    it = exchange()
    sent = it.datagrams_to_send(now=0.0) + it.datagrams_to_send(now=it.get_timer())
    assert sent == [REQUEST.to_bytes()] * 2
    assert it.transmissions == 2
