# SPDX-License-Identifier: BSD-3-Clause
"""Datagrams to a DTLS server, before, during and after a handshake: each input is a script.

Two bytes before each piece are its kind and its length.
"""

from pyaiot.transport.dtls.connection import DtlsConnection
from pyaiot.transport.dtls.events import Plaintext
from pyaiot.transport.dtls.psk_context import PskContext
from pyaiot.transport.dtls.server import DtlsServer
from pyaiot.transport.peers import Peer

_KEY = b"0123456789abcdef"
_SERVER_CONTEXT = PskContext.for_server({"lamp": _KEY}.get)
_CLIENT_CONTEXT = PskContext.for_client("lamp", _KEY)
_RECORD = b"\x16\xfe\xfd" + bytes(7)
CORPUS: list[bytes] = [
    b"\x00\x10" + b"\x17\xfe\xfd\0\x01" + bytes(7) + b"\x03abc",
    b"\x01\x0f" + b"\x15\xfe\xfd" + bytes(8) + b"\0\x02\x02\x28",
    b"\x02\x00\x03\x0e" + b"\x14\xfe\xfd" + bytes(8) + b"\0\x01\x01" + b"\x04\x20",
    b"\x02\x00\x03\x20" + _RECORD + b"\x05\0\x12\x10\0\0\x06\0\x02\0\0\0\0\0\x06\0\x04lamp",
    b"",
]


class _Client:
    def __init__(self, server: DtlsServer, port: int) -> None:
        self._server = server
        self.peer = Peer(("::1", port, 0, 0))
        self.connection = DtlsConnection.connect(_CLIENT_CONTEXT, now=0.0)

    def step(self) -> None:
        """Carry datagrams once in each direction."""
        for datagram in self.connection.datagrams_to_send():
            self._server.receive_datagram(datagram, self.peer, now=0.0)
        for datagram, peer in self._server.datagrams_to_send():
            if peer.remote == self.peer.remote:
                self.connection.receive_datagram(datagram)


def fuzz_one(data: bytes) -> None:
    """No datagram of another sender ends a session or is delivered, and no state remains."""
    server = DtlsServer(_SERVER_CONTEXT, secret=bytes(32), handshakes_max=4)
    honest = _Client(server, 1)
    for _ in range(4):
        honest.step()
    other = _Client(server, 2)
    now = 0.0
    while len(data) > 1:
        kind, length = data[0] % 5, data[1]
        piece, data = data[2 : 2 + length], data[2 + length :]
        match kind:
            case 0:
                server.receive_datagram(piece, Peer(("::1", 3, 0, 0)), now=now)
            case 1:
                server.receive_datagram(piece, honest.peer, now=now)
            case 2:
                other.step()
            case 3:
                server.receive_datagram(piece, other.peer, now=now)
            case _:
                now += length / 8
                server.handle_timer(now=now)
        assert server.handshakes <= 4
        server.datagrams_to_send()
    events = []
    server.receive_datagram(honest.connection.encrypt(b"still here"), honest.peer, now=now)
    while (event := server.next_event()) is not None:
        events.append(event)
    received = [event.data for event in events if isinstance(event, Plaintext)]
    assert received == [b"still here"]
    server.handle_timer(now=now + 100.0)
    assert server.handshakes == 0
