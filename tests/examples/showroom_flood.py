# SPDX-License-Identifier: BSD-3-Clause
"""One address floods the showroom through Caddy, and a visitor with another one is served.

Needs a separate network namespace, in which it has these addresses: test_showroom.py runs it in
one. Beyond loopback, whose clients have no limits.
"""

import asyncio
import subprocess
from collections import Counter

import aiohttp
import pytest

from pyaiot.web.visitors import VISITOR_REQUESTS_BURST
from tests.examples.test_showroom import showroom  # noqa: F401 - a fixture
from tests.interop.test_reverse_proxies import Proxied, until_it_answers
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

FLOODING, POLITE = "198.18.77.2", "198.18.77.3"
"""An address in the range for network tests (RFC 2544)."""
FLOODS = 8
"""Number of simultaneous requests of the flood."""
LIMIT_S = 30.0


@pytest.fixture(autouse=True, scope="module")
def addresses() -> None:
    for address in (FLOODING, POLITE):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


async def visit(visitor: aiohttp.ClientSession, url: str) -> None:
    """The first requests of a dashboard."""
    for path in ("/", "/dashboard.json", "/api/info", "/api/nodes"):
        async with visitor.get(url + path, headers={"Accept": "*/*"}) as answer:
            assert (path, answer.status) == (path, 200)
    headers = {"Origin": url}
    async with visitor.ws_connect(url + "/ws", protocols=["pyaiot.v2"], headers=headers) as client:
        await client.send_str('{"type":"new","data":"client"}')
        while "joined" not in await client.receive_str():
            pass


async def test_visitor_is_served_while_another_address_floods(
    showroom: Proxied,  # noqa: F811 - the fixture
) -> None:
    url, answers = showroom.url, Counter[int]()
    refused = asyncio.Event()

    async def flood(flooding: aiohttp.ClientSession) -> None:
        while True:
            async with flooding.get(url + "/api/info") as answer:
                answers[answer.status] += 1
            if answer.status == 429:
                refused.set()

    async with (
        time_limit(LIMIT_S),
        showroom.session(FLOODING) as flooding,
        showroom.session(POLITE) as visitor,
        asyncio.TaskGroup() as tasks,
    ):
        await until_it_answers(visitor, url)
        floods = [tasks.create_task(flood(flooding)) for _ in range(FLOODS)]
        await refused.wait()
        assert set(answers) == {200, 429}
        assert answers[200] >= VISITOR_REQUESTS_BURST
        for _ in range(3):
            before = answers[429]
            await visit(visitor, url)
            assert answers[429] > before  # it floods all the time
        for one in floods:
            one.cancel()
