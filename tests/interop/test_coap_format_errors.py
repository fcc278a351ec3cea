# SPDX-License-Identifier: BSD-3-Clause
"""Malformed CoAP messages and invalid options, and the answers to them."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from tests.attacks.running import until
from tests.coap_device import Reply
from tests.running import Scene, scene

pytestmark = pytest.mark.sockets

CON, NON, ACK, RST = MessageType
QUIET_S = 0.15
# Each is Confirmable; what follows the first byte of a Non-confirmable one is the same.
FORMAT_ERRORS = {
    "token of nine bytes": "4902 1234 313233343536373839 b5616c697665 ff 616c6976653a78",
    "token of fifteen bytes": "4f02 1234 313233343536373839303132333435 b5616c697665 ff 78",
    "payload marker without payload": "4202 1234 746b b5616c697665 ff",
    "option that is cut off": "4202 1234 746b b5616c69",
    "option head that is cut off": "4202 1234 746b bd",
    "token that is cut off": "4802 1234 746b",
    "delta of fifteen": "4202 1234 746b b5616c697665 f0 00",
    "length of fifteen": "4202 1234 746b bf616c697665",
    "class 1": "4220 1234 746b b5616c697665 ff 616c6976653a78",
    "class 6": "42c2 1234 746b b5616c697665 ff 616c6976653a78",
    "class 7": "42e1 1234 746b",
    "empty message with a token": "4200 1234 746b",
    "empty message with a payload": "4000 1234 ff78",
}


@contextlib.contextmanager
def unknown_peer(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setblocking(False)
        opened.connect(("127.0.0.1", port))
        yield opened


async def answers(it: Scene, *datagrams: bytes) -> list[bytes]:
    """All that comes back for these, in order; a ping that is answered ends them."""
    loop = asyncio.get_running_loop()
    with unknown_peer(it.running.coap_port) as opened:
        for datagram in (*datagrams, bytes.fromhex("4000ffff")):
            opened.send(datagram)
        found = []
        while (answer := await loop.sock_recv(opened, 2048)) != bytes.fromhex("7000ffff"):
            found.append(answer)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                found.append(await loop.sock_recv(opened, 2048))
        return found


def post(*options: tuple[int, bytes | str | int], mtype: MessageType = CON) -> bytes:
    return CoapMessage(mtype, Code.POST, 0x1234, b"tk", build_options(*options), b"x:3").to_bytes()


@pytest.mark.parametrize("text", FORMAT_ERRORS.values(), ids=FORMAT_ERRORS.keys())
async def test_message_format_error_is_reset_if_confirmable_and_leaves_nothing(text: str) -> None:
    confirmable = bytes.fromhex(text)
    others = [bytes((confirmable[0] | mtype << 4,)) + confirmable[1:] for mtype in (NON, ACK, RST)]
    async with scene() as it:
        assert await answers(it, confirmable) == [bytes.fromhex("70001234")]
        assert await answers(it, *others) == []
        await it.device.post("alive", "alive:A")
        await it.client.shows("A")
        assert list(it.client.nodes) == ["A"]


PATH = (OptionNumber.URI_PATH, "server")
BAD_OPTIONS = {
    "Accept twice": (PATH, (OptionNumber.ACCEPT, 0), (OptionNumber.ACCEPT, 0)),
    "Accept of three bytes": (PATH, (OptionNumber.ACCEPT, b"\0\0\1")),
    "Uri-Host twice": ((OptionNumber.URI_HOST, "a"), (OptionNumber.URI_HOST, "a"), PATH),
    "Uri-Host of no byte": ((OptionNumber.URI_HOST, ""), PATH),
    "Uri-Port of three bytes": ((OptionNumber.URI_PORT, b"\0\0\1"), PATH),
    "Block1 twice": (PATH, (OptionNumber.BLOCK1, 0), (OptionNumber.BLOCK1, 0)),
    "If-None-Match": ((OptionNumber.IF_NONE_MATCH, b""), PATH),
    "unknown": (PATH, (2053, b"x")),
}


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
async def test_bad_critical_option_is_answered_4_02_if_confirmable_and_does_not_count(
    options: tuple[tuple[int, bytes | str | int], ...],
) -> None:
    async with scene() as it:
        await it.device.post("alive", "alive:A")
        (answer,) = map(CoapMessage.from_bytes, await answers(it, post(*options)))
        assert (answer.mtype, answer.code, answer.token) == (ACK, Code.BAD_OPTION, b"tk")
        assert await answers(it, post(*options, mtype=NON)) == []
        await it.client.shows("A")
        assert "x" not in it.client.nodes["A"]


@pytest.mark.parametrize("path", ["/server", "server/", "/alive", "server/x"])
async def test_path_with_another_segment_is_another_path(path: str) -> None:
    options = [(OptionNumber.URI_PATH, segment) for segment in path.split("/")]
    async with scene() as it:
        (answer,) = map(CoapMessage.from_bytes, await answers(it, post(*options)))
        assert answer.code == Code.NOT_FOUND


@pytest.mark.parametrize("confirmable", [True, False])
@pytest.mark.parametrize(
    ("code", "path", "classes"),
    [
        (Code.GET, ".well-known/core", 2),
        (Code.GET, "rd-lookup/ep", 2),
        (Code.GET, "nothing", 8),
        (Code.GET, "server", 8),
        (Code.POST, "rd", 8),
        (Code.POST, "server", 8 | 16),
        (Code.POST, "alive", 8),
    ],
)
async def test_answer_that_is_not_wanted_is_not_sent(
    code: Code, path: str, classes: int, *, confirmable: bool
) -> None:
    mtype = CON if confirmable else NON
    options = build_options(
        *((OptionNumber.URI_PATH, segment) for segment in path.split("/")),
        (OptionNumber.NO_RESPONSE, classes),
    )
    requested = CoapMessage(mtype, code, 0x1234, b"tk", options, b"x" if code == Code.POST else b"")
    large = CoapMessage(mtype, code, 0x1235, b"tl", options, b"x" * 1100)
    async with scene() as it:
        found = await answers(it, requested.to_bytes())
        assert found == ([bytes.fromhex("60001234")] if confirmable else [])
        if classes & 8:
            found = await answers(it, large.to_bytes())
            assert found == ([bytes.fromhex("60001235")] if confirmable else [])


async def test_copy_of_a_separate_answer_is_acknowledged_again_and_another_is_reset() -> None:
    async with scene() as it:
        device = it.device
        device.has({"led": Reply(payload=b"0", separate=True)})
        await device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        (requested,) = await device.requests_for(Code.GET, "led")
        first = [number for mtype, number in device.empty_messages if mtype is ACK]
        assert len(first) == 1
        copy = next(
            answer
            for (origin, _), answer in device._answered.items()
            if origin == requested.origin
            and answer
            and CoapMessage.from_bytes(answer).payload == b"0"
        )
        device.server.transport.sendto(copy, requested.origin)
        await until(lambda: len(device.empty_messages) == 2)
        assert device.empty_messages[-1] == (ACK, first[0])
        other = bytearray(copy)
        other[4] ^= 0xFF
        device.server.transport.sendto(bytes(other), requested.origin)
        await until(lambda: len(device.empty_messages) == 3)
        assert device.empty_messages[-1] == (RST, first[0])


@pytest.mark.parametrize("copies_token", [True, False])
async def test_malformed_answer_leaves_the_request_waiting(*, copies_token: bool) -> None:
    async with scene() as it:
        device = it.device
        device.has({"led": "0"})
        device.holds_answers = True
        await device.post("alive", "alive:A")
        await until(lambda: bool(device._held))
        at, request, gateway = device._held[0]
        message_id = request.message_id.to_bytes(2, "big")
        if copies_token:
            # A Confirmable response that ends in a payload marker.
            head = bytes((0x40 | len(request.token), Code.CONTENT))
            at.transport.sendto(head + message_id + request.token + b"\xff", gateway)
        else:
            # An empty acknowledgement with a payload, then a ping, which is answered after it.
            at.transport.sendto(b"\x60\0" + message_id + b"\xffx", gateway)
            at.transport.sendto(b"\x40\0" + message_id, gateway)
        assert await device.reply_to(request.message_id) is RST
        device.release()
        await it.client.shows("A", led="0")
