# SPDX-License-Identifier: BSD-3-Clause
"""Attack 11: 20,000 datagrams of unknown peers. Memory is bounded, known nodes are served, and no
unverified peer gets more than three times the bytes that it sent."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator

import pytest

from pyaiot.gateways.coap.address_table import HELD_ADDRESSES_MAX
from pyaiot.gateways.coap.aiocoap_adapter import remembered_requests
from pyaiot.gateways.coap.endpoint import (
    HOST_REQUESTS_BURST,
    HOST_REQUESTS_PER_S,
    UNVERIFIED_REQUESTS_BURST,
    UNVERIFIED_REQUESTS_PER_S,
)
from pyaiot.gateways.coap.posts import HOST_POSTS_BURST
from pyaiot.gateways.live_nodes import NEW_NODES_BURST_S, NEW_NODES_PER_S
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, MessageType, OptionNumber
from tests.attacks.running import Log, System, running_system

pytestmark = pytest.mark.sockets

DATAGRAMS = 20_000
AT_ONCE = 250
CON, NON, ACK, RST = MessageType
_hosts = itertools.count(1)


class UnknownPeer:
    """A socket that counts what it sends and what comes back; it answers nothing."""

    def __init__(self, gateway_port: int) -> None:
        number = next(_hosts)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(
            (f"127.{40 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}", 0)
        )
        self.socket.connect(("127.0.0.1", gateway_port))
        # Requests to the CoAP port of this address count too.
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.setblocking(False)
        self.server.bind((self.socket.getsockname()[0], 5683))
        self.sent = self.received = 0
        self.answers: list[CoapMessage] = []

    def send(self, datagram: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self.sent += self.socket.send(datagram)

    def receive(self) -> None:
        for opened in (self.socket, self.server):
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while True:
                    datagram = opened.recv(65536)
                    self.received += len(datagram)
                    self.answers.append(CoapMessage.from_bytes(datagram))

    def close(self) -> None:
        self.socket.close()
        self.server.close()


@contextlib.contextmanager
def unknown_peers(system: System, count: int) -> Iterator[list[UnknownPeer]]:
    made = [UnknownPeer(system.coap.port) for _ in range(count)]
    try:
        yield made
    finally:
        for unknown_peer in made:
            unknown_peer.close()


def request(
    number: int, code: int, path: str, payload: bytes = b"", mtype: MessageType = CON
) -> bytes:
    options = [(OptionNumber.URI_PATH, segment) for segment in path.split("/") if segment]
    token = number.to_bytes(4, "big")
    return CoapMessage(
        mtype, code, number & 0xFFFF, token, build_options(*options), payload
    ).to_bytes()


FLOODS: dict[str, Callable[[int], bytes]] = {
    "readings": lambda n: request(n, Code.POST, "server", b"t:%d" % n, NON),
    "signs of life": lambda n: request(n, Code.POST, "alive", b"alive:%d" % n, NON),
    "confirmable signs of life": lambda n: request(n, Code.POST, "alive", b"alive:%d" % n),
    "claims of the honest uid": lambda n: request(n, Code.POST, "alive", b"alive:honest"),
    "nonsense posted": lambda n: request(n, Code.POST, "alive", b"%d" % n),
    "requests": lambda n: request(n, Code.GET, ".well-known/core"),
    "short requests": lambda n: bytes((0x40, Code.GET, n >> 8 & 0xFF, n & 0xFF)),
    "requests without an answer": lambda n: request(n, Code.GET, "alive", mtype=NON),
    "unknown options": lambda n: request(n, Code.POST, "alive")[:-1] + b"\xe1\x03\xe8x",
    "blocks": lambda n: CoapMessage(
        CON,
        Code.POST,
        n & 0xFFFF,
        n.to_bytes(4, "big"),
        build_options((OptionNumber.URI_PATH, "server"), (OptionNumber.BLOCK1, 8)),
        b"x" * 16,
    ).to_bytes(),
    "unsolicited responses": lambda n: request(n, Code.CONTENT, "", b"x", CON),
    "acknowledgements of nothing": lambda n: request(n, Code.CONTENT, "", b"x", ACK),
    "resets of nothing": lambda n: bytes((0x70, 0, n >> 8 & 0xFF, n & 0xFF)),
    "pings": lambda n: bytes((0x40, 0, n >> 8 & 0xFF, n & 0xFF)),
    "no CoAP": lambda n: b"\xff" * (n % 40),
}


async def flood(system: System, hosts: list[UnknownPeer], kinds: list[str], count: int) -> None:
    """Send `count` datagrams, from all hosts in turn, and serve the honest node meanwhile."""
    turns = itertools.cycle(hosts)
    for number in range(count):
        next(turns).send(FLOODS[kinds[number % len(kinds)]](number))
        if number % AT_ONCE == 0:
            for host in hosts:
                host.receive()
            await asyncio.sleep(0)
        if number % (count // 4) == 0:
            await system.serves()


def remembered_by_aiocoap(system: System) -> int:
    return remembered_requests(system.coap._endpoint.context)


async def test_flood_of_all_kinds_from_many_hosts_delays_no_known_node() -> None:
    async with running_system() as system:
        with unknown_peers(system, 100) as hosts:
            began_at = asyncio.get_running_loop().time()
            await flood(system, hosts, list(FLOODS), DATAGRAMS)
            await system.serves()
            elapsed_s = asyncio.get_running_loop().time() - began_at
            for host in hosts:
                host.receive()
                assert host.received <= 3 * host.sent
            most = UNVERIFIED_REQUESTS_BURST + UNVERIFIED_REQUESTS_PER_S * (elapsed_s + 1)
            # And what the honest node sent.
            assert remembered_by_aiocoap(system) <= most + 100
            assert system.coap.refused > DATAGRAMS / 10
            assert len(system.coap._table._held) <= HELD_ADDRESSES_MAX
        await system.serves()


async def test_host_gets_at_most_three_times_the_bytes_that_came_in_its_name() -> None:
    async with running_system() as system:
        with unknown_peers(system, 3 * len(FLOODS)) as hosts:
            for kind, (first, second, third) in zip(
                FLOODS, zip(*[iter(hosts)] * 3, strict=True), strict=True
            ):
                # One datagram, a few, and many.
                first.send(FLOODS[kind](1))
                for number in range(2, 6):
                    second.send(FLOODS[kind](number))
                for number in range(6, 200):
                    third.send(FLOODS[kind](number))
                await asyncio.sleep(0)
            await system.serves()
            # What is sent again when no answer came: after less than a second.
            await asyncio.sleep(1.5)
            for number, host in enumerate(hosts):
                host.receive()
                assert host.received <= 3 * host.sent, list(FLOODS)[number // 3]
            # The signs of life caused requests, as far as the limits allow.
            requested = [item for item in hosts[3].answers if item.code == Code.GET]
            assert requested
        await system.serves()


async def test_host_above_its_request_rate_gets_the_time_to_wait() -> None:
    async with running_system() as system:
        with unknown_peers(system, 1) as (host,):
            began_at = asyncio.get_running_loop().time()
            count = round(HOST_REQUESTS_BURST) + 100
            for number in range(count):
                host.send(request(number, Code.GET, "x"))
                if number % 50 == 0:
                    await asyncio.sleep(0)
                    host.receive()
            await system.serves()
            host.receive()
            elapsed_s = asyncio.get_running_loop().time() - began_at
            refused = [item for item in host.answers if item.code == Code.TOO_MANY_REQUESTS]
            assert count - HOST_REQUESTS_BURST - HOST_REQUESTS_PER_S * (elapsed_s + 1) <= len(
                refused
            )
            assert all(item.option(OptionNumber.MAX_AGE) for item in refused)
            assert all(item.mtype == ACK for item in refused)


async def test_host_above_its_post_rate_gets_the_time_to_wait() -> None:
    async with running_system() as system:
        with unknown_peers(system, 1) as (host,):
            for number in range(round(HOST_POSTS_BURST) + 1000):
                host.send(request(number, Code.POST, "server", b"t:1", NON))
                if number % 50 == 0:
                    await asyncio.sleep(0)
                    host.receive()
            await system.serves()
            host.receive()
            codes = [item.code for item in host.answers]
            assert codes.count(Code.SERVICE_UNAVAILABLE) >= HOST_POSTS_BURST
            assert codes.count(Code.TOO_MANY_REQUESTS) > 100
            assert system.coap.refused > 100


# -- invented nodes -------------------------------------------------------------------------------


async def invent_nodes(
    system: System, hosts: list[UnknownPeer], *, per_s: int, seconds: float, at_least: int
) -> int:
    """Send `alive` of a new uid each time, at a pace; the honest are served meanwhile.

    It takes longer than `seconds` where this process is too slow to send `at_least` by then.
    """
    loop = asyncio.get_running_loop()
    turns = itertools.cycle(hosts)
    began_at = loop.time()
    sent = 0
    served_at = began_at
    while (elapsed_s := loop.time() - began_at) < seconds or sent < at_least:
        for _ in range(min(AT_ONCE, round(elapsed_s * per_s) - sent)):
            next(turns).send(request(sent, Code.POST, "alive", b"alive:invented-%d" % sent, NON))
            sent += 1
        for host in hosts:
            host.receive()
        await asyncio.sleep(0.002)
        if loop.time() - served_at > 0.5:
            await system.serves()
            served_at = loop.time()
    return sent


async def test_three_thousand_invented_uids_a_second_delay_no_known_node() -> None:
    async with running_system() as system:
        with unknown_peers(system, 30) as hosts:
            began_at = asyncio.get_running_loop().time()
            sent = await invent_nodes(system, hosts, per_s=3000, seconds=4.0, at_least=6000)
            await system.serves()
            elapsed_s = asyncio.get_running_loop().time() - began_at
            nodes = system.coap.gateway.nodes
            # However long this machine takes to send them.
            allowed = NEW_NODES_PER_S * (NEW_NODES_BURST_S + elapsed_s + 1.0)
            assert len(nodes) <= allowed
            assert nodes.new_nodes_refused >= (sent - allowed) / 2
        await system.serves()


async def test_host_that_invents_nodes_gets_its_share_and_others_still_appear() -> None:
    async with running_system() as system:
        system.coap.gateway.nodes.nodes_per_host_max = 50
        with unknown_peers(system, 2) as (greedy, modest):
            for number in range(200):
                greedy.send(request(number, Code.POST, "alive", b"alive:g-%d" % number))
                if number % 50 == 49:
                    await asyncio.sleep(0.01)
                    greedy.receive()
            await system.serves()
            greedy.receive()
            refused = [answer for answer in greedy.answers if answer.code == Code.FORBIDDEN]
            assert len(refused) == 150
            modest.send(request(1, Code.POST, "alive", b"alive:modest"))
            await system.client.shows("modest")
            assert len(system.coap.gateway.nodes) == 52  # with the honest one


async def test_unknown_peer_that_answers_nothing_causes_few_lines_to_the_log(log: Log) -> None:
    async with running_system() as system:
        with unknown_peers(system, 40) as hosts:
            for host in hosts:
                for number in range(5):
                    name = f"alive:{host.socket.getsockname()[0]}-{number}"
                    host.send(request(number, Code.POST, "alive", name.encode(), NON))
                # With a closed socket, an ICMP error arrives at once.
                host.close()
            await system.serves()
            await asyncio.sleep(1.0)
            await system.serves()
    shown = [line for line in log.shown() if "127." in line]
    assert len(shown) <= 20, shown
