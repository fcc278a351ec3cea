# SPDX-License-Identifier: BSD-3-Clause
"""The device's side of OSCORE, against the layer of the gateway."""

import itertools

from pyaiot.gateways.coap.oscore.contexts import OscoreContexts
from pyaiot.gateways.coap.oscore.layer import OscoreLayer
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from pyaiot.protocols.oscore.client import EXCHANGES_MAX, OscoreClient
from pyaiot.transport.peers import Peer
from tests.gateways.oscore_device import NumbersInMemory, credential, device_context
from tests.gateways.test_coap_intake import CON, HERE, request

LAMP = HERE.secured("lamp", "oscore")
POST = request("server", "led:1", 7, mtype=CON)
CHANGED = bytes((0x61, Code.CHANGED, 0, 7)) + b"t"
GET = CoapMessage(CON, Code.GET, 0x8001, b"k" * 4, build_options((11, "led"))).to_bytes()


class Pair:
    """A device and the layer of its gateway."""

    def __init__(self, *, lost: bool = False) -> None:
        contexts = OscoreContexts(NumbersInMemory(lost=lost))
        contexts.add(credential("lamp"))
        self.layer = OscoreLayer(contexts)
        self.reboot(0)

    def reboot(self, number: int) -> None:
        numbers = itertools.count(number)
        self.device = OscoreClient(device_context(credential("lamp")), lambda: next(numbers))

    def from_device(self, *datagrams: bytes) -> list[tuple[bytes, Peer]]:
        """What the gateway gets; its own answers go to the device."""
        for datagram in datagrams:
            self.device.send(datagram)
        found = []
        while sent := self.device.datagrams_to_send():
            for datagram in sent:
                received = self.layer.receive_datagram(datagram, HERE, now=0.0)
                found += [] if received is None else [received]
                for answer, _ in self.layer.datagrams_to_send():
                    self.to_device(answer)
        return found

    def to_device(self, datagram: bytes) -> list[bytes]:
        return list(self.device.receive_datagram(datagram))

    def protect(self, datagram: bytes) -> bytes:
        protected = self.layer.protect(datagram, LAMP)
        assert protected is not None
        return protected


def answered(request_bytes: bytes) -> bytes:
    message = CoapMessage.from_bytes(request_bytes)
    return CoapMessage(
        MessageType.ACK, Code.CONTENT, message.message_id, message.token, (), b"1"
    ).to_bytes()


def known() -> Pair:
    """Both have proved to each other that their requests are new."""
    pair = Pair()
    assert pair.from_device(POST) == [(POST, LAMP)]
    assert pair.to_device(pair.protect(GET)) == []
    (challenge,) = pair.from_device()
    echo = CoapMessage.from_bytes(challenge[0]).option(OptionNumber.ECHO)
    assert echo is not None
    repeated = CoapMessage(
        CON, Code.GET, 0x8002, b"m" * 4, build_options((11, "led"), (OptionNumber.ECHO, echo))
    ).to_bytes()
    assert pair.to_device(pair.protect(repeated)) == [repeated]
    assert pair.from_device(answered(repeated)) == [(answered(repeated), LAMP)]
    return pair


def test_post_and_its_answer() -> None:
    pair = Pair()
    assert pair.from_device(POST) == [(POST, LAMP)]
    assert pair.to_device(pair.protect(CHANGED)) == [CHANGED]
    assert pair.from_device(POST) == []  # a retransmission is the same datagram


def test_first_request_of_the_gateway_after_a_boot_must_be_proved_new() -> None:
    pair = known()
    assert pair.to_device(pair.protect(GET[:3] + b"\x09" + GET[4:])) != []
    pair.reboot(1000)
    assert pair.to_device(pair.protect(GET[:3] + b"\x0a" + GET[4:])) == []


def test_request_that_is_repeated_reaches_the_server_again() -> None:
    pair = known()
    request_bytes = GET[:3] + b"\x09" + GET[4:]
    protected = pair.protect(request_bytes)
    for _ in range(2):
        assert pair.to_device(protected) == [request_bytes]
        assert pair.from_device(answered(request_bytes))[-1:] != [None]


def test_gateway_that_lost_its_window_gets_the_post_again_with_its_echo_value() -> None:
    pair = Pair(lost=True)
    ((inner, peer),) = pair.from_device(POST)
    assert peer == LAMP
    repeated = CoapMessage.from_bytes(inner)
    assert repeated.payload == b"led:1"
    assert repeated.message_id != 7
    assert repeated.option(OptionNumber.ECHO) is not None


def test_unprotected_requests_are_refused_and_empty_messages_are_not() -> None:
    pair = Pair()
    assert pair.to_device(GET) == []
    ((refusal, _),) = pair.from_device()
    assert CoapMessage.from_bytes(refusal).code == Code.UNAUTHORIZED
    assert pair.to_device(b"\x60\x00\x00\x07") == [b"\x60\x00\x00\x07"]
    assert pair.from_device(b"\x60\x00\x00\x07") == [(b"\x60\x00\x00\x07", HERE)]


def test_replayed_and_foreign_messages_are_ignored() -> None:
    pair = known()
    captured = pair.protect(GET[:3] + b"\x09" + GET[4:])
    pair.to_device(captured)
    for number in range(EXCHANGES_MAX):
        token = number.to_bytes(4, "big")
        message = CoapMessage(CON, Code.GET, number, token, build_options((11, "led"))).to_bytes()
        assert pair.to_device(pair.protect(message)) == [message]
    assert pair.to_device(captured) == []
    for nonsense in (captured[:-1] + b"?", captured[:9], b"", CHANGED[:1] + b"\x44\x00\x07t\x90"):
        assert pair.to_device(nonsense) in ([], [nonsense])
    assert len(pair.device._received) == EXCHANGES_MAX


def test_notifications_have_numbers_of_their_own() -> None:
    pair = known()
    observe = CoapMessage(
        CON, Code.GET, 0x8100, b"o" * 8, build_options((6, 0), (11, "led"))
    ).to_bytes()
    assert pair.to_device(pair.protect(observe)) == [observe]
    values = []
    for number, payload in enumerate((b"0", b"1", b"2")):
        options = build_options((6, number))
        notification = CoapMessage(
            MessageType.NON, Code.CONTENT, number, b"o" * 8, options, payload
        )
        ((inner, peer),) = pair.from_device(notification.to_bytes())
        assert peer == LAMP
        values.append(CoapMessage.from_bytes(inner).payload)
    assert values == [b"0", b"1", b"2"]
