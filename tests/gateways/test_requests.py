# SPDX-License-Identifier: BSD-3-Clause
"""Requests to nodes over a wire in memory, on a clock that jumps."""

import asyncio
import gc
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from pyaiot.gateways.coap import requests as requests_module
from pyaiot.gateways.coap.requests import (
    CONFIRMABLE_RESPONSES_S,
    READ_YIELDS_AFTER_S,
    Requests,
    ResetReceived,
    UnprotectedResponse,
)
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import EXCHANGE_LIFETIME_S, Code, MessageType, OptionNumber
from pyaiot.transport.peers import Peer

COMMANDS = 2000
LATENCY_S = 0.02

Answer = Callable[[CoapMessage], list[CoapMessage]]


def piggybacked(request: CoapMessage) -> list[CoapMessage]:
    return [CoapMessage(MessageType.ACK, Code.CHANGED, request.message_id, request.token)]


def silent(_request: CoapMessage) -> list[CoapMessage]:
    return []


class Wire:
    """Nodes that answer after a moment; loses a share of the datagrams in either direction."""

    def __init__(self, answer: Answer = piggybacked, *, loss: float = 0.0) -> None:
        self.loop = asyncio.get_running_loop()
        self.answer = answer
        self.requests = Requests(self, self.loop)
        self.sent: list[tuple[float, CoapMessage, Peer]] = []
        self.replies: list[bytes | None] = []
        self.proofs: list[Peer] = []
        self._loss = loss
        self._random = random.Random(20)

    def send_to(self, datagram: bytes, peer: Peer) -> None:
        message = CoapMessage.from_bytes(datagram)
        self.sent.append((self.loop.time(), message, peer))
        if not self._is_lost():
            for answer in self.answer(message):
                if not self._is_lost():
                    self.loop.call_later(LATENCY_S, self.deliver, answer, peer)

    def verify(self, peer: Peer) -> None:
        self.proofs.append(peer)

    def deliver(self, message: CoapMessage, peer: Peer) -> None:
        self.replies.append(self.receive(message, peer))

    def receive(self, message: CoapMessage, peer: Peer) -> bytes | None:
        """The answer, b"" for none, or None: it belongs to no request."""
        if message.code == Code.EMPTY:
            return b"" if self.requests.receive_empty(message, peer) else None
        return self.requests.receive_response(message, peer)

    def _is_lost(self) -> bool:
        return self._random.random() < self._loss

    async def put(self, peer: Peer, *, timeout_s: float = 5.0) -> CoapMessage:
        return await self.requests.put(peer, "/led", b"1", self.loop.time() + timeout_s)


def node(number: int = 1, port: int = 5683) -> Peer:
    host = f"fd00::{number:x}"
    return Peer((host, port, 0, 0))


async def test_at_most_one_command_of_twenty_times_out_where_every_fifth_datagram_is_lost() -> None:
    wire = Wire(loss=0.2)
    work = [wire.put(node(number)) for number in range(COMMANDS)]
    results = await asyncio.gather(*work, return_exceptions=True)
    timeouts = sum(isinstance(result, TimeoutError) for result in results)
    assert sum(isinstance(result, CoapMessage) for result in results) == COMMANDS - timeouts
    assert timeouts / COMMANDS <= 0.03


@pytest.mark.parametrize("timeout_s", [0.1, 1.0, 5.0, 60.0])
async def test_no_datagram_leaves_after_the_deadline(timeout_s: float) -> None:
    wire = Wire(silent)
    began_at = wire.loop.time()
    with pytest.raises(TimeoutError):
        await wire.put(node(), timeout_s=timeout_s)
    assert wire.loop.time() == pytest.approx(began_at + timeout_s)
    await asyncio.sleep(300)
    assert len(wire.sent) >= 2
    assert all(at < began_at + timeout_s for at, _, _ in wire.sent)


async def test_command_that_waits_behind_another_past_its_deadline_is_never_sent() -> None:
    wire = Wire(silent)
    first = asyncio.create_task(wire.put(node(), timeout_s=5.0))
    await asyncio.sleep(0)
    began_at = wire.loop.time()
    with pytest.raises(TimeoutError):
        await wire.requests.put(node(), "/other", b"2", began_at + 1.0)
    assert wire.loop.time() == pytest.approx(began_at + 1.0)
    with pytest.raises(TimeoutError):
        await first
    await asyncio.sleep(300)
    assert {message.uri_path for _, message, _ in wire.sent} == {("led",)}


@pytest.mark.parametrize("size", [1, 3000])
async def test_command_states_that_its_payload_is_text(size: int) -> None:
    """Some nodes answer 4.06 to a PUT without Content-Format."""

    def accepts(request: CoapMessage) -> list[CoapMessage]:
        block = request.option(OptionNumber.BLOCK1)
        options = () if block is None else ((int(OptionNumber.BLOCK1), block),)
        more = block is not None and block[-1] & 8
        code = Code.CONTINUE if more else Code.CHANGED
        return [CoapMessage(MessageType.ACK, code, request.message_id, request.token, options)]

    wire = Wire(accepts)
    deadline = wire.loop.time() + 30.0
    answer = await wire.requests.put(node(), "/led", b"x" * size, deadline)
    assert answer.code == Code.CHANGED
    formats = {message.option(OptionNumber.CONTENT_FORMAT) for _, message, _ in wire.sent}
    assert formats == {b""}  # 0: text/plain;charset=utf-8


async def test_command_does_not_wait_for_an_unanswered_read() -> None:
    def writes_only(request: CoapMessage) -> list[CoapMessage]:
        return piggybacked(request) if request.code == Code.PUT else []

    wire = Wire(writes_only)
    began_at = wire.loop.time()
    reads = [
        asyncio.create_task(wire.requests.get(node(), f"/{name}", began_at + 5.0))
        for name in ("one", "two")
    ]
    await asyncio.sleep(0)
    assert (await wire.put(node())).code == Code.CHANGED
    assert wire.loop.time() < began_at + 2 * READ_YIELDS_AFTER_S + 0.1
    results = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(result) for result in results] == [TimeoutError, TimeoutError]


async def test_commands_do_not_end_each_other() -> None:
    wire = Wire(silent)
    commands = [asyncio.create_task(wire.put(node(), timeout_s=8.0)) for _ in range(2)]
    await asyncio.sleep(5)
    assert not any(command.done() for command in commands)
    await asyncio.gather(*commands, return_exceptions=True)


async def test_message_ids_of_each_node_begin_at_random_and_go_up_by_one() -> None:
    wire = Wire()
    for number in range(200):
        for _ in range(3):
            await wire.put(node(number))
    starts = []
    for number in range(200):
        peer = node(number)
        ids = [message.message_id for _, message, receiver in wire.sent if receiver == peer]
        steps = [(later - earlier) % 0x8000 for earlier, later in pairwise(ids)]
        assert steps == [1, 1]
        starts.append(ids[0])
    assert len(set(starts)) > 190
    assert max(starts) - min(starts) > 0x7000
    assert min(starts) >= 0x8000  # those below are of answers


async def test_tokens_are_random_and_of_32_bits() -> None:
    wire = Wire()
    for _ in range(100):
        await wire.put(node())
    tokens = {message.token for _, message, _ in wire.sent}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {4}


async def test_message_ids_of_an_idle_node_are_forgotten_once_none_may_be_in_use() -> None:
    wire = Wire()
    await wire.put(node())
    await asyncio.sleep(EXCHANGE_LIFETIME_S - 1)
    assert len(wire.requests._message_ids) == 1
    await asyncio.sleep(EXCHANGE_LIFETIME_S + 1)
    assert len(wire.requests._message_ids) == 0


async def test_reset_is_an_error_of_its_own_and_comes_at_once() -> None:
    wire = Wire(lambda it: [CoapMessage(MessageType.RST, Code.EMPTY, it.message_id)])
    began_at = wire.loop.time()
    with pytest.raises(ResetReceived):
        await wire.put(node())
    assert wire.loop.time() == pytest.approx(began_at + LATENCY_S)
    assert wire.proofs == []  # a message ID is guessed sooner than a token


async def test_what_another_address_sends_ends_nothing() -> None:
    wire = Wire(silent)
    command = asyncio.create_task(wire.put(node(1)))
    await asyncio.sleep(0.1)
    _, request, _ = wire.sent[0]
    for other in (node(2), node(1, port=5684)):
        for answer in (
            *piggybacked(request),
            CoapMessage(MessageType.RST, Code.EMPTY, request.message_id),
        ):
            assert wire.receive(answer, other) is None
    with pytest.raises(TimeoutError):
        await command


async def test_answer_of_a_reserved_class_is_no_answer() -> None:
    wire = Wire(lambda it: [CoapMessage(MessageType.ACK, 0x65, it.message_id, it.token)])
    with pytest.raises(TimeoutError):
        await wire.put(node())


async def test_icmp_error_ends_only_the_request_that_it_quotes() -> None:
    wire = Wire(silent)
    command = asyncio.create_task(wire.put(node()))
    await asyncio.sleep(0.1)
    datagram = wire.sent[0][1].to_bytes()
    refused = ConnectionRefusedError(111, "Connection refused")
    for forged in (b"", datagram[:4], b"\x44\x03\0\0abcd", datagram[:4] + b"????"):
        wire.requests.receive_error(refused, node(), forged)
    await asyncio.sleep(0.1)
    assert not command.done()
    wire.requests.receive_error(refused, node(2), datagram)
    wire.requests.receive_error(refused, node(), datagram)
    with pytest.raises(ConnectionRefusedError):
        await command


async def test_icmp_error_for_a_request_that_is_cancelled_just_then_is_not_logged() -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    wire = Wire(silent)
    command = asyncio.create_task(wire.put(node()))
    await asyncio.sleep(0.1)
    command.cancel()
    refused = ConnectionRefusedError(111, "Connection refused")
    wire.requests.receive_error(refused, node(), wire.sent[0][1].to_bytes())
    with pytest.raises(asyncio.CancelledError):
        await command
    del command, wire
    gc.collect()
    await asyncio.sleep(0)
    assert problems == []


async def test_copy_of_a_confirmable_answer_is_acknowledged_for_a_minute() -> None:
    answer = CoapMessage(MessageType.CON, Code.CHANGED, 7, b"")
    wire = Wire(lambda it: [CoapMessage(MessageType.CON, Code.CHANGED, 7, it.token)])
    await wire.put(node())
    assert wire.replies == [b"\x60\0\0\x07"]
    copy = CoapMessage(MessageType.CON, Code.CHANGED, 7, wire.sent[0][1].token)
    assert wire.receive(copy, node()) == b"\x60\0\0\x07"
    assert wire.receive(copy, node(2)) is None
    assert wire.receive(answer, node()) is None
    await asyncio.sleep(CONFIRMABLE_RESPONSES_S)
    assert wire.receive(copy, node()) is None


async def test_answers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_module, "CONFIRMABLE_RESPONSES_MAX", 10)
    wire = Wire(lambda it: [CoapMessage(MessageType.CON, Code.CHANGED, 7, it.token)])
    for _ in range(20):
        await wire.put(node())
    tokens = [message.token for _, message, _ in wire.sent]
    assert [token for token, _ in wire.requests._answered] == tokens[10:]


async def test_answer_in_the_acknowledgement_is_not_remembered() -> None:
    wire = Wire()
    await wire.put(node())
    assert not wire.requests._answered
    copy = CoapMessage(MessageType.ACK, Code.CHANGED, wire.sent[0][1].message_id, b"copy")
    assert wire.receive(copy, node()) is None


async def test_nothing_is_left_of_a_request_that_is_over() -> None:
    wire = Wire(loss=0.5)
    work = [wire.put(node(number % 7)) for number in range(50)]
    await asyncio.gather(*work, return_exceptions=True)
    it = wire.requests
    assert [it._locks, it._users, it._current, it._by_token, it._by_message] == [{}] * 5


async def test_request_is_repeated_with_the_echo_value_of_the_node() -> None:
    """RFC 9175 section 2.3: a node that has rebooted may ask for proof that a request is new."""

    def challenging(request: CoapMessage) -> list[CoapMessage]:
        echo = request.option(OptionNumber.ECHO)
        if echo == b"proof":
            return piggybacked(request)
        options = build_options((OptionNumber.ECHO, b"proof"))
        message_id, token = request.message_id, request.token
        return [CoapMessage(MessageType.ACK, Code.UNAUTHORIZED, message_id, token, options)]

    wire = Wire(challenging)
    assert (await wire.put(node())).code == Code.CHANGED
    first, second = (message for _, message, _ in wire.sent)
    assert first.message_id != second.message_id
    assert first.payload == second.payload == b"1"


async def test_request_is_repeated_only_once_for_an_echo_value() -> None:
    def challenging(request: CoapMessage) -> list[CoapMessage]:
        options = build_options((OptionNumber.ECHO, b"proof"))
        message_id, token = request.message_id, request.token
        return [CoapMessage(MessageType.ACK, Code.UNAUTHORIZED, message_id, token, options)]

    wire = Wire(challenging)
    assert (await wire.put(node())).code == Code.UNAUTHORIZED
    assert len(wire.sent) == 2


async def test_unprotected_answer_ends_a_protected_request_without_an_answer() -> None:
    wire = Wire(silent)
    peer = node().secured("lamp", "oscore")

    async def answer() -> None:
        await asyncio.sleep(LATENCY_S)
        ((_, sent, _),) = wire.sent
        wire.requests.receive_unprotected(b"other", peer, Code.UNAUTHORIZED)
        wire.requests.receive_unprotected(sent.token, node(), Code.UNAUTHORIZED)
        wire.requests.receive_unprotected(sent.token, peer, Code.UNAUTHORIZED)

    answering = asyncio.create_task(answer())
    with pytest.raises(UnprotectedResponse, match="without OSCORE"):
        await wire.put(peer)
    await answering


async def test_notification_beside_the_answer_to_its_registration_is_left_to_the_observation() -> (
    None
):
    """Both may be read in one turn of the event loop, before the request has ended."""
    wire = Wire(silent)
    token = b"\xa7seven b"
    work = wire.requests.observe(node(), "/t", token, wire.loop.time() + 5.0)
    task = asyncio.create_task(work)
    await asyncio.sleep(LATENCY_S)  # it is sent
    _, request, _ = wire.sent[0]

    def value(mtype: MessageType, message_id: int, number: int) -> CoapMessage:
        options = build_options((OptionNumber.OBSERVE, number))
        return CoapMessage(mtype, Code.CONTENT, message_id, token, options)

    answer = value(MessageType.ACK, request.message_id, 10)
    assert wire.receive(answer, node()) == b""
    assert wire.receive(value(MessageType.CON, 77, 11), node()) is None
    assert await task == answer
