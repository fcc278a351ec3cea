# SPDX-License-Identifier: BSD-3-Clause
"""A fleet in the dashboard: it requests only the readings that it shows, and is nevertheless
correct for all nodes. In a real browser, against a real broker."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pyaiot.broker.subscriber import Subscriber
from tests.web.conftest import Browser
from tests.web.serving import Served, eventually
from tests.web.test_dashboard_home import home
from tests.web.test_dashboard_page import see
from tests.web.test_dashboard_registry import showing

if TYPE_CHECKING:
    from playwright.async_api import Page, WebSocket

pytestmark = pytest.mark.sockets

NODES = 600
ROUNDS_MAX = 60
"""Rounds of readings, four in a second, until the page shows their rate."""
DEVICES_SHOWN = 8
"""As in `dashboard/src/model/topology.ts`."""


class Received:
    """Counts of the messages that the page receives, by type."""

    def __init__(self, page: "Page") -> None:
        self.kinds: Counter[str] = Counter()
        page.on("websocket", self._opened)

    def _opened(self, socket: "WebSocket") -> None:
        socket.on("framereceived", self._frame)

    def _frame(self, frame: str | bytes) -> None:
        found = json.loads(frame)
        self.kinds.update(it["type"] for it in (found if isinstance(found, list) else [found]))


def measure(broker: Served, value: float) -> None:
    """Send a reading of each node; that of the last node is 100 more."""
    for number in range(1, NODES + 1):
        more = 100 if number == NODES else 0
        broker.gateway.send(f"n{number}", "temperature", f"{value + more}°C")


@dataclass
class Scene:
    """A page that shows a list of all nodes."""

    broker: Served
    page: "Page"
    received: Received
    client: Subscriber
    """The page, as a client of the broker."""


@contextlib.asynccontextmanager
async def listing(browser: Browser, screen: str) -> AsyncIterator[Scene]:
    """A list of `NODES` nodes with 20.5 °C, of which the page has received what it shows."""
    async with home() as broker:
        measure(broker, 20.5)
        await broker.known(f"n{NODES}")
        async with browser.page() as page:
            received = Received(page)
            await page.goto(f"{broker.url}#/{screen}")
            await see(page.locator("[data-uid=n1]"), "20.5 °C")
            (client,) = broker.broker.fanout.clients.values()
            await eventually(lambda: client.has_part)
            received.kinds.clear()
            yield Scene(broker, page, received, client)


async def test_a_page_gets_the_readings_that_it_shows_and_is_right_about_all_nodes(
    browser: Browser,
) -> None:
    async with listing(browser, "fleet") as it:
        broker, page, received, client = it.broker, it.page, it.received, it.client
        measure(broker, 21.5)
        measure(broker, 22.5)
        await see(page.locator("#nodes [data-uid=n1]"), "22.5 °C")
        shown = await page.locator(".tile").count()
        assert 10 < shown < 200
        # Two of each node, and the latest ones of nodes that appeared on screen later.
        assert received.kinds["update"] <= 3 * shown + 20, received.kinds
        await see(page.locator(".counts"), f"{NODES} online")

        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await see(page.locator(f"#nodes [data-uid=n{NODES}]"), "122.5 °C")

        measure(broker, 30.5)
        await page.evaluate("scrollTo(0, 0)")
        received.kinds.clear()
        await page.get_by_role("searchbox").fill("temp>130")
        await see(page.locator("#nodes .tile"), f"n{NODES}")
        await eventually(lambda: client.part and "temperature" in client.part.named)
        assert await page.locator("#nodes .tile").count() == 1
        await eventually(lambda: received.kinds["joined"])
        received.kinds.clear()
        for number in range(1, NODES):
            broker.gateway.send(f"n{number}", "humidity", "50%")
        measure(broker, 31.5)
        await see(page.locator(f"#nodes [data-uid=n{NODES}]"), "131.5 °C")
        # The resource of the filter of all nodes, and the other resources of two screens: before
        # and after the jump to the end.
        assert NODES <= received.kinds["update"] < NODES + 2 * shown + 20, received.kinds
        broker.gateway.send("n300", "temperature", "999°C")
        await see(page.locator("#nodes [data-uid=n300]"), "999 °C")

        # Values that were not sent before arrive with the state.
        await page.get_by_role("searchbox").fill("has:hum")
        await eventually(lambda: client.part and "humidity" in client.part.named)
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await see(page.locator("#nodes .tile").last, f"n{NODES - 1}")


async def test_many_cards_are_made_many_at_a_time(browser: Browser) -> None:
    """Each portion lays out the complete grid, so one card at a time would take half a minute."""
    async with home() as broker:
        measure(broker, 20.5)
        await broker.known(f"n{NODES}")
        async with showing(browser, broker, "settings") as page:
            await page.evaluate(
                """() => {
                    window.portions_ = 0;
                    const count = (list) => {
                        const isCard = (it) => it.classList?.contains('card') && it.dataset.uid;
                        portions_ += list.some((it) => [...it.addedNodes].some(isCard));
                    };
                    const all = {childList: true, subtree: true};
                    new MutationObserver(count).observe(document.body, all);
                }"""
            )
            await page.evaluate("location.hash = '#/nodes'")
            await page.locator(f"#nodes .card:nth-child({NODES})").wait_for(state="attached")
            assert await page.evaluate("portions_") < NODES / 2


async def test_a_table_gets_the_readings_of_its_rows_and_of_the_column_that_sorts_it(
    browser: Browser,
) -> None:
    async with listing(browser, "table") as it:
        broker, page, received, client = it.broker, it.page, it.received, it.client
        for number in range(1, NODES + 1):
            broker.gateway.send(f"n{number}", "humidity", "50%")
        measure(broker, 21.5)
        await see(page.locator("[data-uid=n1]"), "21.5 °C")
        rows = await page.locator("tr.line").count()
        assert 10 < rows < 100
        assert received.kinds["update"] <= 3 * rows + 20, received.kinds

        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        last = page.locator(f"[data-uid=n{NODES}]")
        await see(last, "121.5 °C")
        assert await last.get_attribute("aria-rowindex") == str(NODES + 1)

        # The node in the last row has the largest value; it stays first while values change.
        sort = page.get_by_role("button", name="Temperature")
        await sort.click()
        await sort.click()
        await page.evaluate("scrollTo(0, 0)")
        await see(page.locator("tr.line").first, f"n{NODES}")
        assert client.part is not None
        await eventually(lambda: client.part and "temperature" in client.part.named)
        broker.gateway.send("n300", "temperature", "999°C")
        await see(page.locator("tr.line").first, "n300")


@pytest.mark.parametrize("screen", ["map", "path"])
async def test_map_and_path_get_no_readings_that_they_do_not_show(
    browser: Browser, screen: str
) -> None:
    async with home() as broker:
        measure(broker, 20.5)
        broker.gateway.send("n1", "position", '{"lat":48.7,"lng":2.2}')
        await broker.known(f"n{NODES}")
        async with browser.page() as page:
            received = Received(page)
            await page.goto(f"{broker.url}#/{screen}")
            clients = broker.broker.fanout.clients
            await eventually(lambda: any(client.has_part for client in clients.values()))
            received.kinds.clear()
            if screen == "map":
                measure(broker, 21.5)
                broker.gateway.send("n2", "position", '{"lat":45.1,"lng":5.7}')
                await see(page.locator("aside"), "n2")
                assert received.kinds["update"] == 1
                return
            # The page requests the rate of the gateway from the broker every 5 s.
            box = page.locator("button[data-gateway]")
            rated = box.filter(has_text=re.compile(r"[1-9]\d*\smsg/s"))
            rounds = 0
            while not await rated.count():
                rounds += 1
                assert rounds < ROUNDS_MAX, (
                    await box.inner_text(),
                    await broker.json("/api/gateways"),
                )
                measure(broker, 20.0 + rounds)
                await page.wait_for_timeout(250)
            assert received.kinds["update"] <= (rounds + 1) * DEVICES_SHOWN
