# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard under load: a real Chromium, a real WebSocket, many nodes.

`python -m benchmarks.dashboard` prints a table. The broker is a real one without history, and gets
its readings from `benchmarks/dashboard_feed.py`; they share the machine with the browser. The page
is measured as it is, when it subscribes to the readings that it shows, and with a search for which
it needs the readings of all nodes.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from benchmarks.dashboard_feed import feeding
from benchmarks.processes import temporary_home
from benchmarks.services import broker

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page

LOADS: Final = ((1_000, 2_000), (1_000, 10_000))
"""Nodes, and updates per second."""
RESOURCES: Final = 4
EVERY_VALUE: Final = " ".join(f"{name}>-100" for name in ("temperature", "heat", "air", "water"))
"""A search that needs the readings of the `RESOURCES` of all nodes."""
PAGES: Final = {"shown": "", "all": f"#/nodes?q={quote(EVERY_VALUE)}"}
"""What the page receives: the readings that it shows, or all, and its URL."""
SETTLE_S: Final = 8.0
HEAP_INTERVAL_S: Final = 30.0
FLAGS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-precise-memory-info")

FRAMES = """() => {
    window.frames_ = 0;
    const frame = () => { window.frames_ += 1; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
}"""


@dataclass(frozen=True, slots=True)
class Figure:
    nodes: int
    sent_per_s: int
    """Readings, by the gateway."""
    page: str
    """A key of `PAGES`."""
    updates_per_s: float
    """That the page received, as it counts them."""
    frames_per_s: float
    main_thread: float
    """CPU time of the thread as a share of a core."""
    heaps_mb: tuple[float, ...]
    """In use after a collection, at the start, every `HEAP_INTERVAL_S`, and at the end."""
    seconds: float


async def measure(
    page: "Page", cdp: "CDPSession", url: str, seconds: float
) -> tuple[float, float, float, tuple[float, ...], float]:
    """Measure the dashboard for `seconds` while it is visible."""
    await page.goto(url)
    await page.wait_for_selector("#nodes .card:nth-child(100)")
    await page.wait_for_timeout(SETTLE_S * 1000)
    await page.evaluate(FRAMES)
    await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    heaps = [await heap(cdp)]
    before, start = await metrics(cdp), time.perf_counter()
    frames = await page.evaluate("window.frames_")
    rates = []
    while time.perf_counter() - start < seconds:
        await page.wait_for_timeout(min(1000.0, seconds * 1000))
        text = await page.locator("#pill .speed").inner_text()
        rates.append(float("".join(filter(str.isdigit, text)) or 0))
        if time.perf_counter() - start > HEAP_INTERVAL_S * len(heaps):
            heaps.append(await heap(cdp))
    elapsed = time.perf_counter() - start
    frames = await page.evaluate("window.frames_") - frames
    after = await metrics(cdp)
    return (
        sum(rates) / len(rates),
        frames / elapsed,
        (after["TaskDuration"] - before["TaskDuration"]) / elapsed,
        (*heaps, await heap(cdp)),
        elapsed,
    )


async def metrics(cdp: "CDPSession") -> dict[str, float]:
    found: dict[str, Any] = await cdp.send("Performance.getMetrics")
    return {item["name"]: item["value"] for item in found["metrics"]}


async def heap(cdp: "CDPSession") -> float:
    """Heap in use after a garbage collection, in megabytes."""
    await cdp.send("HeapProfiler.collectGarbage")
    used: dict[str, float] = await cdp.send("Runtime.getHeapUsage")
    return used["usedSize"] / 1e6


async def run(options: argparse.Namespace) -> AsyncIterator[Figure]:
    from playwright.async_api import async_playwright

    chosen = [(*load, name) for load in LOADS for name in PAGES if options.page in (name, "both")]
    async with async_playwright() as playwright:
        for nodes, rate, name in chosen:
            with (
                temporary_home() as home,
                tempfile.TemporaryDirectory() as profile,
                broker(home, history=False) as server,
            ):
                async with feeding(home, server.port, nodes, RESOURCES, rate):
                    context = await playwright.chromium.launch_persistent_context(
                        profile,
                        executable_path=options.chromium,
                        args=list(FLAGS),
                        viewport={"width": 1440, "height": 900},
                    )
                    page = context.pages[0]
                    cdp = await context.new_cdp_session(page)
                    url = f"http://127.0.0.1:{server.port}/{PAGES[name]}"
                    found = await measure(page, cdp, url, options.seconds)
                    await context.close()
            yield Figure(nodes, rate, name, *found)


def growth_of(it: Figure) -> float:
    """The slope of the heap after the first sample, in MB per minute, by least squares. NaN with
    fewer than three samples."""
    heaps = it.heaps_mb[1:]
    if len(heaps) < 3:
        return float("nan")
    return statistics.linear_regression(range(len(heaps)), heaps).slope * 60 / HEAP_INTERVAL_S


async def print_table(options: argparse.Namespace) -> None:
    print(
        "| nodes | sent/s | the page receives | received/s | frames/s | main thread"
        " | heap, first, lowest to highest, last | for |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    async for it in run(options):
        print(
            f"| {it.nodes:,} | {it.sent_per_s:,} | {it.page} | {it.updates_per_s:,.0f} |"
            f" {it.frames_per_s:.1f} | {it.main_thread:.0%} |"
            f" {it.heaps_mb[0]:.1f}, {min(it.heaps_mb[1:]):.1f} to {max(it.heaps_mb[1:]):.1f},"
            f" {it.heaps_mb[-1]:.1f} MB ({growth_of(it):+.2f} MB/min) | {it.seconds:.0f} s |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each load")
    parser.add_argument("--page", choices=(*PAGES, "both"), default="both")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    asyncio.run(print_table(parser.parse_args()))


if __name__ == "__main__":
    main()
