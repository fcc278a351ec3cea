# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard with a fleet: a real broker with 10,000 simulated nodes, a real Chromium.

`python -m benchmarks.dashboard_fleet` opens the list of one-line tiles, scrolls through it, and
prints the frames per second, the long tasks, the time of the main thread per frame, and what the
broker sent. The browser draws with the CPU (no GPU), on the same machine as broker and load.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.dashboard import FLAGS, heap, metrics
from benchmarks.dashboard_feed import feeding
from benchmarks.processes import temporary_home
from benchmarks.services import broker as a_broker

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page

RESOURCES: Final = 2
SCROLL_PX: Final = 40
"""Per frame: 66 rows of tiles per second at 60 frames."""
LOAD_LIMIT_S: Final = 60.0
SETTLE_S: Final = 10.0

WATCH: Final = """
window.seen_ = {tile: 0, value: 0, tasks: []};
new PerformanceObserver((list) => {
    for (const {startTime, duration} of list.getEntries()) seen_.tasks.push([startTime, duration]);
}).observe({type: 'longtask', buffered: true});
const watch = () => {
    if (!seen_.tile && document.querySelector('.tile')) seen_.tile = performance.now();
    if (document.querySelector('.tile .value')?.textContent.trim()) {
        seen_.value = performance.now();
        return;
    }
    requestAnimationFrame(watch);
};
requestAnimationFrame(watch);
"""

SCROLL: Final = """([seconds, px]) => new Promise((resolve) => {
    const start = performance.now();
    const times = [];
    let step = px;
    const frame = (time) => {
        times.push(time);
        const y = scrollY;
        scrollBy(0, step);
        if (scrollY === y) step = -step; // at an end: back again
        if (performance.now() - start < seconds * 1000) requestAnimationFrame(frame);
        else resolve(times);
    };
    requestAnimationFrame(frame);
})"""


async def open_list(page: "Page", url: str) -> dict[str, Any]:
    """The list of tiles, and when it was drawn, in ms."""
    await page.add_init_script(WATCH)
    await page.goto(f"{url}#/fleet")
    deadline = time.monotonic() + LOAD_LIMIT_S
    while time.monotonic() < deadline:
        if await page.evaluate("seen_.value"):
            break
        await page.wait_for_timeout(100)
    found: dict[str, Any] = await page.evaluate(
        """({
            paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0,
            ...seen_,
        })"""
    )
    return found


async def received(page: "Page", cdp: "CDPSession", seconds: float) -> tuple[float, float]:
    """Messages and kilobytes that the broker sends to the page, per second."""
    count = size = 0

    def add(event: dict[str, Any]) -> None:
        nonlocal count, size
        text = event["response"]["payloadData"]
        count += len(json.loads(text))
        size += len(text)

    cdp.on("Network.webSocketFrameReceived", add)
    await cdp.send("Network.enable")
    began = time.monotonic()
    await page.wait_for_timeout(seconds * 1000)
    elapsed = time.monotonic() - began
    await cdp.send("Network.disable")
    return count / elapsed, size / elapsed / 1000


def frames(times: list[float]) -> tuple[float, float]:
    """Frames per second, and the share of frames that took longer than 1/55 s."""
    gaps = [after - before for before, after in pairwise(times)]
    slow = sum(gap > 1000 / 55 + 1 for gap in gaps)
    return 1000 * len(gaps) / (times[-1] - times[0]), slow / len(gaps)


async def measure(page: "Page", cdp: "CDPSession", url: str, seconds: float) -> dict[str, float]:
    opened = await open_list(page, url)
    await page.wait_for_timeout(SETTLE_S * 1000)
    messages, kilobytes = await received(page, cdp, seconds)
    await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = await metrics(cdp)
    since = await page.evaluate("performance.now()")
    times = await page.evaluate(SCROLL, [seconds, SCROLL_PX])
    after = await metrics(cdp)
    per_s, slow = frames(times)
    tasks = [ms for at, ms in await page.evaluate("seen_.tasks") if at > since]

    def per_frame(name: str) -> float:
        return (after[name] - before[name]) * 1000 / len(times)

    return {
        "first paint (ms)": opened["paint"],
        "first tile (ms)": opened["tile"],
        "first value (ms)": opened["value"],
        "longest task while it loads (ms)": max((ms for _, ms in opened["tasks"]), default=0),
        "messages/s received": messages,
        "kB/s received": kilobytes,
        "frames/s while it scrolls": per_s,
        "frames later than 1/55 s (%)": slow * 100,
        "long tasks while it scrolls": len(tasks),
        "longest of them (ms)": max(tasks, default=0),
        "main thread per frame (ms)": per_frame("TaskDuration"),
        "of it script": per_frame("ScriptDuration"),
        "of it style": per_frame("RecalcStyleDuration"),
        "of it layout": per_frame("LayoutDuration"),
        "tiles that exist": await page.locator(".tile").count(),
        "heap (MB)": await heap(cdp),
    }


async def run(options: argparse.Namespace) -> dict[str, float]:
    from playwright.async_api import async_playwright

    with (
        temporary_home() as home,
        tempfile.TemporaryDirectory() as profile,
        a_broker(home, history=options.history) as server,
    ):
        async with (
            feeding(home, server.port, options.nodes, RESOURCES, options.rate),
            async_playwright() as playwright,
        ):
            context = await playwright.chromium.launch_persistent_context(
                profile,
                executable_path=options.chromium,
                args=list(FLAGS),
                viewport={"width": options.width, "height": 900},
            )
            page = context.pages[0]
            cdp = await context.new_cdp_session(page)
            url = f"http://127.0.0.1:{server.port}/"
            found = await measure(page, cdp, url, options.seconds)
            if options.picture:
                await page.screenshot(path=options.picture)
            await context.close()
            return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=1_000, help="readings per second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of scrolling")
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--history", action="store_true", help="with a history")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--picture", type=Path, help="save a picture at the end")
    options = parser.parse_args()
    found = asyncio.run(run(options))
    load = os.getloadavg()[0]
    print(f"{options.nodes:,} nodes, {options.rate:,} readings/s, load of the machine {load:.1f}")
    for name, value in found.items():
        print(f"{name:34} {value:10,.1f}")


if __name__ == "__main__":
    main()
