# SPDX-License-Identifier: BSD-3-Clause
"""A series of datagrams from two peers to the OSCORE layer, with a request in flight."""

from collections.abc import Sequence

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.gateways.coap.oscore.contexts import OscoreContexts
from pyaiot.gateways.coap.oscore.device import ContextNumbers
from pyaiot.gateways.coap.oscore.layer import OscoreLayer
from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.oscore.context import RequestIds, SecurityContext
from pyaiot.protocols.oscore.ids import GATEWAY_ID, device_id
from pyaiot.protocols.oscore.messages import protect_request, protect_response
from pyaiot.protocols.oscore.numbers import ReplayWindow, SequenceNumbers
from pyaiot.transport.peers import Peer

LAMP = DeviceCredential("lamp", "oscore", bytes(16), 0.0)
DEVICE = SecurityContext(bytes(16), sender_id=device_id("lamp"), recipient_id=GATEWAY_ID)
POST = bytes.fromhex("42020001abcdb6") + b"server\xfft:1"
GET = bytes.fromhex("44018001aabbccdd60516c")
"""With Observe."""
IDS = RequestIds(GATEWAY_ID, b"\x00")
PEERS = (Peer(("::ffff:10.0.0.1", 5683, 0, 0)), Peer(("fe80::1%2", 49152, 0, 2)))


def row(*datagrams: bytes) -> bytes:
    """Each datagram follows its length, whose lowest bit also selects the peer."""
    return b"".join(bytes((len(datagram),)) + datagram for datagram in datagrams)


CORPUS: list[bytes] = [
    row(*(protect_request(DEVICE, POST, number)[0] for number in (1, 2, 2))),
    row(protect_response(DEVICE, bytes.fromhex("64450001aabbccdd60ff31"), IDS)),
    row(protect_response(DEVICE, bytes.fromhex("54450001aabbccdd60ff31"), IDS, 7)),
    row(bytes.fromhex("64810001aabbccdd"), bytes.fromhex("60008001"), POST),
    b"",
]


class Numbers:
    """A store that has lost nothing."""

    def take_all(self, credentials: Sequence[DeviceCredential]) -> list[ContextNumbers]:
        taken = [ContextNumbers(SequenceNumbers(), ReplayWindow()) for _ in credentials]
        for numbers in taken:
            numbers.numbers.add(0, 1000)
        return taken

    def reserve(self, _credential: DeviceCredential, numbers: SequenceNumbers) -> None:
        numbers.add(1000, 2000)


def fuzz_one(data: bytes) -> None:
    contexts = OscoreContexts(Numbers())
    contexts.add(LAMP)
    layer = OscoreLayer(contexts)
    for peer in PEERS:
        layer.protect(GET, peer.secured("lamp", "oscore"))
    now = 0.0
    while data:
        peer = PEERS[data[0] & 1]
        datagram, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        now += 0.5
        found = layer.receive_datagram(datagram, peer, now=now)
        answers = layer.datagrams_to_send()
        assert sum(len(answer) for answer, _ in answers) <= max(
            60, AMPLIFICATION_MAX * len(datagram)
        )
        assert all(to is peer for _, to in answers)
        if found is not None:
            inner, sender = found
            assert sender.remote == peer.remote
            assert sender.address.uid in ("", "lamp")
            if inner is not datagram:
                assert sender.address.uid == "lamp"
        layer.receive_error(peer, datagram)
        while layer.next_unprotected() is not None:
            pass
