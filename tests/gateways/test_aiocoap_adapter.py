# SPDX-License-Identifier: BSD-3-Clause
"""aiocoap without a socket: what it leaves behind when it ends."""

import asyncio
import gc
import socket

import aiocoap

from pyaiot.gateways.coap.aiocoap_adapter import StrictSite, open_aiocoap
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.transport.peers import Peer

_LOCAL = socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1") + bytes(4)
PEER = Peer(("::ffff:127.0.0.1", 40_000, 0, 0), _LOCAL)


class Sent:
    """The messages that aiocoap sent."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def send_message(self, message: aiocoap.Message) -> None:
        self.codes.append(int(message.code))


def get(message_id: int) -> bytes:
    path = build_options((OptionNumber.URI_PATH, "x"))
    return CoapMessage(MessageType.CON, Code.GET, message_id, b"t", path).to_bytes()


async def test_request_is_answered() -> None:
    context, transport = await open_aiocoap(StrictSite(), asyncio.get_running_loop(), 5683)
    transport.sender = sent = Sent()
    transport.receive_datagram(get(1), PEER)
    while not sent.codes:  # noqa: ASYNC110 - aiocoap has no event for it
        await asyncio.sleep(0)
    assert sent.codes == [Code.NOT_FOUND]
    await context.shutdown()


async def test_request_that_nobody_has_begun_to_answer_ends_without_a_warning() -> None:
    """A gateway that is ended during a flood printed one for each such request."""
    context, transport = await open_aiocoap(StrictSite(), asyncio.get_running_loop(), 5683)
    transport.sender = Sent()
    before = asyncio.all_tasks()
    for message_id in range(3):
        transport.receive_datagram(get(message_id), PEER)
    answering = asyncio.all_tasks() - before
    assert answering
    for task in answering:
        task.cancel()
    await asyncio.gather(*answering, return_exceptions=True)
    await context.shutdown()
    gc.collect()  # an error of this test, not of a later one
