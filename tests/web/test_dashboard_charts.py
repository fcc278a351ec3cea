# SPDX-License-Identifier: BSD-3-Clause
"""The charts of a node's details, over the live readings and a stored history."""

import json
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.conftest import Browser
from tests.web.mock_broker import MockBroker
from tests.web.test_dashboard_page import is_absent, running, see

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page, Route

pytestmark = pytest.mark.sockets

UID: Final = "station"


@asynccontextmanager
async def with_history(
    browser: Browser, broker: MockBroker, *, since_s: Callable[[], float]
) -> "AsyncIterator[Page]":
    """The details of the node; its stored temperature is 10 °C for the last `since_s`."""

    async def answer(route: "Route") -> None:
        url = urlsplit(route.request.url)
        if url.path.endswith("/api/info"):
            await route.fulfill(json={"history": {}})
            return
        if url.path.endswith("/limits"):
            await route.fulfill(json={"limits": []})
            return
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "every" not in query:  # of a sparkline
            await route.fulfill(json={"readings": []})
            return
        every = int(query["every"])
        start, end = float(query["from"]), float(query["to"])
        first = int(max(start, end - since_s())) // every * every
        readings = [
            {"ts": ts, "value": 10.0, "mean": 10.0, "min": 9.0, "max": 11.5, "count": 3}
            for ts in range(first, int(end), every)
        ]
        await route.fulfill(json={"readings": readings})

    async def dashboard(route: "Route") -> None:
        response = await route.fetch()
        await route.fulfill(json=await response.json() | {"api": True})

    async with browser.page(viewport={"width": 1440, "height": 900}) as page:
        await page.route("**/api/**", answer)
        await page.route("**/dashboard.json", dashboard)
        await page.goto(f"{broker.url}#/node/{UID}")
        await see(page.get_by_role("dialog"), "From the stored history.")
        yield page


async def columns(page: "Page") -> tuple[float, float]:
    """The start and the end of the line of the first chart, as shares of its plot from 0 to 1."""
    found: list[float] = await page.evaluate(
        """() => {
            const canvas = document.querySelector(".chart canvas");
            const over = document.querySelector(".chart .u-over").getBoundingClientRect();
            const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
            const {width, height} = canvas;
            const copy = new OffscreenCanvas(width, height).getContext("2d");
            copy.drawImage(canvas, 0, 0);
            const {data} = copy.getImageData(0, 0, width, height);
            const left = (over.left - box.left) * scale, wide = over.width * scale;
            let first = Infinity, last = -Infinity;
            for (let x = Math.round(left); x < left + wide; x += 1)
                for (let y = 0; y < (over.bottom - box.top) * scale; y += 1) {
                    const at = 4 * (y * width + x);
                    // The line is opaque and green; the grid and the area below it are not.
                    if (data[at + 3] > 200 && data[at + 1] - data[at] > 80) {
                        first = Math.min(first, x);
                        last = Math.max(last, x);
                    }
                }
            return [(first - left) / wide, (last - left) / wide];
        }"""
    )
    return found[0], found[1]


async def test_range_spans_the_whole_axis(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node(UID, temperature="10.0°C")
        stored_s = 0.0
        async with with_history(browser, broker, since_s=lambda: stored_s) as page:
            # No line begins where that of the range before it did.
            for button, seconds, share in (
                *(("1 h", 3600, 0.25), ("24 h", 86_400, 0.5), ("7 d", 604_800, 0.25)),
            ):
                stored_s = seconds * share
                await page.get_by_role("button", name=button, exact=True).click()
                for _ in range(100):
                    first, last = await columns(page)
                    if abs(first - (1.0 - share)) < 0.05:
                        break
                    await page.wait_for_timeout(50)
                assert first == pytest.approx(1.0 - share, abs=0.03), button
                assert last == pytest.approx(1.0, abs=0.03), button


async def csv_rows(page: "Page") -> list[list[str]]:
    async with page.expect_download() as download:
        await page.get_by_role("button", name="CSV").click()
    text = (await (await download.value).path()).read_text()
    return [line.split(",") for line in text.splitlines()[1:]]


async def test_line_has_one_resolution_also_where_live_readings_go_on(browser: Browser) -> None:
    async with running() as broker:
        broker.add_node(UID, temperature="10.0°C", age_s=1000)
        async with with_history(browser, broker, since_s=lambda: 80_000.0) as page:
            await page.get_by_role("button", name="24 h", exact=True).click()
            await see(page.get_by_role("dialog"), "Line: mean of 2 min.")
            for number in range(40):
                await broker.change(UID, "temperature", f"{20 + number % 2}.0°C")
            await see(page.get_by_role("dialog").locator(".digits"), "21.0")
            rows = await csv_rows(page)
            while float(rows[-1][3]) == 10.0:
                # A step has just begun, and the chart is drawn with it shortly after.
                rows = await csv_rows(page)
            times = [row[0] for row in rows]
            assert len(set(times)) == len(times) > 500
            moments = [datetime.fromisoformat(moment).timestamp() for moment in times]
            assert {moment % 120 for moment in moments} == {0.0}
            # The last step is a mean of live readings and of the stored part of it.
            assert time.time() - moments[-1] < 120 * 2
            assert 10.0 < float(rows[-1][3]) < 21.0


async def test_inertial_sensor_has_charts(browser: Browser) -> None:
    vectors = [{"type": kind, "values": [1, 2, 3]} for kind in ("acc", "gyro", "mag")]
    async with running() as broker:
        broker.add_node(UID, imu=json.dumps(vectors), robot="s")
        async with browser.page() as page:
            await page.goto(f"{broker.url}#/node/{UID}")
            dialog = page.get_by_role("dialog")
            await see(dialog.locator(".chart").nth(2), "Magnetic field")
            vectors[0]["values"] = [4, 5, 6]
            await broker.change(UID, "imu", json.dumps(vectors))
            await see(dialog.locator(".chart").first, "Acceleration")
            assert await dialog.locator(".chart canvas").count() == 3
            await is_absent(dialog.get_by_text("no numeric values"))
            text = ""
            # The last value may arrive after the first file.
            while f"{UID},imu acc x,4," not in text:
                async with page.expect_download() as download:
                    await dialog.get_by_role("button", name="CSV").click()
                text = (await (await download.value).path()).read_text()


async def test_node_of_many_numbers_lets_people_choose_its_charts(browser: Browser) -> None:
    async with running() as broker:
        numbers = {f"sensor{number}": f"{number}.0°C" for number in range(1, 13)}
        broker.add_node(UID, numbers)
        async with browser.page() as page:
            await page.goto(f"{broker.url}#/node/{UID}")
            dialog = page.get_by_role("dialog")
            charts = dialog.locator(".chart figcaption > span:first-child")
            await see(charts.nth(5), "Sensor 6")
            assert await charts.count() == 6
            await dialog.get_by_role("checkbox", name="Sensor 12").check()
            await see(charts.nth(6), "Sensor 12")
            await dialog.get_by_role("checkbox", name="Sensor 1", exact=True).uncheck()
            await see(charts.first, "Sensor 2")
            assert await charts.count() == 6
