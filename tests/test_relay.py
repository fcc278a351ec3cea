# SPDX-License-Identifier: BSD-3-Clause
"""The relay of the tests has the set faults, the same ones for the same seed."""

import asyncio
import random
import socket
from typing import Any

import pytest

from tests.relay import Trouble, tcp_relay, udp_relay


def test_trouble_has_the_configured_rate() -> None:
    rng = random.Random(1)
    fates = [Trouble().delays(rng) for _ in range(20_000)]
    copies = [len(fate) for fate in fates]
    assert copies.count(0) == pytest.approx(1000, rel=0.15)
    assert copies.count(2) == pytest.approx(950, rel=0.15)
    late = [delay for fate in fates for delay in fate if delay]
    assert len(late) == pytest.approx(1000, rel=0.15)
    assert max(late) <= Trouble().delay_s


def test_trouble_is_the_same_for_a_seed() -> None:
    one, other = random.Random(7), random.Random(7)
    assert [Trouble().delays(one) for _ in range(500)] == [
        Trouble().delays(other) for _ in range(500)
    ]


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


@pytest.mark.sockets
async def test_datagrams_go_there_and_back_each_client_by_a_way_of_its_own() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    quiet = Trouble(loss=0.0, duplicates=0.0, reordered=0.0)
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    try:
        async with udp_relay(port, seed=1, trouble=quiet) as relay:
            for number, client in enumerate(clients):
                client.setblocking(False)
                client.connect(("127.0.0.1", relay.port))
                client.send(b"%d" % number)
            for number, client in enumerate(clients):
                assert await loop.sock_recv(client, 10) == b"%d" % number
            assert (relay.passed, relay.lost) == (4, 0)
    finally:
        transport.close()
        for client in clients:
            client.close()


@pytest.mark.sockets
async def test_connection_that_is_cut_ends_on_both_sides() -> None:
    ended = asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, tcp_relay(server.sockets[0].getsockname()[1]) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        relay.cut()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        await ended.wait()
        writer.close()
