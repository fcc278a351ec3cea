# SPDX-License-Identifier: BSD-3-Clause
"""The datagram endpoint on loopback sockets."""

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import Iterator, Sequence

import pytest

from pyaiot.transport import udp
from pyaiot.transport.datagram_batches import BATCH_MAX, SENT_BYTES_MAX, open_batches
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.peers import Peer
from pyaiot.transport.udp import (
    DATAGRAMS_AT_ONCE,
    DATAGRAMS_PER_TURN,
    TURN_LIMIT_S,
    DatagramEndpoint,
)
from pyaiot.transport.udp_sockets import udp_socket

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


@pytest.fixture(params=["batches", "one by one"], autouse=True)
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The datagrams that are read together: with recvmmsg(2), and on systems without it."""
    if request.param == "batches":
        return BATCH_MAX

    def without(*_sock: object, **_sends_info: object) -> None:
        return None

    monkeypatch.setattr(udp, "open_batches", without)
    return DATAGRAMS_AT_ONCE


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.settimeout(LIMIT_S)
        yield opened


def opened(limits: HostLimits | None = None) -> DatagramEndpoint:
    sock = udp_socket("127.0.0.1", 0, "", protocol="test", flag="--port")
    return DatagramEndpoint(sock, asyncio.get_running_loop(), protocol="test", limits=limits)


async def test_datagrams_come_together_and_in_order(client: socket.socket, at_once: int) -> None:
    endpoint = opened()
    count = at_once + 2
    for number in range(count):
        client.sendto(bytes([number]), ("127.0.0.1", endpoint.port))
    received = Received(count)
    endpoint.listen(received)
    await asyncio.wait_for(received.all, LIMIT_S)
    endpoint.close()
    assert [len(turn) for turn in received.turns] == [at_once, 2]
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
    taken: list[bytes] = []
    is_new_turn = True

    def receive(datagrams: Sequence[tuple[bytes, Peer]]) -> int:
        nonlocal is_new_turn
        if is_new_turn:
            in_turn.append(0)
            is_new_turn = False
            loop.call_soon(next_turn)
        some = datagrams[:DATAGRAMS_AT_ONCE]
        taken.extend(data for data, _ in some)
        in_turn[-1] += len(some)
        time.sleep(work_s)
        if sum(in_turn) == count and not done.done():
            done.set_result(None)
        return len(some)

    def next_turn() -> None:
        nonlocal is_new_turn
        is_new_turn = True

    endpoint.listen(receive)
    await asyncio.wait_for(done, LIMIT_S)
    endpoint.close()
    # One callback for datagrams that were read before, and one for what the socket has now.
    assert max(in_turn) <= 2 * at_most
    assert taken == [bytes([number]) for number in range(count)]


@pytest.mark.parametrize(("rate", "turns"), [(0.0, [1, 2]), (1e9, [1, 1, 1])])
async def test_above_a_rate_datagrams_are_gathered_before_they_are_read(
    client: socket.socket, monkeypatch: pytest.MonkeyPatch, rate: float, turns: list[int]
) -> None:
    monkeypatch.setattr(udp, "GATHERING_RATE", rate)
    monkeypatch.setattr(udp, "RATE_WINDOW_S", 0.0)
    monkeypatch.setattr(udp, "GATHERING_S", 0.2)
    endpoint = opened()
    received = [Received(count) for count in (1, 2, 3)]

    def receive(datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        for each in received:
            each(datagrams)

    endpoint.listen(receive)
    client.sendto(b"1", ("127.0.0.1", endpoint.port))
    await asyncio.wait_for(received[0].all, LIMIT_S)
    client.sendto(b"2", ("127.0.0.1", endpoint.port))
    if not rate:
        for _ in range(10):
            await asyncio.sleep(0)  # turns in which the second one would be read
        assert not received[1].all.done()
    else:
        await asyncio.wait_for(received[1].all, LIMIT_S)
    client.sendto(b"3", ("127.0.0.1", endpoint.port))
    await asyncio.wait_for(received[2].all, LIMIT_S)
    assert list(map(len, received[2].turns)) == turns
    endpoint.close()


async def test_endpoint_may_close_while_datagrams_are_gathered(
    client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "GATHERING_RATE", 0.0)
    monkeypatch.setattr(udp, "RATE_WINDOW_S", 0.0)
    endpoint = opened()
    received = Received(1)
    endpoint.listen(received)
    client.sendto(b"1", ("127.0.0.1", endpoint.port))
    await asyncio.wait_for(received.all, LIMIT_S)
    client.sendto(b"2", ("127.0.0.1", endpoint.port))
    endpoint.close()
    await asyncio.sleep(2 * udp.GATHERING_S)
    assert len(received.turns) == 1


async def test_datagrams_that_were_not_taken_come_again_though_nothing_more_arrives(
    client: socket.socket, at_once: int
) -> None:
    endpoint = opened()
    taken: list[bytes] = []
    done = asyncio.get_running_loop().create_future()

    def receive(datagrams: Sequence[tuple[bytes, Peer]]) -> int:
        taken.append(datagrams[0][0])
        time.sleep(TURN_LIMIT_S)
        if len(taken) == at_once:
            done.set_result(None)
        return 1

    for number in range(at_once):
        client.sendto(bytes([number]), ("127.0.0.1", endpoint.port))
    endpoint.listen(receive)
    await asyncio.wait_for(done, LIMIT_S)
    endpoint.close()
    assert taken == [bytes([number]) for number in range(at_once)]


async def test_datagrams_that_were_not_taken_are_dropped_with_the_end(
    client: socket.socket,
) -> None:
    endpoint = opened()
    turns: list[int] = []
    ended = asyncio.get_running_loop().create_future()

    def receive(datagrams: Sequence[tuple[bytes, Peer]]) -> int:
        turns.append(len(datagrams))
        endpoint.stop()
        ended.set_result(None)
        return 1

    for _ in range(3):
        client.sendto(b"x", ("127.0.0.1", endpoint.port))
    endpoint.listen(receive)
    await asyncio.wait_for(ended, LIMIT_S)
    for _ in range(5):
        await asyncio.sleep(0)
    endpoint.close()
    assert turns == [3]


async def test_answers_to_several_peers_arrive_each_from_the_address_that_it_sent_to() -> None:
    endpoint = opened()
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(BATCH_MAX + 3)]
    received = Received(len(clients))
    for number, each in enumerate(clients):
        each.bind((f"127.0.0.{number + 2}", 0))
        each.settimeout(LIMIT_S)
        each.sendto(b"%d" % number, (f"127.0.1.{number + 1}", endpoint.port))
    endpoint.listen(received)
    await asyncio.wait_for(received.all, LIMIT_S)
    answers = [(b"re " + data, peer) for turn in received.turns for data, peer in turn]
    # One that is too large for a batch keeps its place.
    answers[1] = answers[1][0].ljust(SENT_BYTES_MAX + 1), answers[1][1]
    endpoint.send_all(answers)
    for number, each in enumerate(clients):
        answer, (host, port) = each.recvfrom(4096)
        assert answer.rstrip() == b"re %d" % number
        assert port == endpoint.port
        assert host == (f"127.0.1.{number + 1}" if endpoint.is_wildcard else endpoint.host)
        each.close()
    endpoint.close()


async def test_one_peer_that_cannot_be_reached_affects_no_other(client: socket.socket) -> None:
    endpoint = opened()
    received = Received(2)
    failed: asyncio.Future[OSError] = asyncio.get_running_loop().create_future()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for each in (other, client):
            each.bind(("127.0.0.1", 0))
            each.sendto(b"x", ("127.0.0.1", endpoint.port))
        endpoint.listen(received, lambda error, _peer, _quoted: failed.set_result(error))
        await asyncio.wait_for(received.all, LIMIT_S)
    # `other` is closed: its port answers by an ICMP error, which the next datagram reports.
    gone, alive = received.peers
    endpoint.send_all([(b"to nobody", gone), (b"1", alive), (b"2", alive)])
    endpoint.send_all([(b"3", alive), (b"4", alive)])
    assert [client.recv(10) for _ in range(4)] == [b"1", b"2", b"3", b"4"]
    client.sendto(b"wakes it up", ("127.0.0.1", endpoint.port))
    assert isinstance(await asyncio.wait_for(failed, LIMIT_S), ConnectionRefusedError)
    endpoint.close()


@pytest.mark.parametrize("at_once", ["batches"], indirect=True)
def test_routes_have_the_form_of_pythons_sockets() -> None:
    for host in ("::", "127.0.0.1"):
        family = socket.AF_INET6 if host == "::" else socket.AF_INET
        with (
            socket.socket(family, socket.SOCK_DGRAM) as sock,
            socket.socket(family, socket.SOCK_DGRAM) as sender,
        ):
            sock.bind((host, 0))
            sock.settimeout(LIMIT_S)
            kind = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
            if host == "::":
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                kind = (socket.IPPROTO_IP, 8)
                sock.setsockopt(*kind, 1)
            to = ("::1" if host == "::" else host, sock.getsockname()[1])
            sender.sendto(b"one", to)
            data, control, _, remote = sock.recvmsg(100, 256)
            batches = open_batches(sock, kind, sends_info=False)
            assert batches is not None
            sender.sendto(b"one", to)
            ((datagram, route),) = batches.receive(1)
            assert (datagram, *batches.parse(route)) == (data, remote, control)
            with pytest.raises(BlockingIOError):
                batches.receive(1)


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


async def test_peers_share_the_address_that_they_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "LOCAL_ADDRESSES_MAX", 2)
    endpoint = opened()
    peers: list[Peer] = []
    done = asyncio.get_running_loop().create_future()

    def receive(datagrams: Sequence[tuple[bytes, Peer]]) -> None:
        peers.extend(peer for _, peer in datagrams)
        if len(peers) == 8:
            done.set_result(None)

    endpoint.listen(receive)
    with contextlib.ExitStack() as clients:
        for number in range(8):
            sender = clients.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sender.sendto(b"x", (f"127.0.0.{number // 2 % 4 + 1}", endpoint.port))
        await asyncio.wait_for(done, LIMIT_S)
    assert len(endpoint._local_addresses) <= 2
    endpoint.close()
    assert peers[0].local is peers[1].local
    assert len({peer.local for peer in peers}) == 4
