# SPDX-License-Identifier: BSD-3-Clause
"""The datagram endpoint on loopback sockets."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Iterator, Sequence

import pytest

from pyaiot.transport import udp
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.peers import Peer
from pyaiot.transport.udp import (
    DATAGRAMS_AT_ONCE,
    DATAGRAMS_PER_TURN,
    TURN_LIMIT_S,
    DatagramEndpoint,
    udp_socket,
)

pytestmark = pytest.mark.sockets
LIMIT_S = 5.0


class Received:
    """Collects the datagrams of an endpoint, by turn of the event loop."""

    def __init__(self, expected: int) -> None:
        self.turns: list[list[tuple[bytes, Peer]]] = []
        self.all: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._expected = expected

    def __call__(self, datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        self.turns.append(list(datagrams))
        if sum(map(len, self.turns)) >= self._expected and not self.all.done():
            self.all.set_result(None)

    @property
    def peers(self) -> list[Peer]:
        return [peer for turn in self.turns for _, peer in turn]


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.settimeout(LIMIT_S)
        yield opened


def opened(limits: HostLimits | None = None) -> DatagramEndpoint:
    sock = udp_socket("127.0.0.1", 0, "", protocol="test", flag="--port")
    return DatagramEndpoint(sock, asyncio.get_running_loop(), protocol="test", limits=limits)


async def test_datagrams_come_together_and_in_order(client: socket.socket) -> None:
    endpoint = opened()
    count = 2 * DATAGRAMS_AT_ONCE + 2
    for number in range(count):
        client.sendto(bytes([number]), ("127.0.0.1", endpoint.port))
    received = Received(count)
    endpoint.listen(received)
    await asyncio.wait_for(received.all, LIMIT_S)
    endpoint.close()
    assert [len(turn) for turn in received.turns] == [DATAGRAMS_AT_ONCE, DATAGRAMS_AT_ONCE, 2]
    assert [data for turn in received.turns for data, _ in turn] == [
        bytes([number]) for number in range(count)
    ]


@pytest.mark.parametrize(
    ("work_s", "at_most"), [(0.0, DATAGRAMS_PER_TURN), (TURN_LIMIT_S, DATAGRAMS_AT_ONCE)]
)
async def test_datagrams_of_a_turn_are_bounded_in_number_and_in_time(
    client: socket.socket, work_s: float, at_most: int
) -> None:
    endpoint = opened()
    count = DATAGRAMS_PER_TURN + 10
    for number in range(count):
        client.sendto(bytes([number]), ("127.0.0.1", endpoint.port))
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    in_turn: list[int] = []
    is_new_turn = True

    def receive(datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        nonlocal is_new_turn
        if is_new_turn:
            in_turn.append(0)
            is_new_turn = False
            loop.call_soon(next_turn)
        in_turn[-1] += len(datagrams)
        time.sleep(work_s)
        if sum(in_turn) == count and not done.done():
            done.set_result(None)

    def next_turn() -> None:
        nonlocal is_new_turn
        is_new_turn = True

    endpoint.listen(receive)
    await asyncio.wait_for(done, LIMIT_S)
    endpoint.close()
    assert max(in_turn) <= at_most


async def test_a_peer_is_parsed_once_and_answered_from_the_address_that_it_sent_to(
    client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = opened()
    received = Received(4)
    endpoint.listen(received)
    for host in ("127.0.0.1", "127.0.0.1", "127.0.0.2"):
        client.sendto(b"x", (host, endpoint.port))
    monkeypatch.setattr(udp, "PEERS_MAX", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"x", ("127.0.0.1", endpoint.port))
        await asyncio.wait_for(received.all, LIMIT_S)
    first, same, elsewhere, _ = received.peers
    assert first is same
    assert first == elsewhere
    if endpoint.is_wildcard:
        assert elsewhere.local is not None
        assert ipaddress.IPv6Address(elsewhere.local[:16]).ipv4_mapped == ipaddress.IPv4Address(
            "127.0.0.2"
        )
    endpoint.send(b"answer", elsewhere)
    assert client.recvfrom(10) == (b"answer", ("127.0.0.2", endpoint.port))
    endpoint.close()


async def test_unverified_host_gets_three_times_its_bytes(client: socket.socket) -> None:
    rate = HostRateLimit(Rate(1.0, 1.0), Rate(1.0, 1.0))
    limits = HostLimits(rate)
    endpoint = opened(limits)
    received = Received(1)
    endpoint.listen(received)
    client.sendto(b"12", ("127.0.0.1", endpoint.port))
    await asyncio.wait_for(received.all, LIMIT_S)
    (peer,) = received.peers
    endpoint.send_all([(b"1234567", peer), (b"123456", peer), (b"1", peer)])
    assert client.recv(10) == b"123456"
    assert limits.held_back == 2
    endpoint.send_unlimited(b"12345", peer)
    limits.verify(peer.host)
    endpoint.send(b"12345678", peer)
    assert [client.recv(10) for _ in range(2)] == [b"12345", b"12345678"]
    endpoint.close()
