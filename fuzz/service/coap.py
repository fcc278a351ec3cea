# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP listeners: plain, DTLS and OSCORE, with and without the key of a device."""

import random
import select
import struct
import time
from itertools import count
from typing import Final

import msgspec

from fuzz.service.listener import Listener, corpus, on, targets
from fuzz.service.sockets import ANSWER_LIMIT_S, HONEST_HOST, HOST, Datagrams, udp
from fuzz.service.system import System
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import OptionNumber
from pyaiot.protocols.oscore.context import RequestIds, SecurityContext
from pyaiot.protocols.oscore.ids import GATEWAY_ID, device_id
from pyaiot.protocols.oscore.messages import protect_request, read_protected, unprotect_response
from pyaiot.protocols.oscore.option import OscoreOption, encode_partial_iv
from pyaiot.transport.dtls.connection import DtlsConnection
from pyaiot.transport.dtls.psk_context import PskContext

PLAINTEXT_MAX: Final = 1200
"""Longest input inside a session, in bytes."""
DAMAGED_SHARE: Final = 0.2
"""Share of the protected inputs in which a byte is changed after protection."""
COMBINED_SHARE: Final = 0.3
"""Share of the messages of EDHOC that precede an OSCORE message."""
ALIVE: Final = b"\xb5alive\x10\xffalive:"
"""Path, content format and the start of the payload."""
_numbers = count(1)
"""Sequence numbers of the honest device. A number is never reused with the same key."""


class Session:
    """A DTLS session with the gateway, and its socket."""

    def __init__(self, system: System, uid: str, source: str = HOST) -> None:
        """Raises `TimeoutError` if there is no session within `ANSWER_LIMIT_S`."""
        self.udp = udp(system.ports["coaps"], source)
        self._context = PskContext.for_client(uid, system.secrets[uid])
        self.dtls = DtlsConnection.connect(self._context, now=time.monotonic())
        until = time.monotonic() + ANSWER_LIMIT_S
        self._transmit()
        while not self.dtls.is_established:
            if time.monotonic() > until or self.dtls.failure is not None:
                self.udp.close()
                raise TimeoutError(f"no session: {self.dtls.failure}")
            if select.select([self.udp], [], [], 0.05)[0]:
                self.dtls.receive_datagram(self.udp.recv(65536))
            self.dtls.handle_timer(now=time.monotonic())
            self._transmit()

    def receive(self) -> bytes:
        """The next plaintext. Raises `TimeoutError`."""
        while True:
            for plaintext in self.dtls.receive_datagram(self.udp.recv(65536)):
                return plaintext

    def close(self) -> None:
        self.dtls.close()
        self._transmit()
        self.udp.close()

    def _transmit(self) -> None:
        for datagram in self.dtls.datagrams_to_send():
            self.udp.send(datagram)


class InSession:
    """Each input is a plaintext in the session of a device. A session that ends is replaced."""

    def __init__(self, system: System, seed: int) -> None:
        self._system = system
        self._chance = random.Random(seed)
        self._session: Session | None = None

    def send(self, data: bytes) -> None:
        if self._session is None:
            self._session = Session(self._system, "secured-coap")
        session = self._session
        record = session.dtls.encrypt(data[:PLAINTEXT_MAX] or b"\0")
        session.udp.send(damaged(record, self._chance))
        while select.select([session.udp], [], [], 0)[0]:
            session.dtls.receive_datagram(session.udp.recv(65536))
        if session.dtls.failure is not None:
            self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


class Protected:
    """Each input is the plaintext of an OSCORE request of a device."""

    def __init__(self, system: System, seed: int) -> None:
        self._udp = udp(system.ports["coap"])
        self._chance = random.Random(seed)
        self._context = context_of(system, "secured-oscore")
        self._number = 0

    def send(self, data: bytes) -> None:
        self._number += 1
        number, context = self._number, self._context
        ids = RequestIds(context.sender_id, encode_partial_iv(number))
        option = OscoreOption(ids.partial_iv, ids.kid).to_bytes()
        head = struct.pack("!BBHH", self._chance.choice((0x42, 0x52)), 2, number & 0xFFFF, number)
        options = b"".join(
            bytes((0x90 | len(value),)) + value
            for _, value in build_options((OptionNumber.OSCORE, option))
        )
        ciphertext = context.encrypt(data[:PLAINTEXT_MAX], context.sender_nonce(number), ids)
        self._udp.send(damaged(head + options + b"\xff" + ciphertext, self._chance))
        while select.select([self._udp], [], [], 0)[0]:
            self._udp.recv(65536)

    def close(self) -> None:
        self._udp.close()


class Handshakes:
    """Each input is a message of EDHOC, alone or in front of an OSCORE message."""

    def __init__(self, system: System, seed: int) -> None:
        self._udp = udp(system.ports["coap"])
        self._chance = random.Random(seed)
        self._number = 0

    def send(self, data: bytes) -> None:
        self._number += 1
        head = struct.pack("!BBHH", 0x42, 2, self._number & 0xFFFF, self._number & 0xFFFF)
        if self._chance.random() < COMBINED_SHARE:
            option = OscoreOption(b"\x00", self._chance.randbytes(3)).to_bytes()
            options = build_options((OptionNumber.OSCORE, option), (OptionNumber.EDHOC, b""))
        else:
            options = build_options(
                (OptionNumber.URI_PATH, ".well-known"), (OptionNumber.URI_PATH, "edhoc")
            )
        message = CoapMessage.from_bytes(head)
        datagram = msgspec.structs.replace(message, options=options, payload=data[:PLAINTEXT_MAX])
        self._udp.send(datagram.to_bytes())
        while select.select([self._udp], [], [], 0)[0]:
            self._udp.recv(65536)

    def close(self) -> None:
        self._udp.close()


def damaged(datagram: bytes, chance: random.Random) -> bytes:
    """The datagram, or a copy with one changed byte."""
    if chance.random() >= DAMAGED_SHARE:
        return datagram
    at = chance.randrange(len(datagram))
    return datagram[:at] + bytes((datagram[at] ^ 1 << chance.randrange(8),)) + datagram[at + 1 :]


def context_of(system: System, uid: str) -> SecurityContext:
    return SecurityContext(system.secrets[uid], sender_id=device_id(uid), recipient_id=GATEWAY_ID)


def plaintexts() -> list[bytes]:
    """Code, options and payload of CoAP requests."""
    return [
        data[1:2] + data[4 + (data[0] & 0x0F) :]
        for data in corpus("coap_message", "coap_request")
        if len(data) > 4
    ]


# -- valid requests -------------------------------------------------------------------------------


def good_coap(port: int) -> None:
    with udp(port, HONEST_HOST) as node:
        number = random.randrange(1 << 16)
        head = struct.pack("!BBH", 0x40, 2, number)
        node.send(head + ALIVE + b"honest-coap")
        while node.recv(2048)[:4] != struct.pack("!BBH", 0x60, 0x44, number):
            continue


def good_hello(port: int) -> None:
    """A ClientHello without a cookie gets a HelloVerifyRequest (RFC 6347 section 4.2.1)."""
    with udp(port, HONEST_HOST) as device:
        device.send(targets()["dtls_client_hello"].corpus[0])
        answer = device.recv(2048)
        assert answer[:1] == b"\x16"
        assert answer[13:14] == b"\x03"


def good_session(system: System) -> None:
    """A complete handshake, and a post in the session."""
    session = Session(system, "honest-dtls", HONEST_HOST)
    try:
        head = struct.pack("!BBH", 0x40, 2, 1)
        session.udp.send(session.dtls.encrypt(head + ALIVE + b"honest-dtls"))
        while session.receive()[:4] != struct.pack("!BBH", 0x60, 0x44, 1):
            continue
    finally:
        session.close()


def good_protected(system: System) -> None:
    number = next(_numbers)
    context = context_of(system, "honest-oscore")
    plain = struct.pack("!BBHH", 0x42, 2, number, number) + ALIVE + b"honest-oscore"
    datagram, ids = protect_request(context, plain, number)
    with udp(system.ports["coap"], HONEST_HOST) as device:
        device.send(datagram)
        while True:
            answer = device.recv(2048)
            if answer[4:6] == plain[4:6]:
                break
    assert unprotect_response(context, read_protected(answer), ids)[1] == 0x44


COAP: Final = Listener(
    "coap",
    corpus("coap_message", "coap_post", "coap_request", "coap_intake", "oscore_messages"),
    lambda it, _: Datagrams(it.ports["coap"]),
    on(good_coap, "coap"),
)
COAPS: Final = Listener(
    "coaps",
    corpus("dtls_client_hello", "dtls_records"),
    lambda it, _: Datagrams(it.ports["coaps"]),
    on(good_hello, "coaps"),
)
DTLS: Final = Listener(
    "dtls", corpus("coap_message", "coap_post", "coap_request"), InSession, good_session
)
OSCORE: Final = Listener("oscore", plaintexts(), Protected, good_protected)
EDHOC: Final = Listener(
    "edhoc", corpus("edhoc_messages", "coap_edhoc"), Handshakes, on(good_coap, "coap")
)
