# SPDX-License-Identifier: BSD-3-Clause
"""A client of a cluster uses one of its brokers, and the next one when that is lost."""

import asyncio
import socket
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from pyaiot.client import Client
from pyaiot.client.address import BrokerAddresses
from pyaiot.client.errors import NoBroker
from pyaiot.errors import OperatorError
from tests.programs import free_port
from tests.time_limits import time_limit
from tests.web.serving import serving

pytestmark = pytest.mark.sockets

LIMIT_S = 30.0


def host_of(url: str) -> str:
    return urlsplit(url).netloc


def nobody() -> str:
    return f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"


def test_the_next_address_is_used_once_for_each_failure() -> None:
    addresses = BrokerAddresses.of("a,b:81", 80, ssl=False)
    first, second = addresses
    assert (str(first), str(second)) == ("a port 80", "b port 81")
    addresses.failed(first)
    addresses.failed(first)  # somebody else noticed the same
    assert addresses.current is second
    addresses.failed(second)
    assert addresses.current is first


async def test_a_broker_that_does_not_answer_is_skipped() -> None:
    async with serving() as served:
        hosts = f"{nobody()},{host_of(served.url)}"
        async with time_limit(LIMIT_S), Client(hosts) as client:
            assert client.address.port == urlsplit(served.url).port
            assert await client.find_uids(["n"]) == {}
        async with time_limit(LIMIT_S), Client(hosts, live=False) as client:
            assert await client.find_uids(["n"]) == {}


async def test_no_broker_of_several_answers() -> None:
    with pytest.raises(NoBroker, match="No broker answers"):
        async with time_limit(LIMIT_S), Client(f"{nobody()},{nobody()}"):
            pass


def test_addresses_that_are_not_valid_are_refused_with_a_sentence() -> None:
    with pytest.raises(OperatorError, match=r"separated by commas\.$"):
        Client("a,b/c")


async def test_a_client_whose_broker_ends_goes_on_at_the_next_one() -> None:
    async with AsyncExitStack() as first, serving() as second:
        one = await first.enter_async_context(serving())
        second.gateway.send("n", "t", "2")
        await second.known("n")
        reported: list[str] = []
        hosts = f"{host_of(one.url)},{host_of(second.url)}"
        async with time_limit(LIMIT_S), Client(hosts, tell=reported.append) as client:
            assert client.nodes == {}
            await first.aclose()
            while "n" not in client.nodes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert client.connected
            assert set(await client.find_uids(["n"])) == {"n"}
        assert [text.split()[0] for text in reported] == ["lost", "reconnected"]
