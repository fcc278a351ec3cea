# SPDX-License-Identifier: BSD-3-Clause
"""A reader of `/api/events` that continues at another broker, from the history in PostgreSQL."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.coap_device import CoapDevice
from tests.end_to_end.test_cluster import Cluster, node_a, post, shows
from tests.history.postgres_server import running_server
from tests.programs import Programs
from tests.time_limits import time_limit
from tests.web.api.test_streams import Event, Reader

pytestmark = [pytest.mark.sockets]

LIMIT_S = 60.0
YOUNG = {"the id is not from a broker of this cluster", "this broker has not run long enough"}


@asynccontextmanager
async def events(url: str, last_id: str = "") -> AsyncIterator[Reader]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with (
        time_limit(LIMIT_S),
        aiohttp.ClientSession() as web,
        web.get(f"{url}/api/events", headers=headers) as answer,
    ):
        yield Reader(answer)


def counts(found: list[Event]) -> list[float]:
    """The values of `count`; the history has numbers without the text of the device."""
    return [
        float(it["data"]) for kind, it in found if kind == "update" and it["endpoint"] == "count"
    ]


async def until_value(reader: Reader, value: float) -> list[Event]:
    """The events up to this value, which may have no id."""
    while value not in counts(reader.events):
        assert await reader.next() is not None, reader.events
    return reader.events


async def missed(
    cluster: Cluster, device: CoapDevice, count: int, *, left: str, joined: str
) -> list[Event]:
    """What a reader gets that leaves one broker, after which three values come, and joins another
    one, up to the last of them."""
    async with events(left) as reader:
        await reader.until(lambda event: event[0] == "joined")
    for value in range(count, count + 3):
        await post(device, f"count:{value}")
    await shows(cluster.url(0), str(count + 2))
    async with events(joined, reader.last_id) as reader:
        return await until_value(reader, count + 2)


async def test_a_reader_gets_from_another_broker_what_it_missed(programs: Programs) -> None:
    with running_server() as server:
        cluster = Cluster(programs, store=server.url)
        first, second = cluster.url(0), cluster.url(1)
        async with node_a(cluster) as device, time_limit(LIMIT_S):
            count = 0
            while True:
                found = await missed(cluster, device, count, left=second, joined=first)
                if found[0][0] != "gap":
                    break
                # A broker that has just started does not know which nodes were there before.
                reason = found[0][1]["detail"]
                assert reason in YOUNG, reason
                await asyncio.sleep(0.5)
                count += 3
            assert counts(found)[-3:] == [count, count + 1, count + 2]

            async with events(first) as reader:
                await reader.until(lambda event: event[0] == "joined")
            cluster.brokers[0].send(signal.SIGKILL)
            for value in ("1001", "1002", "1003"):
                await post(device, f"count:{value}")
                await shows(second, value)
            async with events(second, reader.last_id) as reader:
                found = await until_value(reader, 1003)
            assert "gap" not in {kind for kind, _ in found}
            assert counts(found)[-3:] == [1001, 1002, 1003]
